"""A real Prometheus, with the rules of deploy/monitoring, next to rollcall and faults.

Each fault must fire exactly its alerts, which must then clear. To see that within minutes, every
duration in the rules is divided by FACTOR, and Prometheus scrapes once a second. A fault has a
world of its own: topics, group, Redis, two instances and Prometheus.

With --quiet N nothing is divided, and during N minutes with a rolling restart no alert may fire.
"""

import argparse
import contextlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
import xml.sax.saxutils

import confluent_kafka
from confluent_kafka import admin

import kafka
import monitoring
import process
import redis_server
import rollcall
import wait

FACTOR = 30
PARTITIONS = 4
RATE = 200
SETTLE_S = 10
FIRE_S = 120
CLEAR_S = 480  # a fault of more than two minutes lasts in the windows of 1 d and 2 h for six
OPTIONS = {"producer.transaction.timeout.ms": 3000, "consumer.session.timeout.ms": 2000,
           "consumer.heartbeat.interval.ms": 300, "redis.checkpoint_ms": 200,
           "redis.timeout_ms": 1000, "instance.shards": 1, "anomaly.threshold": 1000000}


class Feed:
    """Logins at a steady rate, with the present as their Kafka timestamp; 1 % is not valid."""

    def __init__(self, address, topic):
        self._topic = topic
        self._producer = confluent_kafka.Producer({
            "bootstrap.servers": address, "linger.ms": 5, "log_level": 0,
            "reconnect.backoff.max.ms": 500, "message.timeout.ms": 600000})
        self._stop = threading.Event()
        self.rejected_percent = 1
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        started, sent = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - started) * RATE)
            for n in range(sent, due):
                is_bad = n % 100 < self.rejected_percent
                self.send(b"{" if is_bad else self.login(int(time.time()), n), n)
            sent = due
            self._producer.poll(0)
            self._stop.wait(0.02)

    @staticmethod
    def login(second, n):
        """One valid login."""
        return json.dumps({"user_id": f"u{n}", "locale": "PA", "device_type": "android",
                           "timestamp": second}).encode()

    def send(self, value, n):
        """Sends one record."""
        self._producer.produce(self._topic, value, partition=n % PARTITIONS,
                               timestamp=int(time.time() * 1000))

    def burst(self, count):
        """Sends logins that are all of one minute."""
        for n in range(count):
            self.send(self.login(int(time.time()) - 86400, n), n)
            if n % 1000 == 0:
                self._producer.poll(0.01)

    def close(self):
        """Stops."""
        self._stop.set()
        self._thread.join()
        self._producer.purge()


class World:
    """What a fault acts on."""

    _serial = 0

    def __init__(self, folder, broker, options=None, factor=FACTOR, scrape="1s"):
        World._serial += 1
        name = f"live-{World._serial}"
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.broker = broker
        self.topic = f"{name}-in"
        broker.create_topic(self.topic, PARTITIONS)
        self.redis = redis_server.RedisServer(os.path.join(self.folder, "redis")).start()
        self.group = name
        self.options = {
            "kafka.bootstrap.servers": broker.address, "consumer.group.id": name,
            "input.topic": self.topic, "output.topic": f"{name}-out",
            "output.rejected_topic": f"{name}-refused", "redis.url": self.redis.url(),
            "redis.prefix": f"{{{name}}}", **OPTIONS, **(options or {})}
        self.ports = [process.free_port() for _ in range(3)]
        self.instances = {}
        self._starts = 0
        self.feed = Feed(broker.address, self.topic)
        for slot in (0, 1):
            self.start(slot)
        for slot in (0, 1):
            self.instances[slot].wait_ready()
        self.prometheus = monitoring.Prometheus(self.folder, self._configuration(factor, scrape))
        self.seen = set()

    def _configuration(self, factor, scrape):
        files = []
        for path in monitoring.RULES:
            files.append(os.path.join(self.folder, os.path.basename(path)))
            rules = monitoring.text_of(path)
            if factor > 1:
                rules = monitoring.scaled(rules, factor, at_least_s=1)
            with open(files[-1], "w", encoding="utf-8") as out:
                out.write(rules)
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in self.ports[:2])
        return (f"global:\n  scrape_interval: {scrape}\n  scrape_timeout: 1s\n"
                f"  evaluation_interval: {scrape}\nrule_files: [{', '.join(files)}]\n"
                f"scrape_configs:\n  - job_name: rollcall\n    static_configs:\n"
                f"      - targets: [{targets}]\n")

    def start(self, slot, **options):
        """Starts the instance of a slot, in place of the one that was there."""
        self._starts += 1
        named = {"instance.id": f"live-{slot}", "http.listen": f"127.0.0.1:{self.ports[slot]}",
                 **options}
        instance = rollcall.Instance(self.folder, f"r{slot}-{self._starts}",
                                     {**self.options, **named})
        instance.http_port = self.ports[slot]
        self.instances[slot] = instance
        return instance

    def restart(self, slot):
        """Stops the instance of a slot with SIGTERM, and starts it again."""
        self.instances[slot].stop()
        self.start(slot).wait_ready()

    def firing(self):
        """The alerts that fire now; remembers them."""
        now = self.prometheus.firing()
        self.seen |= now
        return now

    def settle(self):
        """Waits until Prometheus has found its targets, which takes 5 s: then no alert may fire."""
        wait.until(lambda: len(self.prometheus.query("up == 1")) == 2, 30, "both to be scraped")
        wait.until(lambda: not self.firing(), CLEAR_S, self.state, every=0.5)
        self.seen = set()
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            assert not self.firing(), f"before the fault:\n{self.state()}"
            time.sleep(0.5)

    def state(self):
        """What explains an alert that should not be, or that is missing."""
        alerts = self.prometheus.ask("alerts")["alerts"]
        return "\n".join(sorted(f"  {a['labels']['alertname']} {a['state']} {a['value']} "
                                f"{a['labels']}" for a in alerts))

    def close(self):
        """Kills everything."""
        self.feed.close()
        for instance in self.instances.values():
            instance.kill()
        self.prometheus.kill()
        self.redis.kill()


