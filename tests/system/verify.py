"""Compares everything that rollcall wrote with what the oracle expects; raises if they differ."""

import collections
import re

from confluent_kafka import Consumer, KafkaError, TopicPartition

import hyperloglog
import oracle
import wait

_MAX_RETENTION_S = 400 * 86400
_ERRORS = "__rollcall.errors."

#: One record as a read_committed reader sees it.
Read = collections.namedtuple("Read", "partition offset key value timestamp_ms headers")


class Place:
    """The topics and keys of one rollcall group, which are to be verified."""

    def __init__(self, broker, redis_server, group, prefix, topic, output, rejected):
        self.broker = broker
        self.redis_server = redis_server
        self.group = group
        self.prefix = prefix
        self.topic = topic
        self.output = output
        self.rejected = rejected

    def counted(self):
        """Returns partition -> next offset to count, as stored in Redis."""
        with self.redis_server.client() as client:
            found = client.hgetall(f"{self.prefix}:offsets")
        return {int(partition): int(offset) for partition, offset in found.items()}

    def published(self):
        """Returns partition -> the group's committed offset."""
        return self.broker.committed(self.group, self.topic)

    def ends(self):
        """Returns partition -> end of the input, for partitions that are not empty."""
        return {p: end for p, end in self.broker.end_offsets(self.topic).items() if end > 0}


def wait_quiet(place, seconds, alive=None):
    """Waits until both watermarks have reached the input's end and no transaction is open."""
    ends = place.ends()

    def lines():
        return (f"both watermarks to reach the end of the input {ends}: counted "
                f"{place.counted()}, published {place.published()}")

    def arrived(found):
        # A partition that never held a record has no watermark, or watermark 0.
        return {p: offset for p, offset in found.items() if offset > 0} == ends

    wait.until(lambda: arrived(place.counted()), seconds, lines, every=0.1, alive=alive)
    wait.until(lambda: arrived(place.published()), seconds, lines, every=0.1, alive=alive)
    for topic in filter(None, (place.output, place.rejected)):
        wait.until(lambda: _is_stable(place.broker, topic), seconds,
                   f"all transactions in {topic} to end", every=0.1, alive=alive)


def _is_stable(broker, topic):
    return broker.stable_offsets(topic) == broker.end_offsets(topic)


def read_committed(broker, topic, isolation="read_committed"):
    """Returns everything that a reader of the topic sees, as Read, in order in each partition."""
    count = broker.partition_count(topic)
    ends = broker.stable_offsets(topic)
    consumer = Consumer({
        "bootstrap.servers": broker.address, "group.id": "verify", "enable.auto.commit": False,
        "isolation.level": isolation, "enable.partition.eof": True, "log_level": 0,
        "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50, "fetch.queue.backoff.ms": 10})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
    found, left = [], set(range(count))

    def drain():
        for message in consumer.consume(10000, 0.2):
            if message.error() is None:
                found.append(Read(message.partition(), message.offset(), message.key(),
                                  message.value(), message.timestamp()[1],
                                  message.headers() or []))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                if message.offset() >= ends[message.partition()]:
                    left.discard(message.partition())
            else:
                raise AssertionError(f"reading {topic}: {message.error()}")
        return not left

    try:
        wait.until(drain, 60, f"the end of {topic}", every=0)
    finally:
        consumer.close()
    return found


def by_partition(reads):
    """Returns partition -> its records in order."""
    found = collections.defaultdict(list)
    for read in reads:
        found[read.partition].append(read)
    return found


def _content(record):
    """Returns the parts of a record that must be unchanged: key, value, timestamp, headers."""
    headers = tuple((name, value) for name, value in record.headers or [])
    return record.key, record.value, record.timestamp_ms, headers


def same_counts(what, found, expected):
    """Raises unless two mappings to numbers are equal."""
    if found == expected:
        return
    wrong = {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()
             if found.get(key) != expected.get(key)}
    total = sum(found.values()) - sum(expected.values())
    raise AssertionError(f"{what}: {len(wrong)} differ (sum {total:+d}), as (found, expected): "
                         f"{dict(list(wrong.items())[:10])}")


def same_registers(what, found, expected):
    """Raises unless a HyperLogLog of Redis, or None, has these ranks of all registers, or None."""
    found = hyperloglog.stored(found) if found else bytes(hyperloglog.REGISTERS)
    expected = expected or bytes(hyperloglog.REGISTERS)
    if found == expected:
        return
    wrong = [(n, *pair) for n, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]]
    lower = sum(have < want for _, have, want in wrong)
    raise AssertionError(
        f"{what}: {len(wrong)} registers differ, {lower} of them too low, as (register, found, "
        f"expected): {wrong[:10]}; {hyperloglog.count(found)} different values found, "
        f"{hyperloglog.count(expected)} expected")


def _same_sequence(what, found, expected):
    """Raises unless two lists of contents are equal."""
    if found == expected:
        return
    have, want = collections.Counter(found), collections.Counter(expected)
    missing, surplus = list((want - have).elements()), list((have - want).elements())
    at = next((n for n, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]),
              min(len(found), len(expected)))
    raise AssertionError(
        f"{what}: {len(found)} records, expected {len(expected)}; {len(missing)} missing, "
        f"{len(surplus)} too many; first difference at {at}: found {found[at:at + 1]}, expected "
        f"{expected[at:at + 1]}; missing {missing[:2]}, too many {surplus[:2]}")


