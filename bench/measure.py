"""Runs one contender until all its records are processed, and measures what it used."""

import dataclasses
import os
import signal
import time

import broker_log
import process

TICK = os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S = 0.05


@dataclasses.dataclass
class Sample:
    """One run."""
    records: int
    cpu_s: float            # user and system, including start, exit and descendants
    warm_cpu_s: float       # per million records, over the second half of the records only
    seconds: float          # from the first record in the output to the last one in all results
    rss_mb: float           # peak (VmHWM), added up over all its processes
    kafka_bytes: int        # everything written to the broker's logs
    transactions: int
    redis_commands: int

    @property
    def cpu_per_million(self):
        """CPU-seconds per million records."""
        return self.cpu_s / self.records * 1e6

    @property
    def rate(self):
        """Records per second."""
        return self.records / self.seconds


class Failed(Exception):
    """The contender did not do its job."""


def family(pid):
    """Returns pid and all its living descendants."""
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as children:
                    found += map(int, children.read().split())
        except OSError:
            continue
    return found


def cpu_so_far(pid):
    """Returns the CPU-seconds of pid and its descendants so far, in steps of a clock tick."""
    ticks = 0
    for one in family(pid):
        try:
            with open(f"/proc/{one}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:13]))
        except OSError:
            continue
    return ticks / TICK


def peak_rss_mb(pid):
    """Returns the sum of VmHWM over pid and its descendants, in MB of 10^6 bytes."""
    total_kb = 0
    for one in family(pid):
        try:
            with open(f"/proc/{one}/status") as status:
                total_kb += next((int(line.split()[1]) for line in status
                                  if line.startswith("VmHWM:")), 0)
        except OSError:
            continue
    return total_kb * 1024 / 1e6


def end(child, seconds=30):
    """Sends SIGTERM, after a timeout SIGKILL; returns the CPU-seconds of child and its children."""
    child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            child.kill()
        time.sleep(0.01)


def run(world, contender, records, limit_s=180):
    """Runs a contender with a new group, output and empty Redis; returns the Sample or raises."""
    output = world.name("processed")
    group = world.name(contender.name)
    world.broker.create_topic(output, records.partitions)
    command, environment = contender.command(world, records, group, output)
    world.flush_redis()
    before = broker_log.sizes(world.data)
    log_path = os.path.join(world.folder, f"{group}.log")
    child = process.spawn(command, log_path, env={**os.environ, **environment}, cwd=world.folder)
    try:
        watch = _Watch(world, contender, records, output, child, log_path)
        watch.wait(limit_s)
        rss_mb = peak_rss_mb(child.pid)
        cpu_s = end(child)
    finally:
        process.kill(child)
    contender.check(world, records, group, output)
    written = broker_log.since(world.data, before)
    sample = Sample(records.count, cpu_s, watch.warm_cpu_per_million(), watch.seconds(), rss_mb,
                    sum(stored.bytes for stored in written.values()),
                    written.get("__consumer_offsets", broker_log.Stored()).commits,
                    sum(world.redis_commands().values()))
    world.broker.delete_topic(output)
    contender.clean(world, group)
    return sample


class _Watch:
    """Records periodically how far a contender is, and how much CPU it has used."""

    def __init__(self, world, contender, records, output, child, log_path):
        self._world, self._contender, self._records = world, contender, records
        self._output, self._child, self._log_path = output, child, log_path
        self._looks = []  # (time, records in the output, CPU-seconds)
        self._end = None

    def wait(self, limit_s):
        """Waits until all results are complete."""
        deadline = time.monotonic() + limit_s
        while not self._is_through():
            if self._child.poll() is not None:
                raise Failed(f"{self._contender.name} exited: {process.tail(self._log_path)}")
            if time.monotonic() > deadline:
                raise Failed(f"{self._contender.name}: {self._looks[-1][1]} of "
                             f"{self._records.count} records after {limit_s} s: "
                             f"{process.tail(self._log_path)}")
            time.sleep(LOOK_EVERY_S)
        self._end = time.monotonic()

    def _is_through(self):
        output = self._world.broker.stable_offsets(self._output)
        self._looks.append((time.monotonic(), sum(output.values()), cpu_so_far(self._child.pid)))
        return (sum(output.values()) >= self._records.count and
                self._contender.is_published(self._world, self._records, self._output, output) and
                self._contender.is_counted(self._world, self._records))

    def seconds(self):
        """The time from the last look at which the output was empty to the end."""
        empty = [at for at, count, _ in self._looks if count == 0]
        return self._end - (empty[-1] if empty else self._looks[0][0])

    def warm_cpu_per_million(self):
        """CPU-seconds per million over the second half of the records; NaN with too few looks."""
        half = next(((count, cpu) for _, count, cpu in self._looks
                     if count >= self._records.count / 2), None)
        _, count, cpu = self._looks[-1]
        if half is None or count - half[0] < self._records.count / 4:
            return float("nan")
        return (cpu - half[1]) / (count - half[0]) * 1e6
