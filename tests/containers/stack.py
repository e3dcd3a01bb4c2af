"""docker-compose.yml with overlays of deploy/compose, brought up by podman-compose."""

import re

import redis
import yaml
from confluent_kafka import Consumer, TopicPartition

import engine
from engine import call, run, until

TOPIC = "user-login"
PREFIX = "{user-login}"
PARTITIONS = 4
#: Services whose images have no stand-in: they are left out.
WITHOUT_STAND_IN = ("grafana",)
START_S = 180


class Stack:
    """The services of docker-compose.yml and some overlays; their containers in podman."""

    def __init__(self, *overlays):
        self._files = ["-f", "docker-compose.yml"]
        for name in overlays:
            self._files += ["-f", f"deploy/compose/{name}.yml"]
        self.project = "unnamed"
        merged = yaml.safe_load(self.compose("config").stdout)
        self.project = merged["name"]
        self.services = {name: service for name, service in merged["services"].items()
                         if name not in WITHOUT_STAND_IN}
        #: service: how it must be before what depends on it starts
        self._demands = {}
        for service in self.services.values():
            for other, how in service.get("depends_on", {}).items():
                self._demands.setdefault(other, set()).add(how["condition"])
        #: Services that go on until they are stopped.
        self.lasting = [name for name in self.services
                        if "service_completed_successfully" not in self._demands.get(name, ())]
        images = [service["image"] for service in self.services.values()]
        for name, image in engine.STAND_INS.items():
            if any(image.endswith(f"/{wanted}") for wanted in images):
                engine.stand_in(name)

    def compose(self, *words, seconds=300):
        """Runs podman-compose; returns how it ended. It would take the name from the first file."""
        return run("podman-compose", "--in-pod", "false", "-p", self.project, *self._files, *words,
                   seconds=seconds)

    def network(self):
        """The network that the services share."""
        return next(iter(engine.inspect(self.container("kafka"))["NetworkSettings"]["Networks"]))

    def container(self, service):
        """The name of a service's container."""
        return f"{self.project}_{service}_1"

    def state(self, service):
        """What the engine says of a service's container."""
        return engine.inspect(self.container(service))["State"]

    def is_healthy(self, service):
        """Asks its health check. podman does not by itself on a machine without systemd."""
        return run("podman", "healthcheck", "run", self.container(service)).returncode == 0

    def logs(self, service):
        """All that a service's container has printed."""
        done = run("podman", "logs", self.container(service))
        return done.stdout + done.stderr

    def kill(self, service):
        """Kills a container, so that nothing is flushed, handed over or said goodbye to."""
        call("podman", "kill", "--signal", "KILL", self.container(service))
        until(lambda: not self.state(service)["Running"], 30, f"{service} to be dead")

    def stop(self, service):
        """Stops a container as its service does."""
        call("podman", "stop", self.container(service))

    def start(self, service):
        """Starts a container that was stopped or killed."""
        call("podman", "start", self.container(service))

    def _is(self, service, condition):
        state = self.state(service)
        if condition == "service_healthy":
            return self.is_healthy(service)
        if condition == "service_completed_successfully":
            return state["Status"] == "exited" and state["ExitCode"] == 0
        return state["Running"]

    def bring_up(self):
        """Starts each service once what it depends on is as the files demand. podman 4.3 leaves
        these conditions aside."""
        waiting = dict(self.services)
        while waiting:
            now = [name for name, service in waiting.items()
                   if not any(other in waiting for other in service.get("depends_on", {}))]
            assert now, f"services that depend on each other: {', '.join(waiting)}"
            done = self.compose("up", "-d", "--no-build", "--no-deps", *now)
            assert done.returncode == 0, done.stderr
            for name in now:
                for condition in self._demands.get(name, ("service_started",)):
                    until(lambda: self._is(name, condition), START_S,
                          lambda: f"{name}: {condition}\n{self.logs(name)[-3000:]}")
                del waiting[name]
        for name in self.lasting:
            if "healthcheck" in self.services[name]:
                self.wait_healthy(name)

    def wait_healthy(self, service):
        """Waits until its health check is content, if it has one."""
        if not self.services[service]["healthcheck"].get("disable"):
            until(lambda: self.is_healthy(service), START_S,
                  lambda: f"{service} to be healthy\n{self.logs(service)[-3000:]}")

    def take_down(self, *options):
        """Takes it down; the data stays unless -v is among the options."""
        return self.compose("down", *options)