FAULTS = {}


def fault(*alerts, may=(), **options):
    """A fault that fires exactly these alerts, and perhaps those in `may`.

    The function yields while the fault lasts.
    """
    def add(function):
        FAULTS[function.__name__] = (contextlib.contextmanager(function), set(alerts), set(may),
                                     {name.replace("__", "."): v for name, v in options.items()})
        return function
    return add


@fault("RollcallDown")
def instance_down(world):
    """One of two instances is killed; the other takes over."""
    world.instances[0].kill()
    yield
    world.start(0)


@fault("RollcallDown", "RollcallAbsent", may=("RollcallLateRecords",))
def all_down(world):
    """Both instances are killed. What came meanwhile is late afterwards."""
    for slot in (0, 1):
        world.instances[slot].kill()
    yield
    for slot in (0, 1):
        world.start(slot)


@fault("RollcallDown", "RollcallPartitionUnowned", may=("RollcallLateRecords",),
       consumer__session__timeout__ms=40000)
def no_owner(world):
    """A static member is killed, and the group waits for it to come back."""
    world.instances[0].kill()
    yield
    world.start(0)


@fault("RollcallRestarting", "RollcallDuplicateInstanceId",
       may=("RollcallDown", "RollcallLateRecords", "RollcallPartitionUnowned",
            "RollcallTransactionsAborted", "RollcallRewindStorm", "RollcallAbsent"))
def twins(world):
    """Two instances have the same id, and a service manager restarts them."""
    is_over = threading.Event()

    def manage():
        while not is_over.is_set():
            for slot in (0, 1):
                if not world.instances[slot].is_running():
                    world.start(slot, **{"instance.id": "live-0"})
            is_over.wait(1)

    world.instances[1].kill()
    manager = threading.Thread(target=manage, daemon=True)
    manager.start()
    yield
    is_over.set()
    manager.join()
    for slot in (0, 1):
        world.instances[slot].kill()
        world.start(slot)


