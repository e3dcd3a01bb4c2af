"""What a run consists of: servers, proxy, instances, feeder and reader, and the round they are in.

A round has topics, a group and a prefix of its own, so that what a Redis that lost everything
must read again, and what the broker must keep, stays bounded however long a run is.
"""

import signal
import threading
import time

import cluster
import feeder
import fleet
import proxy
import reader
import records
import redis_pair
import verify
import wait

PARTITIONS = 4
_SLOTS = 4
_OPTIONS = {"producer.transaction.timeout.ms": 5000, "redis.timeout_ms": 2000,
            "redis.checkpoint_ms": 300, "kafka.reconnect.backoff.max.ms": 1000}
_CLASSIC = {"consumer.session.timeout.ms": 6000, "consumer.heartbeat.interval.ms": 500}
_CONSUMER = {"consumer.group.protocol": "consumer"}


class World:
    """Everything that faults and checks act on."""

    def __init__(self, folder, settings, say):
        self.folder = folder
        self.settings = settings
        self.say = say
        self.partitions_max = 3 * PARTITIONS
        self.round = 0
        self.is_ending = threading.Event()  # faults need not be held any longer
        self.fleet = self.feeder = self.reader = self.place = self.records = None
        self._disturbances = []  # [since, until or None] of faults that may keep Redis away
        self.dropped_replies = 0
        self.proxy = proxy.Proxy()
        self.redis = self.cluster = None

    def start(self):
        """Starts the servers."""
        self.redis = redis_pair.RedisPair(self.folder, self.proxy)
        self.cluster = cluster.Cluster(self.folder, self.proxy, self.settings.brokers).start()

    def begin_round(self, instances=None, stable=_SLOTS // 2, is_fed=True):
        """New topics, a new group, new processes at both ends, and instances between them."""
        self.round += 1
        name, seed = f"chaos-{self.round}", f"{self.settings.seed} round {self.round}"
        topic, output, rejected = f"{name}-in", f"{name}-out", f"{name}-refused"
        for each in (topic, output, rejected):
            self.cluster.create_topic(each, PARTITIONS)
        self.redis.forget_backups()
        self.records = records.Records(seed)
        self.place = verify.Place(self.cluster, self.redis, name, f"{{{name}}}", topic, output,
                                  rejected)
        address = self.cluster.address
        self.feeder = feeder.Feeder(address, topic, seed, PARTITIONS, self.settings.rate)
        self.reader = reader.Reader(address, topic, output, rejected, seed, PARTITIONS)
        protocol = _CONSUMER if self.settings.group_protocol == "consumer" else _CLASSIC
        self.fleet = fleet.Fleet(
            self.folder, name,
            {"kafka.bootstrap.servers": self.cluster.proxied_address, "consumer.group.id": name,
             "input.topic": topic, "output.topic": output, "output.rejected_topic": rejected,
             "redis.url": self.redis.url(), "redis.prefix": self.place.prefix,
             **_OPTIONS, **protocol}, _SLOTS, stable, self.say,
            self.is_disturbed)
        for slot in self.fleet.slots[:instances or self.settings.instances]:
            self.fleet.start(slot)
        if is_fed:
            self.feeder.go()

    def end_round(self):
        """Ends the processes of a round in order, and deletes its topics."""
        self.feeder.stop()
        self.reader.stop()
        for slot in self.fleet.running():
            self.fleet.stop(slot)
        for topic in (self.place.topic, self.place.output, self.place.rejected):
            self.cluster.delete_topic(topic)
        with self.redis.client() as client:
            client.flushall()

    # What faults use.

    def hold(self, seconds):
        """Waits while a fault is on; less long if the run is ending."""
        self.is_ending.wait(seconds)

    def insist(self, act, what):
        """Does something that a fault of another kind may make fail for a while."""
        def attempt():
            try:
                act()
                return True
            except Exception as error:  # whichever client it is
                failures.append(error)
                return False

        failures = []
        wait.until(attempt, 30, lambda: f"{what}: {failures[-1]!r}", every=0.2)

    def targets(self, target, count):
        """So many of the running instances' slots, the drawn one first; at most all."""
        running = self.fleet.running()
        first = target % len(running) if running else 0
        return (running[first:] + running[:first])[:count]

    def net(self, routes, held_s, mode, argument=None):
        """Holds a mode of some routes of the proxy."""
        for route in routes:
            self.proxy.set(route, mode, argument)
        try:
            self.hold(held_s)
        finally:
            for route in routes:
                self.dropped_replies += self.proxy.set(route, "pass")

    def group_partition(self, count):
        """The partition of __consumer_offsets that holds this round's group."""
        number = 0
        for character in self.place.group:
            number = (31 * number + ord(character)) & 0xffffffff
        return (number & 0x7fffffff) % count

    # What is known of disturbances.

    def disturb(self):
        """A fault begins that may keep Redis or Kafka away; returns what ends it."""
        span = [time.monotonic(), None]
        self._disturbances.append(span)

        def over():
            span[1] = time.monotonic()
        return over

    def is_disturbed(self, since):
        """Whether Redis or Kafka may have been away at some time since then."""
        return any(until is None or until > since for _, until in self._disturbances)

    def check(self):
        """Raises if a part of the harness or an instance has ended by itself."""
        self.proxy.worker.check()
        self.feeder.worker.check()
        self.reader.worker.check()
        self.fleet.check()

    def heal(self):
        """After all faults have ended: whatever is still down comes back."""
        self.cluster.revive()
        self.cluster.wait_whole()
        self.redis.free_disk()
        self.redis.revive()
        self.redis.heal()
        if not self.fleet.running():
            self.fleet.start(self.fleet.empty()[0])

    def tell_state(self):
        """Tells what may explain why nothing moves; brokers write their stacks to their logs."""
        try:
            self.say(f"group: {self.cluster.group_state(self.place.group)}")
        except Exception as error:  # whichever: this comes after a failure
            self.say(f"group: {error!r}")
        for node in self.cluster.nodes:
            node.signal(signal.SIGQUIT)
        for slot in self.fleet.running():
            self.say(f"{slot.instance.name}: {slot.instance.threads()}")

    def close(self):
        """Ends everything at once."""
        if self.fleet:
            self.fleet.close()
        for part in (self.feeder, self.reader):
            if part:
                part.worker.kill()
        if self.redis:
            self.redis.close()
        if self.cluster:
            self.cluster.close()
        self.proxy.worker.kill()
