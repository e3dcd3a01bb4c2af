"""Faults of every kind against several instances of rollcall, and exact counts in spite of them.

usage: see --help, README.md beside this file, and `./dev chaos`.
"""

import argparse
import concurrent.futures
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

import checks
import fault
import fault_broker  # these three enter their faults into the table
import fault_fleet
import fault_redis
import measure
import process
import report
import rollcall
import wait
import world as world_module

_WORKERS = 4
_BACKUP_S, _SCRAPE_S, _LOOK_S = 15, 2, 1


class Watch:
    """A thread that looks all the time at whether what must always hold does hold."""

    def __init__(self, world):
        self._world = world
        self.looks = checks.Moment(world)
        self.failure = None
        self._lock = threading.Lock()  # held while a round is being changed
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Begins, if it has not."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self):
        """Ends; instances that it started end with it."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self):
        """Raises what it found."""
        if self.failure:
            raise self.failure

    def paused(self):
        """A context in which it does not look."""
        return self._lock

    def _run(self):
        due = {self._look: _LOOK_S, self._world_scrape: _SCRAPE_S, self._back_up: _BACKUP_S}
        next_at = {act: time.monotonic() + every for act, every in due.items()}
        while not self._is_over.wait(0.2) and not self.failure:
            try:
                with self._lock:
                    self._world.check()
                    for act, every in due.items():
                        if time.monotonic() >= next_at[act]:
                            act()
                            next_at[act] = time.monotonic() + every
            except BaseException as error:  # handed to the main thread
                self.failure = error

    def _look(self):
        self.looks.look()

    def _world_scrape(self):
        self._world.fleet.scrape()

    def _back_up(self):
        self._world.redis.back_up()


class Chaos:
    """A run: rounds of faults, each with exact stops, until its time is over."""

    def __init__(self, settings, folder):
        self.settings = settings
        self.folder = folder
        self.report = report.Report(settings, folder)
        self.world = world_module.World(folder, settings, self.report.say)
        self.watch = Watch(self.world)
        self._faults = fault.select(settings.faults, settings.brokers)
        self._schedule = fault.Schedule(settings.seed, self._faults, settings.every)
        self._pool = concurrent.futures.ThreadPoolExecutor(_WORKERS)
        self._running = {}  # future -> its fault
        self._next = self._schedule.next() if self._faults else None

    def run(self):
        """All of it; raises at the first thing that is wrong."""
        self.world.start()
        end = time.monotonic() + 60 * self.settings.minutes
        while self.world.round == 0 or time.monotonic() < end:
            with self.watch.paused():
                self.world.begin_round()
            self.watch.start()
            round_end = min(end, time.monotonic() + 60 * self.settings.round)
            while time.monotonic() < round_end:
                self._inject(min(round_end, time.monotonic() + 60 * self.settings.stop))
                self._exact_stop()
            with self.watch.paused():
                self.report.end_round(self.world)
                self.world.end_round()

    def _inject(self, until):
        """Faults until then, all of them over at the end."""
        self.world.feeder.go()
        self.world.is_ending.clear()
        while time.monotonic() < until:
            if self._next is None:
                self._wait(1)
                continue
            number, gap_s, chosen, parameters = self._next
            at = time.monotonic() + gap_s
            while time.monotonic() < min(at, until) or not self._is_free(chosen):
                self._wait(0.1)
                if time.monotonic() >= until:
                    break
            else:
                self._launch(number, chosen, parameters)
                self._next = self._schedule.next()
        while self._running:
            self._wait(0.1)
        self.world.is_ending.set()

    def _is_free(self, chosen):
        return len(self._running) < min(_WORKERS, self.settings.parallel) and not any(
            chosen.resources & other.resources for other in self._running.values())

    def _launch(self, number, chosen, parameters):
        told = " ".join(f"{name}={value}" for name, value in parameters.items())
        self.report.say(f"fault {number} {chosen.name} {told}")
        self.report.faults[chosen.name] += 1

        def run():
            over = self.world.disturb() if chosen.resources != {fault.FLEET} else None
            begun = time.monotonic()
            try:
                chosen.function(self.world, **parameters)
            finally:
                if over:
                    over()
                self.report.note(f"fault {number} {chosen.name} over after "
                                 f"{time.monotonic() - begun:.1f} s")

        self._running[self._pool.submit(run)] = chosen

    def _wait(self, seconds):
        """Lets time pass; raises what has gone wrong anywhere."""
        time.sleep(seconds)
        self._check()

    def _check(self):
        self.watch.check()
        for future in [future for future in self._running if future.done()]:
            del self._running[future]
            future.result()

    def _exact_stop(self):
        self.report.say("no more faults: healing, settling")
        begun = time.monotonic()
        self.world.heal()
        checks.settle(self.world, self._check, begun)
        took_s = time.monotonic() - begun
        counts = self.world.feeder.counts()
        expected = self.world.records.expected(counts)
        for name, check in checks.EXACT.items():
            self.report.exact(name, lambda: check(self.world, expected))
        self.watch.check()
        self.report.settled(took_s, counts, expected)
        self.report.totals["moments checked"] = self.watch.looks.count

    def close(self):
        """Ends every process."""
        self.world.is_ending.set()
        self.watch.stop()
        concurrent.futures.wait(self._running, 60)
        try:
            self.world.close()
        finally:
            self._pool.shutdown(wait=True)


def _arguments():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="how long (3)")
    parser.add_argument("--seed", type=int, help="of faults and records (random)")
    parser.add_argument("--faults", default="", metavar="LIST",
                        help="names, prefixes or resources, with commas (all); none: no faults")
    parser.add_argument("--list", action="store_true", help="show the faults and end")
    parser.add_argument("--every", type=float, default=4, help="seconds between faults (4)")
    parser.add_argument("--parallel", type=int, default=3, help="faults at the same time (3)")
    parser.add_argument("--rate", type=float, default=8000, help="records a second (8000)")
    parser.add_argument("--instances", type=int, default=2, help="at the start (2)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--group-protocol", choices=("classic", "consumer"), default="classic")
    parser.add_argument("--round", type=float, default=6, help="minutes a round (6)")
    parser.add_argument("--stop", type=float, default=2, help="minutes between exact stops (2)")
    parser.add_argument("--measure", choices=("recovery", "restart", "outage"),
                        help="no chaos, but one figure; outage takes --minutes and --rate")
    parser.add_argument("--count", type=int, default=10, help="how often to measure (10)")
    parser.add_argument("--folder", help="where to work (a new one in the temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the folder after success")
    parser.add_argument("--junit", metavar="FILE", help="write the checks' results there")
    settings = parser.parse_args()
    settings.faults = [name for name in settings.faults.split(",") if name]
    if settings.seed is None:
        settings.seed = random.SystemRandom().randrange(1000000)
    return settings


def _list_faults():
    for found in fault.table.values():
        print(f"{found.name:20} {'+'.join(sorted(found.resources)):16} "
              f"{' '.join(found.function.__doc__.split())}")


def main():
    """Exit status 0: everything was exact."""
    settings = _arguments()
    if settings.list:
        _list_faults()
        return 0
    rollcall.adapt_deadlines()
    folder = settings.folder or tempfile.mkdtemp(prefix="rollcall-chaos-")
    os.makedirs(folder, exist_ok=True)
    chaos = Chaos(settings, folder)
    failure = None
    try:
        if settings.measure:
            measure.run(chaos.world, settings)
        else:
            chaos.run()
    except BaseException as error:
        failure = error
        chaos.report.say("FAILED: " + "".join(traceback.format_exception(error)))
    try:
        chaos.close()
    except AssertionError as error:
        failure = failure or error
    chaos.report.finish(failure, settings.measure)
    if failure is None and not settings.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs: {folder}")
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