@fault("RollcallDependencyDown", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_away(world):
    """Redis is killed."""
    world.redis.kill()
    yield
    world.redis.start()


@fault("RollcallDependencyDown", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_hangs(world):
    """Redis is suspended: it takes connections, and answers nothing."""
    world.redis.pause()
    yield
    world.redis.resume()


@fault("RollcallRedisMemoryHigh", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_full(world):
    """Redis has reached its maxmemory."""
    with world.redis.client() as client:
        client.config_set("maxmemory", "1mb")
        yield
        client.config_set("maxmemory", "0")


@fault("RollcallRewindStorm", may=("RollcallLateRecords",))
def redis_forgets(world):
    """Redis loses everything, again and again."""
    is_over = threading.Event()

    def forget():
        while not is_over.wait(1.5):
            with world.redis.client() as client:
                client.flushall()

    forgetter = threading.Thread(target=forget, daemon=True)
    forgetter.start()
    yield
    is_over.set()
    forgetter.join()


@fault("RollcallDependencyDown", may=("RollcallLateRecords", "RollcallPartitionStuck",
                                      "RollcallPartitionUnowned", "RollcallTransactionsAborted"))
def kafka_away(world):
    """The broker is killed."""
    world.broker.kill()
    yield
    world.broker.start()


@fault("RollcallRecordsLost", input__on_gap="continue", may=("RollcallLateRecords",
                                                             "RollcallDown", "RollcallAbsent"))
def records_deleted(world):
    """Kafka deletes records while no instance runs."""
    for slot in (0, 1):
        world.instances[slot].kill()
    time.sleep(1.5)
    world.broker.delete_records(world.topic, world.broker.end_offsets(world.topic))
    for slot in (0, 1):
        world.start(slot)
    yield


@fault("RollcallHeadroomLow", "RollcallCheckpointsFailing", "RollcallDependencyDown",
       "RollcallPartitionStuck", "RollcallLateRecords")
def retention_ends(world):
    """Redis is away, and the topic keeps its records for an hour; then for a month."""
    def keep(hours):
        entry = admin.ConfigEntry("retention.ms", str(hours * 3600000),
                                  incremental_operation=admin.AlterConfigOpType.SET)
        resource = admin.ConfigResource("topic", world.topic, incremental_configs=[entry])
        world.broker.admin().incremental_alter_configs([resource])[resource].result(30)

    keep(1)
    world.redis.kill()
    yield
    keep(720)  # rollcall asks once a minute
    world.redis.start()


@fault("RollcallNothingAccepted", may=("RollcallRejectedShareHigh",))
def broken_producer(world):
    """Everything that comes in is rejected."""
    world.feed.rejected_percent = 100
    yield
    world.feed.rejected_percent = 1


@fault("RollcallRejectedShareHigh")
def worse_producer(world):
    """A fifth of what comes in is rejected, and a week ago it was 1 %."""
    time.sleep(3600 / FACTOR + 30)
    world.feed.rejected_percent = 20
    yield
    world.feed.rejected_percent = 1


@fault("RollcallAnomaly", anomaly__threshold=20000)
def many_logins(world):
    """A minute has more logins than the threshold."""
    world.feed.burst(25000)
    yield


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


def try_fault(folder, broker, name):
    """One fault from beginning to end; returns what was seen."""
    inject, expected, may, options = FAULTS[name]
    world = World(folder, broker, options)
    try:
        world.settle()
        begun = time.monotonic()
        with inject(world):
            wait.until(lambda: not expected - (world.firing() and world.seen), FIRE_S,
                       lambda: f"{expected - world.seen} to fire:\n{world.state()}", every=0.5)
            fired_s = time.monotonic() - begun
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                world.firing()
                time.sleep(0.5)
        ended = time.monotonic()
        wait.until(lambda: not world.firing(), CLEAR_S,
                   lambda: f"all to clear:\n{world.state()}", every=0.5)
        assert world.seen - may == expected - may, \
            f"fired {sorted(world.seen)}, not {sorted(expected)}:\n{world.state()}"
        return f"{', '.join(sorted(world.seen))}; fired within {fired_s:.0f} s, " \
               f"clear {time.monotonic() - ended:.0f} s after the fault"
    finally:
        world.close()


def quiet(folder, broker, minutes):
    """Nothing is wrong for some minutes, except that every instance is restarted in turn."""
    world = World(folder, broker, {"consumer.session.timeout.ms": 10000,
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
        check_dashboard(world)
        return f"no alert in {minutes:g} minutes with a rolling restart"
    finally:
        world.close()


def check_dashboard(world):
    """Every query of the dashboard returns a series."""
    empty = []
    for panel in monitoring.panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$job", ".+").replace("$instance", ".+")
            query = query.replace("$__rate_interval", "1m")
            if not world.prometheus.query(query):
                empty.append(f"{panel['title']}: {query}")
    assert not empty, "no series:\n" + "\n".join(empty)
    return "every query returns a series"


def dashboard(folder, broker):
    """Every query of the dashboard, with windows that are short enough for a test."""
    world = World(folder, broker)
    try:
        world.settle()
        time.sleep(3600 / FACTOR + 15)
        return check_dashboard(world)
    finally:
        world.close()


def main():
    """Returns the exit status: 0 if each fault fired exactly its alerts."""
    parser = argparse.ArgumentParser(prog="./dev monitoring", description=__doc__.split("\n")[0])
    parser.add_argument("--faults", default="", metavar="LIST", help="only these (all)")
    parser.add_argument("--quiet", type=float, metavar="MINUTES",
                        help="no faults: minutes in which no alert may fire")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    parser.add_argument("--junit", metavar="FILE", help="write the results to FILE")
    settings = parser.parse_args()
    if settings.list:
        for name, (inject, expected, _, _) in FAULTS.items():
            print(f"{name:18} {inspect.getdoc(inject.__wrapped__)}\n{'':18} "
                  f"{', '.join(sorted(expected))}")
        return 0
    names = [name for name in settings.faults.split(",") if name] or list(FAULTS)
    rollcall.adapt_deadlines()
    folder = tempfile.mkdtemp(prefix="rollcall-monitoring-")
    report = Report()
    broker = kafka.Kafka(os.path.join(folder, "kafka")).start()
    try:
        if settings.quiet:
            cases = {"quiet": lambda: quiet(folder, broker, settings.quiet)}
        else:
            cases = {name: lambda name=name: try_fault(folder, broker, name) for name in names}
            if not settings.faults:
                cases["dashboard"] = lambda: dashboard(folder, broker)
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
