"""Runs COMMAND under a system-call filter of systemd: whatever is not allowed kills it.

usage: filtered.py ALLOWED DENIED COMMAND [ARGUMENT ...]

ALLOWED and DENIED are lists of groups as SystemCallFilter= has them, separated by commas.
"""

import ctypes
import os
import re
import struct
import subprocess
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_KILL_PROCESS, _ALLOW = 0x80000000, 0x7fff0000
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCHITECTURES = {"x86_64": 0xc000003e, "aarch64": 0xc00000b7}


def calls_of(groups):
    """The names of the system calls in these groups, and in the groups within them."""
    found, pending = set(), list(groups)
    while pending:
        name = pending.pop()
        if not name.startswith("@"):
            found.add(name)
            continue
        listing = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                                 capture_output=True, text=True).stdout
        pending += [line.strip() for line in listing.splitlines()[1:]
                    if re.fullmatch(r"\s+@?[\w-]+", line)]
    return found


def numbers():
    """System call -> its number on this machine, as the C library's headers have it."""
    text = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in
            re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.MULTILINE)}


def program(allowed):
    """The filter as classic BPF."""
    def step(code, true, false, value):
        return struct.pack("=HBBI", code, true, false, value)

    steps = [step(_LOAD, 0, 0, 4), step(_JUMP_EQUAL, 1, 0, _ARCHITECTURES[os.uname().machine]),
             step(_RETURN, 0, 0, _KILL_PROCESS), step(_LOAD, 0, 0, 0)]
    for number in sorted(allowed):
        steps += [step(_JUMP_EQUAL, 0, 1, number), step(_RETURN, 0, 0, _ALLOW)]
    return steps + [step(_RETURN, 0, 0, _KILL_PROCESS)]


def main():
    allowed, denied, *command = sys.argv[1:]
    names = calls_of(allowed.split(",")) - calls_of(denied.split(","))
    known = numbers()
    # systemd itself starts the program, before it the filter is not complete
    steps = program({known[name] for name in names | {"execve"} if name in known})
    code = ctypes.create_string_buffer(b"".join(steps))
    filter_ = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(steps),
                                                      ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, filter_, 0, 0) != 0:
        sys.exit(f"no seccomp here: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
