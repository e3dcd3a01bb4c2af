"""The contenders, and the checks that each of them did its whole job."""

import calendar
import collections
import os
import re
import shlex
import time
import zlib

import broker_log
import oracle
import process
import rollcall
import wait
import world as worlds
from measure import Failed

#: Settings that the harness itself gives to a contender, so they are not copied from rollcall.
_OWN = ("bootstrap.servers", "metadata.broker.list", "group.id", "transactional.id", "client.id",
        "client.software.name", "client.software.version", "debug", "log_level", "enabled_events",
        "group.instance.id", "auto.offset.reset", "enable.auto.commit", "log.queue")
_SETTING = re.compile(r"^setting (consumer|producer) (\S+) (\S+?)=(.*)$", re.MULTILINE)

_checked = set()  # (contender, topic) whose output has been compared byte by byte


class Contender:
    """Base of all contenders: the output topic must hold each input record exactly once."""

    name = "?"
    label = "?"
    note = ""
    counts = True

    def command(self, world, records, group, output):
        """Returns ([program, argument ...], {environment})."""
        raise NotImplementedError

    def is_published(self, world, records, output, stable):
        """Whether the output is complete and no transaction is open, by the last stable offsets."""
        found = broker_log.since(world.data, {}, output).get(output, broker_log.Stored())
        return (found.records >= records.count and sum(stable.values()) ==
                found.records + found.aborted + found.commits + found.aborts)

    def is_counted(self, world, records):
        """Whether all records are counted."""
        if not self.counts:
            return True
        with world.redis.client() as client:
            return sum(counter_of(client, "device_type").values()) >= records.count

    def check(self, world, records, group, output):
        """Raises Failed if the result is wrong."""
        found = broker_log.since(world.data, {}, output)[output]
        if found.records != records.count:
            raise Failed(f"{self.name}: the output has {found.records} records instead of "
                         f"{records.count}")
        if self.counts:
            self.check_counts(world, records)
        if (self.name, records.topic) not in _checked:
            checksum = sum(zlib.crc32(message.value() or b"")
                           for messages in worlds.read(world.broker, output, records.count)
                           for message in messages)
            if checksum != records.checksum:
                raise Failed(f"{self.name}: the bytes of the output differ from the input")
            _checked.add((self.name, records.topic))

    def check_counts(self, world, records):
        """Compares the counts in Redis with those of the oracle."""
        with world.redis.client() as client:
            for name in oracle.DIMENSIONS:
                if counter_of(client, name) != records.counts[name]:
                    raise Failed(f"{self.name}: the counts of {name} are wrong")
            if minutes_of(client) != records.minutes:
                raise Failed(f"{self.name}: the counts by minute are wrong")

    def clean(self, world, group):
        """Cleans up after a run."""


def counter_of(client, dimension):
    """Returns value -> logins from all sorted sets and hashes whose name contains the dimension."""
    found = collections.Counter()
    for key in client.scan_iter(f"*:{dimension}_counts*", count=1000):
        if client.type(key) == b"zset":
            items = client.zrange(key, 0, -1, withscores=True)
        else:
            items = client.hgetall(key).items()
        for value, count in items:
            found[value.decode()] += int(count)
    return found


