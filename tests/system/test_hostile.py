"""Hostile input: bad records of every kind and in any number, and unlimited distinct values."""

import json
import random
import time

import pytest

import load
import oracle
import verify
import wait

_TIME_MS = 1720622216000
_GOOD = b'{"device_type":"d","locale":"x","timestamp":1720622216}'

#: A rejected record of each kind, its reason, and the detail in its header.
_REASONS = [
    (None, "empty", "no value"),
    (b"", "empty", "no value"),
    (b'{"device_type":', "not_json", "near end of file at byte 15"),
    (b"[1]", "not_object", "not an object"),
    (b'{"device_type":"d","timestamp":1720622216}', "missing_field", "locale: missing"),
    (b'{"device_type":5,"locale":"x","timestamp":1720622216}', "bad_value",
     "device_type: not a string"),
    (b'{"device_type":"d","locale":"","timestamp":1720622216}', "bad_value", "locale: empty"),
    (b'{"device_type":"d","locale":"%s","timestamp":1}' % (b"y" * 129), "bad_value",
     "locale: 129 bytes"),
    (b'{"device_type":"d","locale":"x","timestamp":"soon"}', "bad_timestamp", "not of digits"),
    (b'{"device_type":"d","locale":"x","timestamp":1720625817}', "bad_timestamp", "3601 s ahead"),
]

#: Hundreds of headers: some duplicate, some without value or name, some with rollcall's own names.
_HEADERS = [(f"h{n % 250}", b"%d" % n) for n in range(400)] + [
    ("", b"no name"), ("null", None), ("null", b""), ("bytes", b"\x00\xff"),
    ("__rollcall.errors.reason", b"mine"), ("__rollcall.errors.offset", b"-1")]


def _is_ours(header):
    return header[0].startswith("__rollcall.errors.")


@pytest.mark.coverage
def test_rejected_records_carry_the_reason_and_stay_unchanged(world):
    """Each reason with each kind of key; a tombstone is a key without a value."""
    load_ = world.make_load(partitions=1)
    expected = []
    for value, reason, detail in _REASONS:
        for key in (None, b"", b"key"):
            load_.send(0, key, value, _TIME_MS, _HEADERS)
            load_.send(0, key, _GOOD, _TIME_MS, _HEADERS)
            expected.append((key, value, reason, detail))
    load_.flush()
    instance = world.run()
    world.wait_quiet()
    reads = verify.read_committed(world.broker, world.rejected)
    assert len(reads) == len(expected)
    for read, record, (key, value, reason, detail) in zip(reads, load_.records[::2], expected):
        assert (read.key, read.value, read.timestamp_ms) == (key, value, _TIME_MS), read
        assert read.headers[:len(_HEADERS)] == _HEADERS
        added = dict(read.headers[len(_HEADERS):])
        assert len(read.headers) == len(_HEADERS) + 5 == len(_HEADERS) + len(added)
        assert added.pop("__rollcall.errors.detail").decode().find(detail) >= 0, read
        assert added == {"__rollcall.errors.reason": reason.encode(),
                         "__rollcall.errors.topic": world.topic.encode(),
                         "__rollcall.errors.partition": b"0",
                         "__rollcall.errors.offset": b"%d" % record.offset}
    outcome = oracle.Expected(load_.records)
    verify.check_redis(world.place, outcome)
    verify.check_output(world.place, outcome)
    instance.stop()


def test_a_line_says_that_nearly_all_is_rejected(world):
    load_ = world.make_load(partitions=1)
    for _ in range(20):
        load_.send(0, None, _GOOD.replace(b"1720622216", b"1720622216000"), _TIME_MS, [])
    load_.flush()
    instance = world.run()
    instance.wait_log("Nearly all records are rejected")
    line = next(line for line in instance.log().splitlines() if "Nearly all" in line)
    for part in ("rejected=20 of=20 reason=bad_timestamp for_this_reason=20", "milliseconds",
                 "partition=0", "offset=0"):
        assert part in line, line
    instance.stop()


