"""The parts of a run: servers, proxy, instances, feeder, reader, and the current round.

Each round has its own topics, group and prefix. This bounds what the instances must read again when
Redis loses its data, and what the broker must keep, however long a run is.
"""

import collections
import os
import signal
import subprocess
import threading
import time

import cluster
import feeder
import fleet
import proxy
import reader
import records
import topology
import verify
import wait

_HERE = os.path.dirname(os.path.abspath(__file__))
PARTITIONS = 4
_SLOTS = 4
_OPTIONS = {"producer.transaction.timeout.ms": 5000, "redis.timeout_ms": 2000,
            "redis.checkpoint_ms": 300, "kafka.reconnect.backoff.max.ms": 1000,
            "input.on_gap": "continue"}
_CLASSIC = {"consumer.session.timeout.ms": 6000, "consumer.heartbeat.interval.ms": 500}
_CONSUMER = {"consumer.group.protocol": "consumer"}


#: What a log has lost: the numbers of its records, and the epoch of the leader before.
Cut = collections.namedtuple("Cut", "numbers epoch")


def _counts():
    """The options that declare the counts which the records expect."""
    found = {}
    for name, count in records.COUNTS.items():
        found.update({f"count.{name}.by": ",".join(count.by), f"count.{name}.every": count.every,
                      f"count.{name}.unique": "user_id" if count.unique else ""})
    return found


