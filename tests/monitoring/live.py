"""A real Prometheus, with the rules of deploy/monitoring, next to rollcall and faults.

Each fault must fire exactly its alerts, which must then clear. To see that within minutes, every
duration in the rules is divided by FACTOR, and Prometheus scrapes once a second. A fault has a
world of its own: topics, group, Redis, two instances and Prometheus.

With --quiet N nothing is divided, and during N minutes with a rolling restart no alert may fire.
The dashboard is looked at in a case of its own: some of its queries look back for an hour.
"""

import argparse
import inspect
import os
import shutil
import sys
import tempfile
import time
import traceback
import xml.sax.saxutils

import faults
import kafka
import monitoring
import rollcall
import scene
import wait

LOOK_S = 10  # after all has fired, and after all has cleared
FIRE_S = 120


class Report:
    """Says what happens, and writes JUnit XML at the end."""

    def __init__(self):
        self._cases = []

    def case(self, name, function):
        """Runs one case; returns whether it passed."""
        started, failure = time.monotonic(), None
        try:
            print(f"{name}: {function()}", flush=True)
        except Exception as error:  # each case is reported, whatever it raised
            failure = "".join(traceback.format_exception(error))
            print(f"{name}: FAILED\n{failure}", flush=True)
        self._cases.append((name, time.monotonic() - started, failure))
        return failure is None

    def write(self, path):
        """Writes the results."""
        with open(path, "w", encoding="utf-8") as out:
            out.write("<testsuite>\n")
            for name, took_s, failure in self._cases:
                out.write(f'<testcase classname="monitoring" name="{name}" time="{took_s:.1f}">')
                if failure:
                    out.write(f"<failure message={xml.sax.saxutils.quoteattr(failure)}/>")
                out.write("</testcase>\n")
            out.write("</testsuite>\n")


def looks(world):
    """What fires, again and again for a while."""
    deadline = time.monotonic() + LOOK_S
    while time.monotonic() < deadline:
        yield world.firing()
        time.sleep(0.5)


def try_fault(folder, broker, name):
    """One fault from beginning to end; returns what was seen."""
    inject, expected, may, settings = faults.FAULTS[name]
    world = scene.World(folder, broker, **settings)
    try:
        world.settle()
        begun = time.monotonic()
        with inject(world):
            wait.until(lambda: not expected - (world.firing() and world.seen), FIRE_S,
                       lambda: f"{expected - world.seen} to fire:\n{world.state()}", every=0.5)
            fired_s = time.monotonic() - begun
            list(looks(world))
        ended = time.monotonic()
        wait.until(lambda: not world.firing(), scene.CLEAR_S,
                   lambda: f"all to clear:\n{world.state()}", every=0.5)
        clear_s = time.monotonic() - ended
        assert not any(looks(world)), f"fired again:\n{world.state()}"
        assert world.seen - may == expected - may, \
            f"fired {sorted(world.seen)}, not {sorted(expected)}:\n{world.state()}"
        return f"{', '.join(sorted(world.seen))}; fired within {fired_s:.0f} s, " \
               f"clear {clear_s:.0f} s after the fault"
    finally:
        world.close()


def quiet(folder, broker, minutes):
    """Nothing is wrong for some minutes, except that every instance is restarted in turn."""
    world = scene.World(folder, broker, {"consumer.session.timeout.ms": 10000,
                                   "consumer.heartbeat.interval.ms": 1000}, factor=1, scrape="5s")
    try:
        world.settle()
        ends = time.monotonic() + minutes * 60
        restarts = [(time.monotonic() + minutes * 60 * share, slot)
                    for share, slot in ((0.4, 0), (0.45, 1))]
        while time.monotonic() < ends:
            if restarts and time.monotonic() > restarts[0][0]:
                world.restart(restarts.pop(0)[1])
            assert not world.firing(), world.state()
            time.sleep(2)
        assert not restarts
        return f"no alert in {minutes:g} minutes with a rolling restart"
    finally:
        world.close()


def check_dashboard(world):
    """Every query of the dashboard returns a series, and each metric has a panel or a reason."""
    empty = []
    for panel in monitoring.panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$job", ".+").replace("$instance", ".+")
            query = query.replace("$__rate_interval", "1m")
            if not world.prometheus.query(query):
                empty.append(f"{panel['title']}: {query}")
    assert not empty, "no series:\n" + "\n".join(empty)
    scraped = {monitoring.metric_of(series["metric"]["__name__"]) for series in
               world.prometheus.query('{job="rollcall", __name__=~"rollcall_.+|process_.+"}')}
    unseen = scraped - monitoring.shown(world.prometheus.rules()) - set(monitoring.WITHOUT_PANEL)
    assert scraped and not unseen, f"on no panel: {sorted(unseen)}"
    return f"every query returns a series, and {len(scraped)} metrics have a panel or a reason"


def dashboard(folder, broker):
    """Every query of the dashboard, with windows that are short enough for a test."""
    world = scene.World(folder, broker)
    try:
        world.settle()
        time.sleep(3600 / scene.FACTOR + 15)
        return check_dashboard(world)
    finally:
        world.close()


def main():
    """Returns the exit status: 0 if each fault fired exactly its alerts."""
    parser = argparse.ArgumentParser(prog="./dev monitoring", description=__doc__.split("\n")[0])
    parser.add_argument("--faults", default="", metavar="LIST",
                        help="only these, and `dashboard` for its queries (all)")
    parser.add_argument("--quiet", type=float, metavar="MINUTES",
                        help="no faults: minutes in which no alert may fire")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    parser.add_argument("--junit", metavar="FILE", help="write the results to FILE")
    settings = parser.parse_args()
    if settings.list:
        for name, (inject, expected, _, _) in faults.FAULTS.items():
            print(f"{name:18} {inspect.getdoc(inject.__wrapped__)}\n{'':18} "
                  f"{', '.join(sorted(expected))}")
        return 0
    names = [name for name in settings.faults.split(",") if name] or [*faults.FAULTS, "dashboard"]
    rollcall.adapt_deadlines()
    folder = tempfile.mkdtemp(prefix="rollcall-monitoring-")
    report = Report()
    broker = kafka.Kafka(os.path.join(folder, "kafka")).start()
    try:
        if settings.quiet:
            cases = {"quiet": lambda: quiet(folder, broker, settings.quiet)}
        else:
            cases = {name: lambda name=name: dashboard(folder, broker) if name == "dashboard"
                     else try_fault(folder, broker, name) for name in names}
        passed = [report.case(name, case) for name, case in cases.items()]
    finally:
        broker.kill()
    if settings.junit:
        report.write(settings.junit)
    if all(passed):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs: {folder}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
