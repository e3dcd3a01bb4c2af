"""Reports a run: a line for each event, a log of everything, and a summary at the end."""

import collections
import os
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import redis_server
import rollcall


class Report:
    """Collects and prints the results of a run."""

    def __init__(self, settings, folder):
        self._settings = settings
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._log = open(os.path.join(folder, "chaos.log"), "a")
        self.faults = collections.Counter()
        self.checks = []  # (name, seconds, failure or None)
        self.totals = collections.Counter()
        self.worst_settle_s = 0.0
        arguments = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in vars(settings).items()
                             if v not in (None, False, "", []))
        self.say(f"chaos {arguments}; logs in {folder}")

    def note(self, text):
        """Writes text to the log only."""
        line = f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._begun:8.2f} {text}"
        with self._lock:
            print(line, file=self._log, flush=True)
        return line

    def say(self, text):
        """Writes text to the log and to the screen."""
        print(self.note(text), flush=True)

    def exact(self, name, check):
        """Makes an exact check and records its result."""
        begun = time.monotonic()
        try:
            check()
        except AssertionError as error:
            self.checks.append((name, time.monotonic() - begun, str(error)))
            raise
        self.checks.append((name, time.monotonic() - begun, None))

    def settled(self, took_s, counts, expected):
        """Reports that an exact stop has passed."""
        self.worst_settle_s = max(self.worst_settle_s, took_s)
        self.say(f"exact after {took_s:.1f} s: {sum(counts.values())} records in "
                 f"{len(counts)} partitions, {expected.rejected_count} of them rejected, "
                 f"{len(expected.anomalies)} anomalies")

    def end_round(self, world):
        """Adds the round to the totals."""
        counts = world.feeder.counts()
        expected = world.records.expected(counts)
        self.totals["records"] += sum(counts.values())
        self.totals["rejected"] += expected.rejected_count
        self.totals["anomalies"] += len(expected.anomalies)
        world.fleet.scrape()
        found = world.fleet.totals()
        for name, value in found.items():
            self.totals[name.removeprefix("rollcall_")] += int(value)
        self.totals["starts"] += sum(slot.serial for slot in world.fleet.slots)
        self.totals["refused starts"] += world.fleet.refused_starts
        self.totals["dropped replies"] = world.dropped_replies
        self.totals.update(world.totals)
        world.totals.clear()
        used = {part.name: part.cpu_seconds() for part in
                (world.feeder.worker, world.reader.worker, world.proxy.worker)}
        self.note(f"CPU seconds of the harness: {used}")

    def finish(self, failure, is_measurement):
        """Prints the summary, and writes the JUnit file if one was requested."""
        if is_measurement:
            self._log.close()
            return
        minutes = (time.monotonic() - self._begun) / 60
        version = ", ".join(rollcall.execute("--version").stdout.split("\n")[:2])
        server = " ".join(subprocess.run([redis_server.PROGRAM, "--version"], text=True,
                                         capture_output=True, check=True).stdout.split()[:3])
        kinds = ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items()))
        sums = ", ".join(f"{name} {n}" for name, n in self.totals.items())
        passed = sum(failed is None for _, _, failed in self.checks)
        self.say(f"{'FAILED' if failure else 'exact'}: {minutes:.1f} minutes, seed "
                 f"{self._settings.seed}, {sum(self.faults.values())} faults ({kinds}); {sums}; "
                 f"{passed} exact checks passed, settled within at most "
                 f"{self.worst_settle_s:.1f} s; {version}, {server} ({self._settings.redis}), "
                 f"group protocol "
                 f"{self._settings.group_protocol}, "
                 f"{self._settings.brokers} broker(s)")
        if self._settings.junit:
            self._write_junit(failure)
        self._log.close()

    def _write_junit(self, failure):
        suite = ElementTree.Element("testsuite", name="chaos")
        cases = [(f"{name} {n}", took_s, failed)
                 for n, (name, took_s, failed) in enumerate(self.checks, 1)]
        if failure is None or all(failed is None for _, _, failed in cases):
            looks = self.totals["moments checked"]
            cases.append((f"faults: counts right at every moment ({looks} checked)",
                          time.monotonic() - self._begun, failure and str(failure)))
        for name, took_s, failed in cases:
            case = ElementTree.SubElement(suite, "testcase", classname="chaos", name=name,
                                          time=f"{took_s:.3f}")
            if failed:
                ElementTree.SubElement(case, "failure", message=failed)
        ElementTree.ElementTree(suite).write(self._settings.junit, encoding="unicode")
