"""The broker, the Redis server and the topics for every contender."""

import collections
import contextlib
import os
import shutil
import sys
import tempfile
import zlib

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests", "system"))

from confluent_kafka import Consumer, TopicPartition  # noqa: E402

import kafka  # noqa: E402
import oracle  # noqa: E402
import redis_server  # noqa: E402
import rollcall  # noqa: E402

START = 1720569600  # event time of the first record, 2024-07-10 00:00 UTC
READ_BATCH = 10000


class Broker(kafka.Kafka):
    """Apache Kafka with the JVM flags of its own start script, except for the heap size."""

    @staticmethod
    def _java(main_class, *arguments):
        return ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
                "-Djava.awt.headless=true", "-cp", os.path.join(kafka.JARS, "*"), main_class,
                *arguments]


class World:
    """One broker and one Redis server in a folder that is removed at the end."""

    def __init__(self, advertise=None):
        self.folder = tempfile.mkdtemp(prefix="rollcall-bench-")
        self.broker = Broker(os.path.join(self.folder, "kafka"), advertise=advertise)
        self.data = os.path.join(self.broker.folder, "data")
        self.redis = redis_server.RedisServer(os.path.join(self.folder, "redis"))
        self._serial = 0

    def __enter__(self):
        try:
            self.broker.start()
            self.redis.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.redis.kill()
        if self.broker.is_running():
            self.broker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def name(self, stem):
        """Returns an unused name for a topic or a group."""
        self._serial += 1
        return f"{stem}-{self._serial}"

    def flush_redis(self):
        """Clears Redis and its statistics."""
        with self.redis.client() as client:
            client.flushall()
            client.config_resetstat()

    def redis_commands(self):
        """Returns the commands served since flush_redis, also those in scripts, but not ours."""
        with self.redis.client() as client:
            found = client.info("commandstats")
        ours = ("info", "config", "flushall", "ping", "client", "hello", "select", "zrange",
                "hgetall", "scan")
        return {name.removeprefix("cmdstat_"): int(stats["calls"])
                for name, stats in found.items()
                if name.removeprefix("cmdstat_").split("|")[0] not in ours}


@contextlib.contextmanager
def reader(broker, topic, isolation="read_committed"):
    """Opens a consumer of all partitions of a topic from the beginning, without a group."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "bench-reader",
                         "enable.auto.commit": False, "isolation.level": isolation,
                         "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 10,
                         "fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(broker.partition_count(topic))])
    try:
        yield consumer
    finally:
        consumer.close()


def read(broker, topic, count):
    """Yields lists of messages until count records of the topic have been read."""
    with reader(broker, topic) as consumer:
        while count > 0:
            messages = consumer.consume(min(READ_BATCH, count), 20)
            if not messages:
                raise RuntimeError(f"{topic}: {count} records are missing")
            for message in messages:
                if message.error():
                    raise RuntimeError(f"{topic}: {message.error()}")
            count -= len(messages)
            yield messages


class Records:
    """A filled topic and its expected results."""

    def __init__(self, world, count, partitions=4):
        self.count = count
        self.partitions = partitions
        self.topic = world.name("user-login")
        self.bytes = 0
        self.checksum = 0
        self.counts = {name: collections.Counter() for name in oracle.DIMENSIONS}
        self.minutes = collections.Counter()

    def generate(self, world, *arguments):
        """Fills the topic with `rollcall generate`: valid records, with event time from START."""
        world.broker.create_topic(self.topic, self.partitions)
        done = rollcall.execute(
            "generate", "--count", str(self.count), "--rate", "0", "--invalid", "0", "--seed", "7",
            "--start", str(START), *arguments, timeout=600,
            options={"kafka.bootstrap.servers": world.broker.address, "input.topic": self.topic})
        if done.returncode != 0:
            raise RuntimeError(f"rollcall generate: {done.stderr}")
        self.learn(world)
        return self

    def learn(self, world):
        """Reads the topic and counts it with the oracle of the tests."""
        for messages in read(world.broker, self.topic, self.count):
            for message in messages:
                value = message.value()
                self.bytes += len(value)
                self.checksum += zlib.crc32(value)
                login = oracle.judge(value, message.timestamp()[1])
                for name, text in login.dimensions.items():
                    self.counts[name][text] += 1
                self.minutes[login.second // 60] += 1
