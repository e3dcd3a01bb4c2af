"""Injects faults of every kind into several rollcall instances and checks that counts stay exact.

usage: see --help, README.md in this directory, and `./dev chaos`.
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
import continuity
import fault
import fault_broker  # these five modules register their faults in the table
import fault_cluster
import fault_fleet
import fault_redis
import fault_sentinel
import measure
import process
import redis_server
import report
import rollcall
import topology
import wait
import world as world_module

_WORKERS = 4
_BACKUP_S, _SCRAPE_S, _LOOK_S = 15, 2, 1


class Watch:
    """A thread that keeps checking the invariants that hold at any moment."""

    def __init__(self, world):
        self._world = world
        self.looks = checks.Moment(world)
        self.failure = None
        self._lock = threading.Lock()  # held while a round begins or ends
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Starts the thread unless it is running."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self):
        """Stops the thread, which also kills the instances that it started."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self):
        """Raises the failure that the thread found, if any."""
        if self.failure:
            raise self.failure

    def paused(self):
        """Returns a context in which the thread makes no checks."""
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
            except BaseException as error:  # raised in the main thread by check()
                self.failure = error

    def _look(self):
        self.looks.look()

    def _world_scrape(self):
        self._world.fleet.scrape()

    def _back_up(self):
        self._world.redis.back_up()


class Chaos:
    """A run: rounds of faults, each with exact stops, until the time is up."""

    def __init__(self, settings, folder):
        self.settings = settings
        self.folder = folder
        self.report = report.Report(settings, folder)
        self.world = world_module.World(folder, settings, self.report.say)
        self.watch = Watch(self.world)
        self.continuity = continuity.Continuity(self.world, self.report.say)
        self._faults = fault.select(settings.faults, settings.brokers, settings.redis)
        self._schedule = fault.Schedule(settings.seed, self._faults, settings.every)
        self._pool = concurrent.futures.ThreadPoolExecutor(_WORKERS)
        self._running = {}  # future -> its fault
        self._next = self._schedule.next() if self._faults else None

    def run(self):
        """Runs all rounds; raises at the first failure."""
        self.world.start()
        end = time.monotonic() + 60 * self.settings.minutes
        while self.world.round == 0 or time.monotonic() < end:
            with self.watch.paused():
                self.world.begin_round()
            self.watch.start()
            if self.settings.redis != "single":
                begun = time.monotonic()
                self.world.wait_flow(self._check)
                end += time.monotonic() - begun
            round_end = min(end, time.monotonic() + 60 * self.settings.round)
            while time.monotonic() < round_end:
                self._inject(min(round_end, time.monotonic() + 60 * self.settings.stop))
                self._exact_stop()
                if self._may_lose_ends(round_end):
                    rng = random.Random(f"{self.settings.seed} ends {self.world.round}")
                    with self.watch.paused():
                        self.world.lose_ends(rng)
            with self.watch.paused():
                self.report.end_round(self.world)
                self.world.end_round()

    def _may_lose_ends(self, round_end):
        """Once in a round, if another stop follows that will notice what is wrong."""
        return self.settings.brokers == 1 and self.settings.redis == "single" and \
            not self.world.cuts and not self.settings.keep_ends and time.monotonic() < round_end

    def _inject(self, until):
        """Injects faults until the given time, then waits for all of them to end."""
        self.world.redis.expect_faults(True)
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
        arguments = " ".join(f"{name}={value}" for name, value in parameters.items())
        self.report.say(f"fault {number} {chosen.name} {arguments}")
        self.report.faults[chosen.name] += 1

        def run():
            over = self.world.disturb() if chosen.resources != {fault.FLEET} else None
            begun = time.monotonic()
            try:
                self._act(f"fault {number} {chosen.name}", chosen,
                          lambda: chosen.function(self.world, **parameters))
            finally:
                if over:
                    over()
                self.report.note(f"fault {number} {chosen.name} over after "
                                 f"{time.monotonic() - begun:.1f} s")

        self._running[self._pool.submit(run)] = chosen

    def _act(self, name, chosen, act):
        if chosen.resources & continuity.FOLLOWED:
            self.continuity.follow(name, chosen.name, act)
        else:
            act()

    def _wait(self, seconds):
        """Sleeps, then raises any failure found meanwhile."""
        time.sleep(seconds)
        self._check()

    def _check(self):
        self.watch.check()
        for future in [future for future in self._running if future.done()]:
            del self._running[future]
            future.result()

    def _exact_stop(self):
        self.report.say("no more faults: recovering and settling")
        begun = time.monotonic()
        self.world.heal()
        self.world.redis.expect_faults(False)
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
        """Stops every process."""
        self.world.is_ending.set()
        self.watch.stop()
        concurrent.futures.wait(self._running, 60)
        try:
            self.world.close()
        finally:
            self._pool.shutdown(wait=True)


