"""./dev bench watched: what a scrape a second and open status pages cost an instance under load."""

import contextlib
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
LOOK_EVERY_S = 0.2
LIMIT_PERCENT = 1


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--records", type=int, default=3_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--pages", type=int, default=5, help="open status pages")


class _Instance(contenders.Rollcall):
    """rollcall as it is deployed: with HTTP."""

    def __init__(self, port):
        self.options = {"http.listen": f"127.0.0.1:{port}"}


def _ask(port, path, every_s, is_over, sizes):
    """Asks for a page again and again, on one connection while there is one."""
    connection = None
    while not is_over.wait(every_s):
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            size = len(answer.read())
            if answer.status == 200:
                sizes.append(size)
        except OSError:  # the instance has not begun, or has ended
            connection = None


def _serving_s():
    """CPU seconds of the serving thread of the instance that this process has started."""
    for pid in measure.family(os.getpid()):
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as comm, \
                        open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as stat:
                    if comm.read() == "http\n":
                        return int(stat.read().split()[0]) / 1e9
    return 0


class _Viewers:
    """A scrape a second and open pages."""

    def __init__(self, port, pages):
        self._is_over = threading.Event()
        self.scrapes, self.views, self.serving_s = [], [], 0
        jobs = [(_ask, port, "/metrics", SCRAPE_EVERY_S, self._is_over, self.scrapes), (self._look,)]
        jobs += [(_ask, port, "/status.json", VIEW_EVERY_S, self._is_over, self.views)] * pages
        self._threads = [threading.Thread(target=job[0], args=job[1:]) for job in jobs]

    def _look(self):
        while not self._is_over.wait(LOOK_EVERY_S):
            self.serving_s = max(self.serving_s, _serving_s())

    def __enter__(self):
        for thread in self._threads:
            thread.start()
            time.sleep(VIEW_EVERY_S / len(self._threads))
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def run(arguments):
    """Measures both in turn, prints and writes the report; 1 if watching costs 1 % or more."""
    print(f"about {(20 + arguments.rounds * (16 + 12 * arguments.records / 1e6)) / 60:.0f} minutes",
          flush=True)
    instance = _Instance(port := process.free_port())
    alone, watched, serving = [], [], []
    with worlds.World() as world:
        records = worlds.Records(world, arguments.records, arguments.partitions).generate(world)
        for number in range(arguments.rounds):
            for is_watched in (number % 2 == 0, number % 2 != 0):
                if not is_watched:
                    alone.append(measure.run(world, instance, records))
                    continue
                with _Viewers(port, arguments.pages) as viewers:
                    watched.append(measure.run(world, instance, records))
                if not viewers.scrapes or (arguments.pages and not viewers.views):
                    raise measure.Failed("no page was answered: the run is too short")
                serving.append(viewers.serving_s / watched[-1].cpu_s)
            print(f"alone {alone[-1].cpu_per_million:.3f}, watched "
                  f"{watched[-1].cpu_per_million:.3f} CPU-s a million; serving took "
                  f"{100 * serving[-1]:.2f} % of it: {len(viewers.scrapes)} scrapes of "
                  f"{viewers.scrapes[-1]} bytes, {len(viewers.views)} views", flush=True)
    ratios = [w.cpu_per_million / a.cpu_per_million for w, a in zip(watched, alone)]
    found = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "rounds": arguments.rounds, "records": arguments.records,
             "partitions": arguments.partitions, "pages": arguments.pages,
             "rows": [{"label": label,
                       "cpu_per_million": results.spread([s.cpu_per_million for s in samples]),
                       "rate": results.spread([sample.rate for sample in samples])}
                      for label, samples in (("alone", alone), ("watched", watched))],
             "ratio": results.spread(ratios), "serving": results.spread(serving)}
    results.save("watched", found)
    print(results.text("watched"))
    costs = 100 * max(found["serving"]["median"], found["ratio"]["median"] - 1)
    print(f"watching costs {costs:.2f} % of CPU a record; the bar is {LIMIT_PERCENT} %")
    return 0 if costs < LIMIT_PERCENT else 1
