"""One broker, or three of which one may fail. Each has a listener behind a route of the proxy."""

import concurrent.futures
import os

from confluent_kafka import ElectionType, KafkaException

import kafka
import process
import wait

#: Small segments, because after kill -9 the broker reads the last one of each partition again.
_EXTRA = """
log.segment.bytes=67108864
"""
_REPLICATED = """
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
replica.lag.time.max.ms=4000
replica.fetch.wait.max.ms=100
unclean.leader.election.enable=false
"""


class Cluster(kafka.Client):
    """The brokers of a run."""

    def __init__(self, folder, proxy, size):
        assert size in (1, 3)
        controllers = {n: process.free_port() for n in range(1, size + 1)}
        cluster_id = kafka.new_cluster_id()
        self.nodes = [
            kafka.Kafka(os.path.join(folder, f"kafka-{n}"), n, controllers, cluster_id,
                        heap_mb=640 if size == 1 else 400, advertise=proxy.add,
                        extra=_EXTRA + (_REPLICATED if size == 3 else ""))
            for n in controllers]
        self.address = ",".join(node.address for node in self.nodes)
        self.proxied_address = ",".join(node.proxied_address for node in self.nodes)
        self.routes = [int(node.proxied_address.split(":")[1]) for node in self.nodes]

    def start(self):
        """Starts all brokers and waits until they respond."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_answers()
        self.wait_whole()
        return self

    def leaders(self, topic):
        """Returns partition -> leading broker, for partitions that have a leader."""
        found = self.admin().list_topics(timeout=10).topics.get(topic)
        by_id = {node.node_id: node for node in self.nodes}
        return {p: by_id[part.leader] for p, part in found.partitions.items()
                if part.leader in by_id} if found else {}

    def elect_preferred(self):
        """Makes the preferred replica of each partition its leader again."""
        try:
            self.admin().elect_leaders(ElectionType.PREFERRED).result(20)
        except (KafkaException, concurrent.futures.TimeoutError):
            pass  # no election was needed, or a fault is active

    def wait_whole(self):
        """Waits until all brokers are up and every partition has all its replicas in sync."""
        wait.until(self._is_whole, 90, "all brokers to be in sync", every=0.2)

    def _is_whole(self):
        try:
            found = self.admin().list_topics(timeout=5)
        except KafkaException:
            return False
        return len(found.brokers) == len(self.nodes) and all(
            len(part.isrs) == len(part.replicas) and part.leader >= 0
            for topic in found.topics.values() for part in topic.partitions.values())

    def revive(self):
        """Starts brokers that are down."""
        for node in self.nodes:
            if not node.is_running():
                node.start()

    def close(self):
        """Kills all brokers with SIGKILL."""
        for node in self.nodes:
            node.kill()
