"""./dev bench watched: what a scrape a second and open status pages cost an instance under load.

Two runs of the same program differ by several percent, far more than this costs. So it is watched
and alone by turns within one run, a few seconds each, and each turn is compared with the one after
it.
"""

import http.client
import os
import sys
import threading
import time

import contenders
import measure
import process
import results
import world as worlds

SCRAPE_EVERY_S = 1
VIEW_EVERY_S = 2  # as the page asks
TURN_S = 2  # of the same length, so that each turn has each page once
LIMIT_PERCENT = 1


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--records", type=int, default=8_000_000, help="of each round")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--pages", type=int, default=5, help="open status pages")


class _Instance(contenders.Rollcall):
    """rollcall as it is deployed: with HTTP."""

    def __init__(self, port):
        self.options = {"http.listen": f"127.0.0.1:{port}"}
        self.output = ""

    def command(self, world, records, group, output):
        """Also says which topic it writes to."""
        self.output = output
        return super().command(world, records, group, output)


def _used_s():
    """CPU seconds of the instance that this process has started: (all its threads, the serving
    one)."""
    total = serving = 0
    for pid in measure.family(os.getpid()):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                if comm.read() != "rollcall\n":
                    continue
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as comm, \
                        open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as stat:
                    used = int(stat.read().split()[0]) / 1e9
                    total += used
                    serving += used if comm.read() == "http\n" else 0
        except OSError:  # it has ended
            continue
    return total, serving


class _Turns:
    """While a run goes on: takes turns in watching it and in leaving it alone."""

    def __init__(self, world, instance, port, pages, begins_watched):
        self._world, self._instance, self._port = world, instance, port
        self._is_over, self._is_watching = threading.Event(), threading.Event()
        self._begins_watched = begins_watched
        self.asked = {"/metrics": [], "/status.json": []}  # the sizes of the answers
        self.looks = []  # (whether the turn before was watched, records written, CPU, serving CPU)
        jobs = [(self._take_turns,), (self._ask, "/metrics", SCRAPE_EVERY_S)]
        jobs += [(self._ask, "/status.json", VIEW_EVERY_S)] * pages
        self._threads = [threading.Thread(target=job[0], args=job[1:]) for job in jobs]

    def _ask(self, path, every_s):
        """Asks for a page again and again, on one connection while there is one."""
        connection = None
        while not self._is_over.wait(every_s):
            if not self._is_watching.is_set():
                continue
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port,
                                                                      timeout=10)
                connection.request("GET", path)
                answer = connection.getresponse()
                size = len(answer.read())
                if answer.status == 200:
                    self.asked[path].append(size)
            except OSError:  # the instance has not begun, or has ended
                connection = None

    def _take_turns(self):
        is_watched = self._begins_watched
        while not self._is_over.is_set():
            if is_watched:
                self._is_watching.set()
            else:
                self._is_watching.clear()
            if not self._is_over.wait(TURN_S):
                self.looks.append((is_watched, self._written(), *_used_s()))
            is_watched = not is_watched

    def _written(self):
        """How many records it has written, committed or not."""
        output = self._instance.output
        return sum(self._world.broker.end_offsets(output).values()) if output else 0

    def __enter__(self):
        for thread in self._threads:
            thread.start()
            time.sleep(VIEW_EVERY_S / len(self._threads))
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def costs(self):
        """Of each turn while records flowed all the time: (whether it was watched, CPU-seconds a
        million, the share of the serving thread)."""
        found = []
        for before, after in zip(self.looks, self.looks[1:]):
            records, used_s = after[1] - before[1], after[2] - before[2]
            if before[1] > 0 and records > 0 and used_s > 0:
                found.append((after[0], 1e6 * used_s / records, (after[3] - before[3]) / used_s))
        return found[1:-1]  # the first one has the start in it, the last one the end


def run(arguments):
    """Measures, prints and writes the report; 1 if watching costs 1 % or more."""
    print(f"about {(60 + arguments.rounds * (16 + 5 * arguments.records / 1e6)) / 60:.0f} minutes",
          flush=True)
    instance = _Instance(port := process.free_port())
    costs, ratios, serving = {True: [], False: []}, [], []
    with worlds.World() as world:
        records = worlds.Records(world, arguments.records, arguments.partitions).generate(world)
        for number in range(arguments.rounds):
            instance.output = ""
            with _Turns(world, instance, port, arguments.pages, number % 2 == 0) as turns:
                measure.run(world, instance, records)
            found = turns.costs()
            if len(found) < 2 or not turns.asked["/metrics"] or \
                    (arguments.pages and not turns.asked["/status.json"]):
                raise measure.Failed("no page was answered: the run is too short")
            for is_watched, cost, share in found:
                costs[is_watched].append(cost)
                serving += [share] if is_watched else []
            ratios += [one[1] / other[1] if one[0] else other[1] / one[1]
                       for one, other in zip(found, found[1:])]
            print(f"round {number + 1}: {len(found)} turns; CPU-s a million, watched: "
                  f"{_listed(found, True)}; alone: {_listed(found, False)}; "
                  f"{len(turns.asked['/metrics'])} scrapes of {turns.asked['/metrics'][-1]} bytes, "
                  f"{len(turns.asked['/status.json'])} views", flush=True)
    saved = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "rounds": arguments.rounds, "records": arguments.records,
             "partitions": arguments.partitions, "pages": arguments.pages, "turns": len(ratios),
             "rows": [{"label": label, "cpu_per_million": results.spread(costs[is_watched])}
                      for label, is_watched in (("alone", False), ("watched", True))],
             "ratio": results.spread(ratios), "serving": results.spread(serving)}
    results.save("watched", saved)
    print(results.text("watched"))
    cost = 100 * max(saved["serving"]["median"], saved["ratio"]["median"] - 1)
    print(f"watching costs {cost:.2f} % of CPU a record; the bar is {LIMIT_PERCENT} %")
    return 0 if cost < LIMIT_PERCENT else 1


def _listed(found, is_watched):
    return " ".join(f"{cost:.3f}" for each, cost, _ in found if each == is_watched)