class Clients:
    """Kafka and Redis as the host sees them."""

    def __init__(self, brokers="localhost:29092", redis_port=6379, kafka=None, redis_options=None):
        self._kafka = {"bootstrap.servers": brokers, "group.id": "look", **(kafka or {})}
        self._redis = {"host": "127.0.0.1", "port": redis_port, "decode_responses": True,
                       **(redis_options or {})}

    def log_end(self):
        """How many records the input topic holds."""
        consumer = Consumer(self._kafka)
        try:
            return sum(consumer.get_watermark_offsets(TopicPartition(TOPIC, p), 10)[1]
                       for p in range(PARTITIONS))
        finally:
            consumer.close()

    def counted(self):
        """How many records Redis has counted, by device type and as rejected."""
        with redis.Redis(**self._redis) as client:
            devices = client.zrange(f"{PREFIX}:device_type_counts", 0, -1, withscores=True)
            rejected = client.hvals(f"{PREFIX}:rejected_counts")
        return sum(int(count) for _, count in devices) + sum(map(int, rejected))

    def info(self):
        """What Redis says of its role."""
        with redis.Redis(**self._redis) as client:
            return client.info("replication")


def up(*overlays):
    """A fixture's body: brings a new stack up, yields it, and deletes it with its data."""
    stack = Stack(*overlays)
    stack.take_down("-v")
    stack.bring_up()
    yield stack
    stack.take_down("-v")


def delivered(log):
    """How many records a generator has delivered, by its log: it says so again and again, and each
    of its runs begins at 0."""
    seen = [int(count) for count in re.findall(r"delivered=(\d+)", log)]
    assert seen, log[-3000:]
    return sum(now for now, after in zip(seen, seen[1:] + [0]) if after < now)


def wait_counted(stack, clients, at_least):
    """Stops the generator once more than at_least records are counted, and waits until all in the
    topic are; returns how many the generator has delivered in the life of its container."""
    until(lambda: clients.counted() > at_least, 120, f"more than {at_least} records to be counted")
    stack.stop("generator")
    sent = delivered(stack.logs("generator"))
    until(lambda: clients.counted() == clients.log_end(), 120,
          lambda: f"{clients.log_end()} records to be counted, now {clients.counted()}")
    return sent


def outlive(stack, clients):
    """Takes a stack whose generator is stopped down, and brings it up again: no count is lost, and
    those that follow are exact; returns the counts before and after."""
    before = clients.counted()
    down = stack.take_down()
    assert call("podman", "ps", "-aq") == "", down.stderr
    stack.bring_up()
    assert clients.counted() >= before
    after = before + wait_counted(stack, clients, before)
    assert clients.counted() == after
    stack.start("generator")
    return before, after


def check_rights(stack):
    """Nothing runs as root, with capabilities, a writable root, or a port that others can reach."""
    for service in stack.lasting:
        name = stack.container(service)
        found = engine.inspect(name)
        status = call("podman", "exec", name, "cat", "/proc/1/status")
        assert re.search(r"CapEff:\s+0+$", status, re.M), f"{service} has capabilities"
        assert re.search(r"NoNewPrivs:\s+1$", status, re.M), f"{service} may gain privileges"
        assert not re.search(r"Uid:\s+0\s", status), f"{service} runs as root"
        if not service.startswith("kafka"):
            assert found["HostConfig"]["ReadonlyRootfs"], f"{service} may write to its root"
        assert "-m" in found["Config"]["CreateCommand"], f"{service} has no memory limit"
        for bindings in (found["HostConfig"]["PortBindings"] or {}).values():
            assert all(one["HostIp"] == "127.0.0.1" for one in bindings or []), bindings