@pytest.mark.coverage
def test_rejected_records_that_their_topic_cannot_take(world):
    """The topic's limit is lower than the input's. Records that fit are copied whole; of the others
    only the reason and the place are written."""
    load_ = world.make_load()
    world.broker.create_topic(world.rejected, 4, max__message__bytes=300_000)
    sizes = [10, 5000, 20_000, 299_900, 500_000, 900_000]
    for n in range(240):
        load_.send(n % 4, b"k", _GOOD, _TIME_MS)
        size = sizes[n % 3] if n < 180 else sizes[n % 6]
        load_.send(n % 4, b"k", b"x" * size, _TIME_MS, [("n", b"%d" % n)])
    load_.flush()
    instance = world.run()
    world.wait_quiet()
    outcome = oracle.Expected(load_.records)
    verify.check_redis(world.place, outcome)
    verify.check_output(world.place, outcome)
    found = verify.by_partition(verify.read_committed(world.broker, world.rejected))
    for partition, refused in outcome.refused.items():
        assert len(found[partition]) == len(refused)
        for read, (record, reason) in zip(found[partition], refused):
            bare, errors = verify.split_error_headers(read)
            whole = len(record.value) < 299_000
            assert (bare.key, bare.value) == ((b"k", record.value) if whole else (None, None))
            assert bare.headers == (record.headers if whole else [])
            assert (errors["reason"], errors["offset"]) == (reason, str(record.offset))
    instance.stop()


@pytest.mark.parametrize("options", [{"output__rejected_topic": ""}, {"log__level": "debug"}])
def test_a_flood_of_bad_records_does_not_flood_the_log(world, options):
    """Each message is logged at most ten times in ten seconds, with or without a rejected topic."""
    load_ = world.make_load(refused_percent=100)
    load_.produce(10000)
    started = time.monotonic()
    instance = world.run(**options)
    wait.until(lambda: sum(instance.snapshot()["Rejected"].values()) == 10000, 60,
               "all records to be rejected")
    world.wait_quiet()
    instance.stop()
    windows = 1 + (time.monotonic() - started) // 10
    lines = [line for line in instance.log().splitlines()
             if "ecord" in line and "level=info" not in line]
    assert 10 <= len(lines) <= 3 * 10 * windows, len(lines)


def _attack(load_, count, partitions=4, years=1000):
    """Sends logins that each have their own locale, at any minute of this many years."""
    rng = random.Random(5)
    at_ms = load.TODAY_MS if years < 54 else 33 * 10**12
    for n in range(count):
        login = {"device_type": "d", "locale": f"{n:0128d}",
                 "timestamp": rng.randrange(years * 365 * 86400)}
        load_.send(n % partitions, b"k", json.dumps(login).encode(), at_ms)
        load_.poll()
    load_.flush()


def _days(client, prefix):
    """Returns all login_counts hashes, by the last part of their names."""
    keys = client.scan_iter(f"{prefix}:login_counts:*", count=1000)
    return {key.decode().rsplit(":", 1)[1]:
            {k.decode(): int(v) for k, v in client.hgetall(key).items()} for key in keys}


def _own_locales(instance):
    return json.loads(instance.get("/counts?scope=instance")[1])["Logins by Locale"]


def test_unlimited_values_and_days(world):
    """Redis and the process stay within their limits, and no login is lost, in any order."""
    count, max_values, max_days = 30000, 500, 60
    for topic in (world.topic, world.output, world.rejected):
        world.broker.create_topic(topic, 4, message__timestamp__after__max__ms=2**63 - 1)
    load_ = world.make_load()
    _attack(load_, count)
    expected = oracle.Expected(load_.records)
    newest = dict(sorted(expected.days.items())[-max_days:])
    newest["__other__"] = {"__other__": count - sum(sum(day.values()) for day in newest.values())}
    instance = world.run(aggregate__max_values=max_values, aggregate__max_days=max_days,
                         instance__memory_mb=64)
    with world.redis_server.client() as client:
        for times in (1, 2):
            world.wait_quiet()
            assert _days(client, world.prefix) == newest
            assert client.zcard(f"{world.prefix}:login_days") == max_days
            assert client.zcard(f"{world.prefix}:locale_counts") == max_values + 1
            snapshot = instance.snapshot()
            for counts in list(snapshot.values())[:3]:
                assert sum(counts.values()) == count
            assert snapshot["Logins Over Time"]["__other__"] == newest["__other__"]["__other__"]
            wait.until(lambda: sum(_own_locales(instance).values()) == times * count, 10,
                       lambda: f"{times * count} logins, now "
                               f"{sum(_own_locales(instance).values())}")
            assert len(_own_locales(instance)) <= max_values + 1
            client.flushall()  # count everything again, in another order
    assert instance.peak_memory_mb() <= 1.25 * 64
    instance.stop()