def check_redis(place, expected):
    """Checks counts, minutes, rejected records, anomalies and meta in Redis."""
    prefix = place.prefix
    with place.redis_server.client() as client:
        for name, counts in expected.dimensions.items():
            found = client.zrange(f"{prefix}:{name}_counts", 0, -1, withscores=True)
            same_counts(name, {value.decode(): int(score) for value, score in found}, counts)
        found = {}
        for key in client.scan_iter(f"{prefix}:login_counts:*", count=1000):
            day = key.decode().removeprefix(f"{prefix}:login_counts:")
            found[day] = {k.decode(): int(v) for k, v in client.hgetall(key).items()}
            left_s = client.ttl(key)
            assert 0 < left_s <= _MAX_RETENTION_S, f"{key} expires in {left_s} s"
        assert found.keys() == expected.days.keys(), \
            f"days {sorted(found)}, expected {sorted(expected.days)}"
        for day, counts in expected.days.items():
            same_counts(f"minutes of {day}", found[day], counts)
        found = client.hgetall(f"{prefix}:rejected_counts")
        same_counts("rejected", {k.decode(): int(v) for k, v in found.items()},
                     dict(expected.rejected))
        meta = {k.decode(): v.decode() for k, v in client.hgetall(f"{prefix}:meta").items()}
        assert meta.get("group") == place.group and meta.get("topic") == place.topic, meta
        assert "schema" in meta, meta
        _check_anomalies(client.xrange(f"{prefix}:anomalies"), expected)
        _check_declared(client, prefix, expected.count_keys)


def _check_declared(client, prefix, expected):
    found = {}
    for key in client.scan_iter(f"{prefix}:count:*", count=1000):
        if client.type(key) == b"string":
            found[key.decode().removeprefix(f"{prefix}:")] = key
            continue
        if client.type(key) == b"zset":
            counts = client.zrange(key, 0, -1, withscores=True)
        else:
            counts = client.hgetall(key).items()
        name = key.decode().removeprefix(f"{prefix}:")
        found[name] = {value.decode(): int(count) for value, count in counts}
        left_s = client.ttl(key)
        assert 0 < left_s <= _MAX_RETENTION_S, f"{key} expires in {left_s} s"
    assert found.keys() == expected.keys(), \
        f"declared counts: {sorted(expected.keys() - found.keys())[:10]} are missing, and " \
        f"{sorted(found.keys() - expected.keys())[:10]} do not belong"
    for name, counts in expected.items():
        if isinstance(counts, set):
            _check_distinct(client, found[name], counts)
        elif isinstance(counts, bytes):
            same_registers(name, client.get(found[name]), counts)
        else:
            same_counts(name, found[name], counts)


def _check_distinct(client, key, values):
    """PFADD of the same values leaves the same registers: else their union has more."""
    ours = "oracle:" + key.decode()
    client.pfadd(ours, *values)
    numbers = client.pfcount(key), client.pfcount(ours), client.pfcount(key, ours)
    client.delete(ours)
    assert len(set(numbers)) == 1, f"{key}: {numbers} for {len(values)} values"


def _check_anomalies(entries, expected):
    entries = [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]
    minutes = collections.Counter(entry["minute"] for entry in entries)
    same_counts("anomalies", dict(minutes), dict.fromkeys(expected.anomalies, 1))
    for entry in entries:
        assert entry["kind"] == "threshold", entry
        assert entry["threshold"] == str(expected.threshold), entry
        assert expected.threshold < int(entry["count"]) <= expected.minutes[entry["minute"]], \
            f"{entry}, the minute has {expected.minutes[entry['minute']]}"


