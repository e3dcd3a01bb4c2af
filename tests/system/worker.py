"""A part of the harness in a process of its own, so that none waits for another's Python."""

import ctypes
import multiprocessing
import signal
import traceback

import wait

#: More partitions than a run ever has.
PARTITIONS_MAX = 64

_context = multiprocessing.get_context("spawn")  # librdkafka's threads do not survive a fork


def shared_numbers(count=PARTITIONS_MAX):
    """An array of integers that both sides see; each element has one writer."""
    return _context.RawArray(ctypes.c_longlong, count)


def shared_value(kind, value):
    """One number that both sides see."""
    return _context.RawValue(kind, value)


def _main(function, errors, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    try:
        function(*arguments)
    except BaseException as error:
        told = isinstance(error, AssertionError)
        errors.put(str(error) if told else traceback.format_exc())


class Worker:
    """Runs function(*arguments) in a process; what it raises is raised here, by check."""

    def __init__(self, name, function, *arguments):
        self.name = name
        self._errors = _context.SimpleQueue()
        self._process = _context.Process(target=_main, name=name, daemon=True,
                                         args=(function, self._errors, arguments))
        self._process.start()

    def check(self):
        """Raises AssertionError with what ended the process, if something did."""
        if not self._errors.empty():
            raise AssertionError(f"{self.name}: {self._errors.get()}")
        if not self._process.is_alive() and self._process.exitcode != 0:
            raise AssertionError(f"{self.name} ended with status {self._process.exitcode}")

    def join(self, seconds=60):
        """Waits until function returns."""
        wait.until(lambda: not self._process.is_alive(), seconds, f"end of {self.name}",
                   alive=self.check)
        self.check()

    def kill(self):
        """Ends the process at once."""
        self._process.kill()
        self._process.join()

    def cpu_seconds(self):
        """What the process has used of the processors so far."""
        try:
            with open(f"/proc/{self._process.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            return 0
        return (int(fields[11]) + int(fields[12])) / 100