def minutes_of(client):
    """Returns minute since 1970 -> logins."""
    found = collections.Counter()
    for key in client.scan_iter("*:login_counts:*", count=1000):
        day = re.search(rb"\d{4}-\d\d-\d\d", key).group().decode()
        for clock, count in client.hgetall(key).items():
            at = time.strptime(f"{day} {clock.decode()} UTC", "%Y-%m-%d %H:%M %Z")
            found[calendar.timegm(at) // 60] += int(count)
    return found


class Raw(Contender):
    """The plain C loop, with librdkafka's defaults."""

    name, label, counts = "raw", "raw librdkafka loop", False
    note = "publishes only: no JSON, no counts, no Redis; loses headers and timestamps"
    flags = ()

    def settings(self, world):
        """Returns non-default settings, as consumer.NAME=VALUE and producer.NAME=VALUE."""
        return []

    def command(self, world, records, group, output):
        program = os.path.join(worlds.REPO, "build", "bench", "bench_raw")
        return [program, *self.flags, world.broker.address, group, records.topic, output,
                *self.settings(world)], {}


class RawTuned(Raw):
    """The same loop with the librdkafka settings that rollcall uses, read from rollcall itself."""

    name, label = "raw-tuned", "raw librdkafka loop, rollcall's settings"
    _settings = None

    def settings(self, world):
        if self._settings is None:
            self._settings = rollcall_settings(world)
        return self._settings


class RawWhole(RawTuned):
    """The same loop, but keeping headers and timestamps, so it publishes all that rollcall does."""

    name, label = "raw-whole", "raw librdkafka loop, rollcall's settings, whole records"
    note = "publishes only: no JSON, no counts, no Redis"
    flags = ("--whole",)


def rollcall_settings(world):
    """Returns what rollcall sets in its two clients, as printed by a preloaded library."""
    topic = world.name("settings")
    world.broker.create_topic(topic, 4)
    log_path = os.path.join(world.folder, "settings.log")
    preload = os.path.join(worlds.REPO, "build", "bench", "bench_settings.so")
    child = process.spawn(
        [rollcall.BINARY, "run", *rollcall.flags({
            "kafka.bootstrap.servers": world.broker.address,
            "consumer.group.id": world.name("settings"), "input.topic": topic,
            "redis.url": world.redis.url(), "redis.prefix": "{settings}", "http.listen": "",
            "output.topic": world.name("settings-out"), "output.rejected_topic": ""})],
        log_path, env={**os.environ, "LD_PRELOAD": preload})

    def listed():
        with open(log_path, errors="replace") as log:
            text = log.read()
        if "msg=Running" not in text:
            return None
        found = _SETTING.findall(text)
        # The last client of each role does the work; earlier ones only inspect topics.
        last = {role: client for role, client, _, _ in found}
        return [(role, name, value) for role, client, name, value in found
                if client == last[role]]

    try:
        found = wait.until(listed, 30, lambda: f"rollcall's settings: {process.tail(log_path)}")
    finally:
        process.terminate(child, 20)
    return sorted({f"{role}.{name}={value}" for role, name, value in found
                   if name not in _OWN and not value.startswith("0x")})


def wait_assigned(log_path):
    """Waits until rollcall logs that partitions are assigned."""
    def is_assigned():
        with open(log_path, errors="replace") as log:
            return "Partitions assigned" in log.read()

    wait.until(is_assigned, 30, lambda: f"rollcall to join: {process.tail(log_path)}")


class Rollcall(Contender):
    """rollcall run with its defaults."""

    name, label = "rollcall", "rollcall"
    note = "exactly once into Kafka and into Redis"
    program = rollcall.BINARY
    options = {}
    arguments = ()
    environment = {}

    def command(self, world, records, group, output):
        return [self.program, "run", *rollcall.flags({
            "kafka.bootstrap.servers": world.broker.address, "consumer.group.id": group,
            "input.topic": records.topic, "output.topic": output,
            "output.rejected_topic": f"{output}-rejected", "redis.url": world.redis.url(),
            "http.listen": "", **self.options}), *self.arguments], self.environment

    def clean(self, world, group):
        rejected = [topic for topic in world.broker.admin().list_topics(timeout=10).topics
                    if topic.endswith("-rejected")]
        for topic in rejected:
            world.broker.delete_topic(topic)


class Variant(Rollcall):
    """Another build of rollcall, or this build with other settings.

    The text is "NAME=[VAR=VALUE ...] PROGRAM [--OPTION=VALUE ...]"; PROGRAM "-" is this build.
    """

    def __init__(self, text):
        self.name, _, rest = text.partition("=")
        words = shlex.split(rest)
        at = next((i for i, word in enumerate(words) if "=" not in word), None)
        if not self.name or at is None:
            raise SystemExit(f"bench: --variant {text}: must be NAME=[VAR=VALUE ...] PROGRAM "
                             "[--OPTION=VALUE ...]")
        self.label = f"{self.name}: {rest}"
        self.environment = dict(word.split("=", 1) for word in words[:at])
        self.program = self.program if words[at] == "-" else words[at]
        self.arguments = words[at + 1:]
