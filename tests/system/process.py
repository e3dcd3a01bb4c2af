"""Runs servers and programs as child processes that cannot outlive the tests."""

import ctypes
import os
import random
import re
import signal
import socket
import subprocess

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, log_path, env=None, cwd=None, stdout=None):
    """Starts command. Appends its output to log_path; `stdout` redirects only standard output."""
    with open(log_path, "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or log,
                                stderr=log, env=env, cwd=cwd, preexec_fn=_die_with_parent)


def kill(process):
    """Kills a process with SIGKILL and waits for it; does nothing if it is None or has exited."""
    if process is None or process.poll() is not None:
        return
    process.kill()
    process.wait()


def terminate(process, seconds):
    """Sends SIGTERM, and SIGKILL if the process has not exited in time; returns the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def peak_memory_mb(pid):
    """The peak resident memory of a process; 0 once it has ended."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    return int(peak[1]) / 1024 if peak else 0


def free_port():
    """Returns a free loopback port below the range that the kernel assigns to clients.

    In that range, an outgoing connection could take a server's port while it restarts.
    """
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def tail(path, lines=40):
    """Returns the last lines of a log, for error messages."""
    if not os.path.exists(path):
        return "(no log)"
    with open(path, errors="replace") as log:
        return "".join(log.readlines()[-lines:])
