"""Runs COMMAND with minimal rights: not as root, without HOME, in /, and unable to write files.

usage: confined.py WRITABLE COMMAND [ARGUMENT ...]

WRITABLE is the only folder in which COMMAND may write, or "" for none. This is enforced with
Landlock, which needs no privileges. Exit status 99 means that the kernel has no Landlock.
"""

import ctypes
import os
import struct
import sys

NO_LANDLOCK = 99
NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
#: LANDLOCK_ACCESS_FS_*: write, remove and create files of any kind; truncate from version 3 on.
_WRITE = 1 << 1 | sum(1 << bit for bit in range(4, 13))
_TRUNCATE = 1 << 14

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number, *arguments):
    """Makes a system call; raises OSError if it fails."""
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _forbid_writing(writable):
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        sys.exit(NO_LANDLOCK)
    rights = _WRITE | (_TRUNCATE if version >= 3 else 0)
    rules = _call(_CREATE_RULESET, struct.pack("=Q", rights), ctypes.c_size_t(8), 0)
    if writable:
        folder = os.open(writable, os.O_PATH)
        _call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, folder), 0)
        os.close(folder)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def main():
    writable, *command = sys.argv[1:]
    _forbid_writing(writable)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.environ.pop("HOME", None)
    os.chdir("/")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
