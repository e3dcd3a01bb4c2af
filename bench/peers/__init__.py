"""Alternatives to rollcall, as contenders. Their programs are in this directory."""

import glob
import json
import os
import shutil

import oracle
from contenders import Contender
from measure import Failed

_HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                     "rollcall")
STREAMS_JARS = os.path.join(CACHE, "kafka-streams-4.1.2")


def _python(name):
    """Returns the Python of the virtual environment that ./dev made for a peer."""
    found = glob.glob(os.path.join(CACHE, f"bench-{name}-*", "bin", "python"))
    if not found:
        raise Failed(f"not installed: {_pip_error(name)}")
    return found[0]


def _pip_error(name):
    """Returns pip's error message from when ./dev tried to install the peer."""
    path = os.path.join(CACHE, "log", f"bench-{name}.log")
    if not os.path.exists(path):
        return "./dev bench has not tried to install it"
    with open(path) as log:
        return next((line.strip() for line in log if line.startswith("ERROR")), f"see {path}")


class Original(Contender):
    """The Python original, which keeps its counts in a file."""

    name, label = "original", "the Python original, without its sleep"
    note = "confluent-kafka, json; a flush and a file for each record; at least once"

    def _insights(self, world):
        try:
            with open(os.path.join(world.folder, "insights.json")) as saved:
                return json.load(saved)
        except (OSError, ValueError):
            return None  # the file is being written

    def command(self, world, records, group, output):
        self.clean(world, group)
        return [_python("fast"), os.path.join(_HERE, "original.py"), world.broker.address, group,
                records.topic, output, os.path.join(world.folder, "insights.json")], {}

    def is_counted(self, world, records):
        found = self._insights(world)
        return found and sum(found["Logins by Device Type"].values()) >= records.count

    def check_counts(self, world, records):
        found = self._insights(world)
        minutes = {oracle.minute_of(minute * 60): n for minute, n in records.minutes.items()}
        if (found["Logins by Device Type"] != records.counts["device_type"] or
                found["Logins by Locale"] != records.counts["locale"] or
                found["Logins Over Time"] != minutes):
            raise Failed(f"{self.name}: the counts are wrong")

    def clean(self, world, group):
        path = os.path.join(world.folder, "insights.json")
        if os.path.exists(path):
            os.remove(path)


class Fast(Contender):
    """The best Python consumer."""

    name, label = "python", "the best Python consumer"
    note = "confluent-kafka in batches of 10,000, orjson, pipelined Redis, checkpoints of 1 s; " \
           "transactions; into Redis best effort"
    program, environment = "fast.py", "fast"

    def command(self, world, records, group, output):
        return [_python(self.environment), os.path.join(_HERE, self.program), world.broker.address,
                group, records.topic, output, str(world.redis.port)], {}


class Quix(Fast):
    """Quix Streams."""

    name, label = "quix", "Quix Streams 3.28"
    note = "exactly_once into Kafka, checkpoints of 1 s; into Redis at least once"
    program, environment = "quix.py", "quix"


class Bytewax(Contender):
    """Bytewax."""

    name, label = "bytewax", "Bytewax 0.21"
    note = "batches of 10,000, no recovery store: best effort"

    def command(self, world, records, group, output):
        return [_python("bytewax"), "-m", "bytewax.run", "waxed"], {
            "PYTHONPATH": _HERE, "PEER_BROKERS": world.broker.address,
            "PEER_INPUT": records.topic, "PEER_OUTPUT": output,
            "PEER_REDIS_PORT": str(world.redis.port)}


class Streams(Contender):
    """Kafka Streams."""

    name, label = "streams", "Kafka Streams 4.1"
    note = "exactly_once_v2, in-memory stores with caches, two threads, heap of at most 512 MB; " \
           "into Redis at least once"

    def command(self, world, records, group, output):
        classes = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "build", "bench", "streams")
        if not os.path.isdir(classes):
            raise Failed(f"{classes} does not exist: run ./dev bench to build it")
        return ["java", "-Xms256m", "-Xmx512m", "-XX:+UseParallelGC", "-Xshare:auto",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
                f"{classes}:{STREAMS_JARS}/*", "Peer", world.broker.address, group, records.topic,
                output, str(world.redis.port), os.path.join(world.folder, "streams")], {}

    def clean(self, world, group):
        for topic in world.broker.admin().list_topics(timeout=10).topics:
            if topic.startswith(f"{group}-"):
                world.broker.delete_topic(topic)
        shutil.rmtree(os.path.join(world.folder, "streams"), ignore_errors=True)


#: (contender, share of the records, seconds per run on two slow cores).
PLAN = [(Fast(), 0.5, 12), (Streams(), 0.5, 25), (Quix(), 0.25, 20), (Bytewax(), 0.25, 10),
        (Original(), 0.01, 30)]