def test_a_day_of_another_type_is_found_before_anything_is_written(world):
    """This includes a day that the call does not name, but would have to remove."""
    load_ = world.make_load(partitions=1)
    for day in range(3):
        load_.send(0, b"k", b'{"device_type":"d","locale":"x","timestamp":%d}' % (day * 86400), -1)
    load_.flush()
    instance = world.run(aggregate__max_days=3)
    world.wait_quiet()
    before = world.place.counted()
    with world.redis_server.client() as client:
        client.set(f"{world.prefix}:login_counts:1970-01-01", "mine")
        load_.send(0, b"k", b'{"device_type":"d","locale":"x","timestamp":%d}' % (9 * 86400), -1)
        load_.flush()
        assert instance.wait_exit() == 1
        assert "login_counts:1970-01-01" in instance.log().splitlines()[-1]
        assert world.place.counted() == before
        assert client.zscore(f"{world.prefix}:device_type_counts", "d") == 3


def test_a_time_that_the_output_topic_refuses(world):
    """The instance stops with a reason instead of retrying forever."""
    world.broker.create_topic(world.topic, 1, message__timestamp__after__max__ms=2**63 - 1)
    load_ = world.make_load()
    load_.send(0, b"k", _GOOD, 33 * 10**12)
    load_.flush()
    instance = world.run()
    assert instance.wait_exit() == 1
    assert "message.timestamp" in instance.log().splitlines()[-1]


def test_a_record_that_the_output_topic_refuses_among_others(world):
    """Those of its batch, which fail with it, are not taken for what is wrong."""
    world.broker.create_topic(world.output, 4, message__timestamp__before__max__ms=3600000)
    load_ = world.make_load()
    load_.produce(2000)
    instance = world.run()
    assert instance.wait_exit() == 1
    assert "message.timestamp" in instance.log().splitlines()[-1]


MEMORY_MB = 128  # the minimum for 64 partitions


def test_memory_holds_while_redis_is_away(world):
    """Pending counts are bounded: at the limit reading stops, and the rest is lag."""
    count = 80000
    world.create_input(64)
    load_ = world.make_load()
    instance = world.run(instance__memory_mb=MEMORY_MB)
    instance.wait_assigned(64)
    world.redis_server.pause()
    _attack(load_, count, partitions=64, years=50)
    seen = []

    def stands_still():
        seen.append(instance.metric("rollcall_records_consumed_total"))
        return len(seen) > 1 and seen[-1] == seen[-2] > 0

    wait.until(stands_still, 30, lambda: f"reading to stop: {seen}", every=1)
    assert seen[-1] < count and instance.metric("rollcall_counted_lag_records") > 0
    world.redis_server.resume()
    world.wait_quiet()
    assert sum(instance.snapshot()["Logins by Locale"].values()) == count
    assert instance.peak_memory_mb() <= 1.25 * MEMORY_MB
    instance.stop()


def test_memory_holds_with_records_of_1_mb(world):
    """Buffering records of all 64 partitions at once would exceed the limit."""
    world.create_input(64)
    load_ = world.make_load()
    for n in range(256):
        load_.send(n % 64, b"k", _GOOD[:-1] + b',"x":"' + b"y" * 990_000 + b'"}', _TIME_MS)
        load_.poll()
    load_.flush()
    instance = world.run(instance__memory_mb=MEMORY_MB)
    world.wait_quiet()
    assert instance.snapshot()["Logins by Locale"] == {"x": 256}
    assert instance.peak_memory_mb() <= 1.25 * MEMORY_MB
    instance.stop()


def test_memory_holds_where_records_are_read_a_few_at_a_time(world):
    """What a read leaves in librdkafka's queue still counts, so nothing is fetched on top of it."""
    dimensions = [f"d{i}" for i in range(8)]
    # librdkafka looks at its queue each ms: the more often, the more it could fetch too much
    world.options.update({"aggregate.dimensions": ",".join(dimensions), "instance.memory_mb": 64,
                          "consumer.fetch.queue.backoff.ms": 1, "aggregate.max_values": 1000000})
    for i in range(8):
        world.options.update({
            f"count.values{i}.by": f"d{i},d{(i + 1) % 8},d{(i + 2) % 8}",
            f"count.values{i}.max_values": 1000000,
            f"count.users{i}.unique": "user_id", f"count.users{i}.every": "minute"})
    load_ = world.make_load(partitions=1)
    instance = world.run().wait_ready()
    count = 6000
    for n in range(count):
        event = {name: "\\|" * 58 + f"{name}-{n:08}" for name in dimensions}
        event.update(timestamp=1720569600 + n * 60, user_id=f"user-{n}",
                     pad="z" * (800_000 if n % 40 == 0 else 0))
        load_.send(0, None, json.dumps(event).encode(), _TIME_MS)
        load_.poll()
    load_.flush()
    world.wait_quiet()
    assert instance.metric("rollcall_records_counted_total") == count
    assert instance.peak_memory_mb() <= 1.25 * 64
    instance.stop()