def _arguments():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="duration of the run (3)")
    parser.add_argument("--seed", type=int, help="seed of faults and records (random)")
    parser.add_argument("--seeds", metavar="N-M", help="a run for each of these seeds")
    parser.add_argument("--faults", default="", metavar="LIST",
                        help="comma-separated names, prefixes or resources (all)")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    parser.add_argument("--every", type=float, default=4, help="seconds between faults (4)")
    parser.add_argument("--parallel", type=int, default=3, help="faults at the same time (3)")
    parser.add_argument("--rate", type=float, default=8000, help="records per second (8000)")
    parser.add_argument("--instances", type=int, default=2, help="instances at the start (2)")
    parser.add_argument("--redis", choices=topology.TABLE, default="single",
                        help="one with a replica, three Sentinels, or a cluster of six (single)")
    parser.add_argument("--server", default="system", metavar="PROGRAM",
                        help="the server program: system, newer (Redis 8), valkey or a path")
    parser.add_argument("--min-replicas", type=int, default=0, help="redis.min_replicas (0)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--group-protocol", choices=("classic", "consumer"), default="classic")
    parser.add_argument("--round", type=float, default=6, help="minutes per round (6)")
    parser.add_argument("--stop", type=float, default=2, help="minutes between exact stops (2)")
    parser.add_argument("--keep-ends", action="store_true",
                        help="no log loses its end at the first stop of a round")
    parser.add_argument("--measure", choices=measure.TABLE,
                        help="measure one figure instead; outage uses --minutes and --rate, "
                             "replicas needs --redis sentinel")
    parser.add_argument("--count", type=int, default=10, help="number of measurements (10)")
    parser.add_argument("--folder", help="working folder (a new temporary one)")
    parser.add_argument("--keep", action="store_true", help="keep the folder after success")
    parser.add_argument("--junit", metavar="FILE", help="write the check results to FILE")
    settings = parser.parse_args()
    if settings.measure and (settings.measure == "replicas") != (settings.redis == "sentinel"):
        parser.error("--measure replicas is for --redis sentinel, the others for --redis single")
    if settings.server != "system":
        name = {"newer": "RC_REDIS_NEWER", "valkey": "RC_VALKEY"}.get(settings.server)
        redis_server.PROGRAM = os.environ.get(name, "") if name else settings.server
        if not os.access(redis_server.PROGRAM, os.X_OK):
            parser.error(f"--server {settings.server}: there is no such program here")
    if settings.seeds:
        first, _, last = settings.seeds.partition("-")
        settings.seeds = range(int(first), int(last or first) + 1)
        settings.junit = None
        if settings.folder or settings.measure:
            parser.error("--seeds goes with neither --folder nor --measure")
    if settings.junit:
        if settings.redis != "single":  # one file for each topology
            settings.junit = settings.junit.replace(".xml", f"-{settings.redis}.xml")
        if os.path.exists(settings.junit):
            os.remove(settings.junit)
    settings.faults = [name for name in settings.faults.split(",") if name]
    if settings.seed is None:
        settings.seed = random.SystemRandom().randrange(1000000)
    return settings


def _list_faults():
    for found in fault.table.values():
        print(f"{found.name:20} {'+'.join(sorted(found.resources)):16} "
              f"{' '.join(found.function.__doc__.split())}")


def _run(settings):
    """Makes one run; returns (what it failed of or None, the Noticed of its faults)."""
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
    for line in continuity.summaries(chaos.continuity.all):
        chaos.report.say(line)
    chaos.report.finish(failure, settings.measure)
    if failure is None and not settings.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs: {folder}")
    return failure, chaos.continuity.all


def _run_all(settings):
    """Makes a run with each seed; returns whether all were exact."""
    failed, noticed = [], []
    for seed in settings.seeds:
        failure, found = _run(argparse.Namespace(**{**vars(settings), "seed": seed}))
        noticed += found
        if failure is not None:
            failed.append(seed)
        if isinstance(failure, KeyboardInterrupt):
            break
        print(*continuity.summaries(noticed), sep="\n")
        print(f"{seed - settings.seeds[0] + 1} of {len(settings.seeds)} runs, failed: "
              f"{failed or 'none'}", flush=True)
    return not failed


def main():
    """Returns the exit status: 0 if everything was exact."""
    settings = _arguments()
    if settings.list:
        _list_faults()
        return 0
    rollcall.adapt_deadlines()
    if settings.seeds:
        return 0 if _run_all(settings) else 1
    return 0 if _run(settings)[0] is None else 1


if __name__ == "__main__":
    sys.exit(main())