class World:
    """Everything that faults and checks act on."""

    def __init__(self, folder, settings, say):
        self.folder = folder
        self.settings = settings
        self.say = say
        self.partitions_max = 3 * PARTITIONS
        self.round = 0
        self.is_ending = threading.Event()  # set when active faults should end early
        self.fleet = self.feeder = self.reader = self.place = self.records = None
        self._disturbances = []  # [since, until or None] of faults that may block Redis or Kafka
        self.dropped_replies = 0
        self.totals = collections.Counter()  # what faults count
        self.proxy = proxy.Proxy()
        self.redis = self.cluster = None
        self.cuts = {}  # partition -> Cut
        self._clock = os.path.join(folder, "clock.so")

    def start(self):
        """Starts the servers."""
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", self._clock,
                        os.path.join(_HERE, "clock.c")], check=True)
        self.redis = topology.TABLE[self.settings.redis](self.folder, self.proxy)
        self.cluster = cluster.Cluster(self.folder, self.proxy, self.settings.brokers).start()

    def begin_round(self, instances=None, stable=_SLOTS // 2, is_fed=True):
        """Creates new topics and a new group, and starts feeder, reader and instances."""
        self.round += 1
        self.cuts = {}
        name, seed = f"chaos-{self.round}", f"{self.settings.seed} round {self.round}"
        topic, output, rejected = f"{name}-in", f"{name}-out", f"{name}-refused"
        for each in (topic, output, rejected):
            self.cluster.create_topic(each, PARTITIONS)
        self.redis.forget_backups()
        self.redis.serve(f"{{{name}}}")
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
             "redis.prefix": self.place.prefix, "redis.min_replicas": self.settings.min_replicas,
             **_OPTIONS, **_counts(), **protocol}, _SLOTS, stable, self.say,
            self.is_disturbed, lambda number: {"redis.url": self.redis.url(number)})
        for slot in self.fleet.slots[:instances or self.settings.instances]:
            self.fleet.start(slot)
        if is_fed:
            self.feeder.go()

    def wait_flow(self, alive):
        """Waits until each instance has partitions, and all of them are counted and published: what
        a start takes must not be measured."""
        def is_flowing():
            try:
                counted = self.place.counted()
            except Exception:  # every client has its own exceptions
                return False
            owned = [slot.instance.metric("rollcall_assigned_partitions")
                     for slot in self.fleet.running()]
            return min(owned) > 0 and sum(owned) == PARTITIONS and all(
                counted.get(p, 0) > 0 and self.reader.accepted[p] > 0 for p in range(PARTITIONS))

        wait.until(is_flowing, 120, "all partitions to flow", every=0.2, alive=alive)

    def end_round(self):
        """Stops the processes of a round cleanly and deletes its topics."""
        self.feeder.stop()
        self.reader.stop()
        for slot in self.fleet.running():
            self.fleet.stop(slot)
        for topic in (self.place.topic, self.place.output, self.place.rejected):
            self.cluster.delete_topic(topic)
        with self.redis.client() as client:
            client.flushall()

    def lose_ends(self, rng):
        """Cuts off the newest records of some logs, after all were counted and published. Once in a
        round, at an exact stop, with the only broker."""
        over = self.disturb()
        counts, node = self.feeder.counts(), self.cluster.nodes[0]
        epochs = {p: self.cluster.committed_epoch(self.place.group, self.place.topic, p)
                  for p in counts}
        self.redis.settle()
        node.stop()
        cuts = {}
        for partition in rng.sample(sorted(counts), max(1, len(counts) // 2)):
            count = counts[partition]
            end = node.cut_log(self.place.topic, partition, count - rng.randint(1, 2000))
            cuts[partition] = Cut(range(end, count), epochs[partition])
        self.cuts = cuts
        lost = {p: len(cut.numbers) for p, cut in cuts.items()}
        self.feeder.lose(lost)
        for partition, count in lost.items():
            self.reader.lost[partition] += count
        node.start()
        self.cluster.wait_whole()
        over()
        self.say(f"the log lost its end, partition -> records: {lost}")

    # Used by faults.

    def hold(self, seconds):
        """Waits while a fault is active; returns early if the run is ending."""
        self.is_ending.wait(seconds)

    def insist(self, act, what):
        """Retries an action that another fault may make fail for a while."""
        def attempt():
            try:
                act()
                return True
            except Exception as error:  # every client has its own exceptions
                failures.append(error)
                return False

        failures = []
        wait.until(attempt, 30, lambda: f"{what}: {failures[-1]!r}", every=0.2)

    def targets(self, target, count):
        """Returns up to count slots of running instances, starting with the drawn one."""
        running = self.fleet.running()
        first = target % len(running) if running else 0
        return (running[first:] + running[:first])[:count]

    def wrong_clock(self, shift_s):
        """Returns the environment of a process whose clock is this much fast; None for a sanitizer,
        which must be the first library."""
        if wait.factor != 1:
            return None
        return {"LD_PRELOAD": self._clock, "CLOCK_SHIFT_S": str(shift_s)}

    def net(self, routes, held_s, mode, argument=None):
        """Keeps some routes of the proxy in a mode for a while."""
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

    # Disturbances: times at which Redis or Kafka may be unavailable.

    def disturb(self):
        """Marks the start of a disturbance; returns the function that marks its end."""
        span = [time.monotonic(), None]
        self._disturbances.append(span)

        def over():
            span[1] = time.monotonic()
        return over

    def is_disturbed(self, since):
        """Whether Redis or Kafka may have been unavailable at some time since then."""
        return any(until is None or until > since for _, until in self._disturbances)

    def check(self):
        """Raises if a part of the harness or an instance has exited by itself."""
        self.proxy.worker.check()
        self.feeder.worker.check()
        self.reader.worker.check()
        self.fleet.check()

    def heal(self):
        """Restarts whatever is still down after all faults have ended."""
        self.cluster.revive()
        self.cluster.wait_whole()
        self.redis.free_disk()
        self.redis.revive()
        self.redis.heal()
        if not self.fleet.running():
            self.fleet.start(self.fleet.empty()[0])

    def log_state(self):
        """Logs what may explain why nothing moves; brokers write thread dumps to their logs."""
        try:
            self.say(f"group: {self.cluster.group_state(self.place.group)}")
        except Exception as error:  # must not hide the failure being reported
            self.say(f"group: {error!r}")
        for node in self.cluster.nodes:
            node.signal(signal.SIGQUIT)
        for slot in self.fleet.running():
            self.say(f"{slot.instance.name}: {slot.instance.threads()}")

    def close(self):
        """Kills everything."""
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
