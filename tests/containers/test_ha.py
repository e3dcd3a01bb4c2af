"""deploy/compose/ha.yml: exact when a broker and the Redis primary die under load."""

import re

import pytest

import stack as stacks
from engine import call, run, until

BROKERS = "localhost:29092,localhost:29093,localhost:29094"
SENTINELS = ["sentinel", "sentinel-2", "sentinel-3"]
INSTANCES = ["rollcall", "rollcall-2", "rollcall-3"]
REDIS_PORTS = {"redis": 6379, "redis-2": 6380}
FAILOVER_S = 180


class Clients(stacks.Clients):
    """Reads whichever Redis is the primary now."""

    def __init__(self):
        super().__init__(BROKERS)
        self._each = {name: stacks.Clients(BROKERS, port) for name, port in REDIS_PORTS.items()}

    def primary(self):
        """The service of the primary; None while none answers as one."""
        for name, clients in self._each.items():
            try:
                if clients.info()["role"] == "master":
                    return name
            except stacks.redis.exceptions.RedisError:
                pass
        return None

    def is_replica(self, name):
        """Whether this service has caught up with a primary."""
        try:
            return self._each[name].info()["master_link_status"] == "up"
        except (stacks.redis.exceptions.RedisError, KeyError):
            return False

    def counted(self):
        return self._each[until(self.primary, FAILOVER_S, "a primary")].counted()


@pytest.fixture(scope="module")
def stack(image):
    yield from stacks.up("ha")


@pytest.fixture(scope="module")
def clients():
    return Clients()


def describe(stack, topic):
    """What Kafka says of a topic."""
    return call("podman", "exec", stack.container("kafka-3"), "env", "KAFKA_HEAP_OPTS=-Xmx64m",
                "/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka-3:9092",
                "--describe", "--topic", topic)


class Load:
    """A second generator, faster than that of the stack."""

    NAME = "load"

    def __init__(self, stack, rate):
        environment = stack.services["generator"]["environment"]
        options = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        run("podman", "rm", "-f", self.NAME)
        call("podman", "run", "-d", "--name", self.NAME, "--network", stack.network(), *options,
             stacks.engine.IMAGE, "generate", "--rate", str(rate))

    def stop(self):
        """Ends it; returns how many records Kafka has acknowledged."""
        call("podman", "stop", "-t", "60", self.NAME)
        done = run("podman", "logs", self.NAME)
        call("podman", "rm", self.NAME)
        return stacks.delivered(done.stderr)


def grows(clients, by):
    """Waits until some more records are counted."""
    start = clients.counted()
    until(lambda: clients.counted() > start + by, FAILOVER_S,
          lambda: f"{by} more than {start} records to be counted, now {clients.counted()}")


def in_sync(stack):
    """How many copies of each partition of the input topic are in sync."""
    return [len(copies.split(","))
            for copies in re.findall(r"Isr: (\S+)", describe(stack, stacks.TOPIC))]


def quorum(stack, sentinel):
    """What one Sentinel says of how many could agree on a failover."""
    return run("podman", "exec", stack.container(sentinel), "redis-cli", "-p", "26379", "sentinel",
               "ckquorum", "rollcall").stdout


def started(stack):
    """When each instance was started."""
    return [stack.state(name)["StartedAt"] for name in INSTANCES]


def test_everything_is_there_three_times(stack):
    for topic in ("user-login", "processed-user-login", "user-login-rejected"):
        described = describe(stack, topic)
        assert "ReplicationFactor: 3" in described and "min.insync.replicas=2" in described
    until(lambda: all(quorum(stack, name).startswith("OK 3 usable") for name in SENTINELS), 60,
          lambda: [quorum(stack, name) for name in SENTINELS])


def test_counts_are_exact_when_a_broker_and_the_primary_die(stack, clients):
    before, load = started(stack), Load(stack, 1500)
    grows(clients, 5000)

    stack.kill("kafka-2")
    grows(clients, 20000)
    assert sorted(in_sync(stack)) == [2, 2, 2, 2]
    stack.start("kafka-2")
    stack.wait_healthy("kafka-2")
    until(lambda: in_sync(stack) == [3, 3, 3, 3], 120, lambda: f"three copies: {in_sync(stack)}")

    assert clients.primary() == "redis"
    stack.kill("redis")
    until(lambda: clients.primary() == "redis-2", FAILOVER_S, "redis-2 to be the primary")
    grows(clients, 20000)
    stack.start("redis")
    until(lambda: clients.is_replica("redis"), FAILOVER_S, "redis to follow redis-2")
    grows(clients, 5000)

    sent = load.stop() + stacks.wait_counted(stack, clients, 0)
    assert clients.counted() == clients.log_end() == sent
    audit = run("podman", "exec", stack.container("rollcall"), "rollcall", "audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert started(stack) == before, "an instance was restarted"
    print(f"a broker and the primary killed: {sent} records sent, each counted once; "
          f"{audit.stdout.splitlines()[-1]}")


def test_data_and_roles_outlive_the_stack(stack, clients):
    primary = clients.primary()
    first, second = stacks.outlive(stack, clients)
    assert clients.primary() == primary
    print(f"{primary} is still the primary: {first} records before the stack was taken down, "
          f"{second} after it came back")


def test_nothing_runs_with_rights_that_it_does_not_need(stack):
    stacks.check_rights(stack)
