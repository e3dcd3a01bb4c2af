"""Two real brokers, of which one can lose the newest records: an unclean leader election.

The first is also the controller. It has the group's offsets, the transactions and the outputs for
itself. Input topics have the second one as their leader, and the first one as its follower.
"""

import contextlib

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

import kafka
import process
import proxy
import wait

#: Followers use the proxied listener, so that the proxy can keep them from the leader.
_EXTRA = """
inter.broker.listener.name=PROXIED
replica.lag.time.max.ms=1500
replica.fetch.wait.max.ms=100
replica.fetch.backoff.ms=200
"""


@contextlib.contextmanager
def running(tmp_path_factory):
    """Runs a pair while the context is open."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    try:
        yield pair.start()
    finally:
        pair.close()


class Pair(kafka.Client):
    """The two brokers."""

    def __init__(self, folder):
        self._proxy = proxy.Proxy()
        controllers, cluster_id = {1: process.free_port()}, kafka.new_cluster_id()
        self.keeper, self.leader = [
            kafka.Kafka(str(folder / f"kafka-{n}"), n, controllers, cluster_id, heap_mb=400,
                        advertise=self._proxy.add, extra=_EXTRA) for n in (1, 2)]
        self.address = self.keeper.address
        self._route = int(self.leader.proxied_address.split(":")[1])

    def start(self):
        """Starts the two, and makes the first one create Kafka's own topics."""
        self.keeper.start()
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "first",
                             "log_level": 0})

        def has_offsets():
            try:
                return consumer.committed([TopicPartition("none", 0)], timeout=10)
            except KafkaException:
                return False

        with contextlib.closing(consumer):
            wait.until(has_offsets, 60, "the topic of the groups' offsets to be created")
        Producer({"bootstrap.servers": self.address, "transactional.id": "first",
                  "log_level": 0}).init_transactions(30)
        self.leader.start()
        return self

    def close(self):
        """Kills all."""
        self.leader.kill()
        self.keeper.kill()
        self._proxy.worker.kill()

    def is_running(self):
        """Whether both run."""
        return self.leader.is_running() and self.keeper.is_running()

    def create_input(self, topic):
        """Creates a topic with one partition, for which any replica may be elected."""
        self._create(topic, [2, 1], {"unclean.leader.election.enable": "true"})
        self.wait_leader(topic, 2)

    def create_output(self, topic):
        """Creates a topic with one partition, which the first broker keeps."""
        self._create(topic, [1], {})
        self.wait_leader(topic, 1)

    def _create(self, topic, replicas, config):
        wanted = NewTopic(topic, 1, replica_assignment=[replicas], config=config)
        self.admin().create_topics([wanted])[topic].result(30)

    def _part(self, topic):
        return self.admin().list_topics(topic, timeout=10).topics[topic].partitions.get(0)

    def wait_leader(self, topic, node_id):
        """Waits until this broker leads the topic."""
        def is_leader():
            part = self._part(topic)
            return part is not None and part.leader == node_id

        wait.until(is_leader, 30, f"broker {node_id} to lead {topic}")

    def wait_in_sync(self, topic, count):
        """Waits until so many replicas of the topic are in sync."""
        def are_in_sync():
            part = self._part(topic)
            return part is not None and len(part.isrs) == count

        wait.until(are_in_sync, 30, f"{count} replicas of {topic} to be in sync")

    def part_ways(self):
        """From now on the follower gets no records. The leader does without it after a moment."""
        self._proxy.set(self._route, "cut")

    def lose_leader(self):
        """Kills the leader, whose follower is then elected, with what it has."""
        self.leader.kill()

    def come_back(self):
        """Starts the old leader, which drops what the new one does not have."""
        self._proxy.set(self._route, "pass")
        self.leader.start()
