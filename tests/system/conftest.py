"""What the tests share: all use one broker, and each has its own topics, group and Redis."""

import itertools
import os
import signal

import pytest

import declared
import kafka
import load
import process
import redis_server
import rollcall
import verify
import wait

PARTITIONS = 4
#: Short timeouts, so that a crashed producer's transaction does not block the tests for a minute.
_QUICK = {"producer.transaction.timeout.ms": 3000, "consumer.session.timeout.ms": 6000,
          "consumer.heartbeat.interval.ms": 500, "redis.checkpoint_ms": 100,
          "instance.shards": 2}

#: Counts of declared.COUNTS that every instance declares, and that every World.verify verifies.
_COUNTS = {name: declared.COUNTS[name] for name in
           filter(None, os.environ.get("RC_COUNTS", "").split(","))}

#: Those that only `./dev pods` runs: they take a minute, and it builds KEDA's scaler for them.
collect_ignore = ["test_keda.py", "test_pods.py"]

_serials = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitizer: the short subset for sanitizer builds")
    config.addinivalue_line("markers", "coverage: the subset that `./dev coverage` runs")
    config.addinivalue_line("markers", "redis(password, append_only): options of the Redis server")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what nohup has ignored, children would, too
    rollcall.adapt_deadlines()


def pytest_collection_modifyitems(items):
    for item in items:
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else 120
        item.add_marker(pytest.mark.timeout(seconds * wait.factor), append=False)


class World:
    """The environment of one group: topics, Redis, the instances started in it, the load."""

    def __init__(self, broker, folder, redis, request):
        serial = next(_serials)
        self.broker = broker
        self.folder = str(folder)
        self.redis_server = redis
        self.topic = f"user-login-{serial}"
        self.output = f"processed-{serial}"
        self.rejected = f"rejected-{serial}"
        self.group = f"group-{serial}"
        self.prefix = f"{{user-login-{serial}}}"
        self.options = {
            "kafka.bootstrap.servers": broker.address, "consumer.group.id": self.group,
            "input.topic": self.topic, "output.topic": self.output,
            "output.rejected_topic": self.rejected, "redis.url": redis.url(),
            "redis.prefix": self.prefix, **_QUICK, **declared.options(_COUNTS)}
        self.instances = []
        self.place = verify.Place(broker, redis, self.group, self.prefix, self.topic,
                                  self.output, self.rejected)
        self._seed = serial

    def create_input(self, partitions=PARTITIONS):
        """Creates the input topic."""
        self.broker.create_topic(self.topic, partitions)

    def make_load(self, partitions=PARTITIONS, **settings):
        """Returns a Load for this world's input topic, which is created if necessary."""
        if self.broker.partition_count(self.topic) == 0:
            self.create_input(partitions)
        return load.Load(self.broker, self.topic, load.Events(self._seed, partitions, **settings))

    def run(self, name=None, env=None, **options):
        """Starts an instance. Options are written as section__key, each dot as two underscores."""
        instance = rollcall.Instance(self.folder, name or f"run-{len(self.instances) + 1}",
                                     {**self.options, **dotted(options)}, env)
        self.instances.append(instance)
        return instance

    def execute(self, command, *arguments, env=None, timeout=60, **options):
        """Runs another rollcall command to completion, with this world's options."""
        return rollcall.execute(command, *arguments, options={**self.options, **dotted(options)},
                                env=env, timeout=timeout)

    def alive(self):
        """Raises if no instance is running any more."""
        if not any(instance.is_running() for instance in self.instances):
            self.instances[-1].check_alive()

    def wait_quiet(self, seconds=60):
        """Waits until all input is counted and published."""
        verify.wait_quiet(self.place, seconds, alive=self.alive)

    def verify(self, load_, instance=None, seconds=60, **rules):
        """Waits until all work is done, then checks everything; returns what was expected."""
        self.wait_quiet(seconds)
        return verify.check_all(self.place, load_.records, instance or self.instances[-1],
                                **{"counts": _COUNTS, **rules})

    def wait_shared(self, *instances, seconds=40):
        """Waits until the instances together own all partitions, each at least one."""
        def owned():
            return [i.metric("rollcall_assigned_partitions") for i in instances]

        wait.until(lambda: min(owned()) > 0 and sum(owned()) == PARTITIONS, seconds,
                   lambda: f"{PARTITIONS} partitions to be shared, now {owned()}", every=0.1)

    def counted_total(self):
        """The number of records that Redis has counted so far, over all partitions."""
        return sum(self.place.counted().values())

    def wait_counted(self, count, seconds=60):
        """Waits until Redis has counted at least this many records."""
        wait.until(lambda: self.counted_total() >= count, seconds,
                   lambda: f"{count} records to be counted, now {self.counted_total()}",
                   alive=self.alive)

    def close(self):
        """Kills what still runs; fails if a sanitizer reported anything."""
        findings = []
        for instance in self.instances:
            instance.kill()
            findings += rollcall.sanitizer_findings(instance.log())
        self.redis_server.kill()
        assert not findings, "\n\n".join(findings[:3])


def dotted(options):
    """Turns section__some__key=1 into {"section.some.key": 1}."""
    return {name.replace("__", "."): value for name, value in options.items()}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the end of every instance's log to a failure report."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "world" in item.funcargs:
        for instance in item.funcargs["world"].instances:
            report.sections.append((f"log of {instance.name}",
                                    process.tail(instance.log_path, 60)))


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """The broker that all tests share."""
    with kafka.running(tmp_path_factory) as server:
        yield server


@pytest.fixture
def world(broker, tmp_path, request):
    """A World with a fresh Redis; `@pytest.mark.redis(...)` passes arguments to RedisServer."""
    if not os.path.exists(rollcall.BINARY):
        pytest.fail(f"{rollcall.BINARY} does not exist: run ./dev build, or set RC_BINARY")
    if not broker.is_running():
        broker.start()
    marker = request.node.get_closest_marker("redis")
    server = redis_server.RedisServer(str(tmp_path / "redis"), **(marker.kwargs if marker else {}))
    server.start()
    made = World(broker, tmp_path, server, request)
    yield made
    made.close()
