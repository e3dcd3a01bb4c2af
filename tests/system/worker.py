"""Runs a part of the harness in its own process, so that parts do not share one Python lock."""

import ctypes
import multiprocessing
import signal
import traceback

import wait

#: More partitions than any run has.
PARTITIONS_MAX = 64

_context = multiprocessing.get_context("spawn")  # librdkafka's threads do not survive a fork


def shared_numbers(count=PARTITIONS_MAX):
    """Returns an array of integers shared by both processes; each element has one writer."""
    return _context.RawArray(ctypes.c_longlong, count)


def shared_value(kind, value):
    """Returns one number shared by both processes."""
    return _context.RawValue(kind, value)


def _main(function, errors, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    try:
        function(*arguments)
    except BaseException as error:
        is_finding = isinstance(error, AssertionError)
        errors.put(str(error) if is_finding else traceback.format_exc())


class Worker:
    """Runs function(*arguments) in a process; check() raises what the function raised."""

    def __init__(self, name, function, *arguments):
        self.name = name
        self._errors = _context.SimpleQueue()
        self._process = _context.Process(target=_main, name=name, daemon=True,
                                         args=(function, self._errors, arguments))
        self._process.start()

    def check(self):
        """Raises AssertionError with the reason if the process failed."""
        if not self._errors.empty():
            raise AssertionError(f"{self.name}: {self._errors.get()}")
        if not self._process.is_alive() and self._process.exitcode != 0:
            raise AssertionError(f"{self.name} ended with status {self._process.exitcode}")

    def join(self, seconds=60):
        """Waits until function returns."""
        wait.until(lambda: not self._process.is_alive(), seconds, f"{self.name} to exit",
                   alive=self.check)
        self.check()

    def kill(self):
        """Kills the process."""
        self._process.kill()
        self._process.join()

    def cpu_seconds(self):
        """The CPU time that the process has used so far."""
        try:
            with open(f"/proc/{self._process.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            return 0
        return (int(fields[11]) + int(fields[12])) / 100