def check_watermarks(place):
    """Checks that both watermarks have reached the end of the input."""
    ends = place.ends()
    counted = {p: offset for p, offset in place.counted().items() if offset > 0}
    published = {p: offset for p, offset in place.published().items() if offset > 0}
    assert counted == ends, f"counted {counted}, the input ends at {ends}"
    assert published == ends, f"published {published}, the input ends at {ends}"


def check_output(place, expected):
    """Checks that the output topic holds each accepted record once, unchanged and in order."""
    found = by_partition(read_committed(place.broker, place.output))
    for partition in sorted(found.keys() | expected.published.keys()):
        _same_sequence(f"{place.output}[{partition}]",
                       [_content(read) for read in found[partition]],
                       [_content(record) for record in expected.published[partition]])


def split_error_headers(read):
    """Returns (record without rollcall's error headers, those headers as a dict of texts)."""
    headers = [(n, v) for n, v in read.headers if n.startswith(_ERRORS)]
    rest = [(n, v) for n, v in read.headers if not n.startswith(_ERRORS)]
    errors = {name.removeprefix(_ERRORS): value.decode() for name, value in headers}
    assert len(errors) == len(headers), f"duplicate header: {headers}"
    return read._replace(headers=rest), errors


def check_rejected(place, expected):
    """Checks that the rejected topic holds each record once, unchanged, in order, with a reason."""
    found = by_partition(read_committed(place.broker, place.rejected))
    for partition in sorted(found.keys() | expected.refused.keys()):
        have = []
        for read in found[partition]:
            bare, errors = split_error_headers(read)
            assert errors.keys() == {"reason", "detail", "topic", "partition", "offset"}, errors
            assert errors["detail"], errors
            have.append((*_content(bare), errors["reason"], errors["topic"],
                         errors["partition"], errors["offset"]))
        want = [(*_content(record), reason, place.topic, str(partition), str(record.offset))
                for record, reason in expected.refused[partition]]
        _same_sequence(f"{place.rejected}[{partition}]", have, want)


def check_at_least_once(place, expected):
    """Checks that both output topics lack nothing and hold nothing that does not belong there."""
    reads = read_committed(place.broker, place.output)
    _covers(place.output, [(r.partition, *_content(r)) for r in reads],
            [(p, *_content(r)) for p, records in expected.published.items() for r in records])
    if not place.rejected:
        return
    have = []
    for read in read_committed(place.broker, place.rejected):
        bare, errors = split_error_headers(read)
        have.append((read.partition, errors["offset"], errors["reason"], *_content(bare)))
    _covers(place.rejected, have,
            [(p, str(r.offset), reason, *_content(r))
             for p, refused in expected.refused.items() for r, reason in refused])


def _covers(what, found, expected):
    have, want = collections.Counter(found), collections.Counter(expected)
    missing = list((want - have).elements())
    alien = [content for content in have if content not in want]
    assert not missing, f"{what}: {len(missing)} records missing, e.g. {missing[:2]}"
    assert not alien, f"{what}: {len(alien)} records that do not belong, e.g. {alien[:2]}"


def check_snapshot(instance, expected):
    """Compares `rollcall snapshot` with the oracle."""
    found = instance.snapshot()
    assert found.keys() == expected.snapshot().keys(), found.keys()
    for name, counts in expected.snapshot().items():
        if name == "Counts":
            assert found[name] == counts, f"snapshot, {name}: {found[name]}, expected {counts}"
        else:
            same_counts(f"snapshot, {name}", found[name], counts)


def check_log(text):
    """Checks that every line of a log is valid logfmt: key=value, quoted where needed."""
    pair = r'[\w.]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
    line_form = re.compile(rf"{pair}(?: {pair})*")
    for line in text.splitlines():
        assert line_form.fullmatch(line), f"not logfmt: {line!r}"


def check_all(place, records, instance=None, guarantee="exactly_once", **rules):
    """Makes all checks above; returns what was expected."""
    expected = oracle.Expected(records, **rules)
    check_watermarks(place)
    check_redis(place, expected)
    if instance:
        check_snapshot(instance, expected)
    if guarantee == "at_least_once":
        check_at_least_once(place, expected)
        return expected
    check_output(place, expected)
    if place.rejected:
        check_rejected(place, expected)
    return expected
