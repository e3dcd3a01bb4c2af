"""Settings that change where rollcall starts, what it counts and where records go."""

import collections
import json
import re
import shutil
import subprocess

import pytest

import oracle
import proxy as proxies
import verify
import wait
from load import DAY_0


@pytest.mark.parametrize("partitions", [3, 6])
def test_other_partition_count_goes_by_key_as_in_java(world, partitions):
    load = world.make_load(tagged=True)
    load.produce(4000)
    for topic in (world.output, world.rejected):
        world.broker.create_topic(topic, partitions)
    instance = world.run()
    world.wait_quiet()
    expected = oracle.Expected(load.records)
    verify.check_redis(world.place, expected)
    published = {_serial(r): r for records in expected.published.values() for r in records}
    refused = {_serial(r): r for pairs in expected.refused.values() for r, _ in pairs}
    _check_by_key(verify.read_committed(world.broker, world.output), published, partitions)
    bare = [verify.split_error_headers(read)[0]
            for read in verify.read_committed(world.broker, world.rejected)]
    _check_by_key(bare, refused, partitions)
    instance.stop()


def _serial(record):
    return int(dict(record.headers)["test.serial"])


def _check_by_key(reads, sources, partitions):
    """Checks that each source occurs once, unchanged, in its key's partition, and in order."""
    seen = collections.Counter(map(_serial, reads))
    assert seen == collections.Counter(dict.fromkeys(sources, 1))
    last, used_without_key = {}, set()
    for read in reads:
        source = sources[_serial(read)]
        assert (read.key, read.value, read.timestamp_ms, read.headers) == \
            (source.key, source.value, source.timestamp_ms, source.headers)
        if read.key is None:
            used_without_key.add(read.partition)
        else:
            assert read.partition == oracle.java_partition(read.key, partitions), read
            way = source.partition, read.partition
            assert last.get(way, -1) < source.offset, f"out of order: {read}"
            last[way] = source.offset
    assert len(used_without_key) >= min(2, partitions), \
        "all records without a key went to one partition"


def test_start_latest(world):
    load = world.make_load()
    load.produce(500)
    before = len(load.records)
    instance = world.run(input__start="latest")
    instance.wait_ready()
    load.produce(600)
    world.wait_quiet()
    verify.check_all(world.place, load.records[before:], instance)
    instance.stop()


@pytest.mark.coverage
def test_start_latest_only_where_there_is_no_watermark(world):
    load = world.make_load()
    load.produce(500)
    first = world.run()
    world.wait_quiet()
    first.stop()
    load.produce(600)
    second = world.run(input__start="latest")
    world.verify(load, second)


def _make_gap(world, load):
    """Makes Kafka delete records that no instance has read yet, between records that stay.

    Returns the number of lost records.
    """
    load.produce(1000)
    first = world.run("before-the-gap")
    world.wait_quiet()
    first.stop()
    reached = world.place.published()
    load.produce(1000)
    cut = world.broker.end_offsets(world.topic)
    load.produce(500)
    world.broker.delete_records(world.topic, cut)
    load.records = [r for r in load.records
                    if r.offset < reached[r.partition] or r.offset >= cut[r.partition]]
    return sum(cut.values()) - sum(reached.values())


def test_gap_fails(world):
    load = world.make_load()
    _make_gap(world, load)
    before = world.place.counted()
    instance = world.run("after-the-gap", input__on_gap="fail")
    assert instance.wait_exit() == 1, instance.log()
    last = instance.log().splitlines()[-1]
    assert world.topic in last, last
    assert world.place.counted() == before == world.place.published()


def test_gap_is_skipped_and_reported(world):
    load = world.make_load()
    lost = _make_gap(world, load)
    assert lost > 900
    instance = world.run("after-the-gap", input__on_gap="continue")
    world.verify(load, instance)
    assert instance.metric("rollcall_records_lost_total") == lost
    assert "level=error" in instance.log() or "level=warn" in instance.log()
    instance.stop()


@pytest.mark.coverage
def test_gap_while_running(world):
    """Redis is restored from an older copy, and Kafka no longer holds what it must count again."""
    load = world.make_load()
    load.produce(1000)
    first = world.run("first")
    world.wait_quiet()
    first.stop()
    copy = world.redis_server.save_copy()
    load.produce(1000)
    second = world.run("second")
    world.wait_quiet()
    world.broker.delete_records(world.topic, world.broker.end_offsets(world.topic))
    world.redis_server.restore(copy)
    assert second.wait_exit() == 1, second.log()
    assert world.topic in second.log().splitlines()[-1]


def _make_gap_where_it_reads(world, load, instance):
    """Deletes records that a running instance was about to read; returns where the gap ends."""
    load.produce(1000)
    world.wait_quiet()
    instance.pause()
    load.produce(1000)
    cut = world.broker.end_offsets(world.topic)
    world.broker.delete_records(world.topic, cut)
    load.produce(500)
    instance.resume()
    return cut


def test_gap_where_it_reads_fails(world):
    load = world.make_load()
    instance = world.run(input__on_gap="fail")
    _make_gap_where_it_reads(world, load, instance)
    assert instance.wait_exit() == 1, instance.log()
    assert "records are gone" in instance.log().splitlines()[-1]


def test_gap_where_it_reads_is_skipped_and_reported(world):
    load = world.make_load()
    instance = world.run(input__on_gap="continue")
    cut = _make_gap_where_it_reads(world, load, instance)
    world.wait_quiet()
    # A fetch that was pending at the broker during the pause has returned the first of them.
    gaps = re.findall(r"partition=(\d+) wanted_offset=(\d+) .*lost_records=", instance.log())
    wanted = {int(partition): int(offset) for partition, offset in gaps}
    load.records = [r for r in load.records
                    if r.offset < wanted[r.partition] or r.offset >= cut[r.partition]]
    assert len(load.records) < 2500 and len(gaps) == 4
    world.verify(load, instance)
    assert instance.metric("rollcall_records_lost_total") == 2500 - len(load.records)
    instance.stop()


def test_recreated_topic(world):
    """The new topic is shorter than the old one, so the stored offsets are past its end."""
    load = world.make_load()
    load.produce(1000)
    first = world.run("first")
    world.wait_quiet()
    first.stop()
    before = world.place.counted()
    world.broker.delete_topic(world.topic)
    again = world.make_load()
    again.produce(100)
    second = world.run("second")
    assert second.wait_exit() == 1, second.log()
    assert world.topic in second.log().splitlines()[-1]
    assert world.place.counted() == before


def test_no_rejected_topic(world):
    load = world.make_load()
    load.produce(2000)
    instance = world.run(output__rejected_topic="")
    world.place.rejected = ""
    world.verify(load, instance)
    assert world.broker.partition_count(world.rejected) == 0
    instance.stop()


def test_other_dimensions(world):
    load = world.make_load()
    load.produce(2000)
    instance = world.run(aggregate__dimensions="app_version,locale,ip")
    world.wait_quiet()
    expected = oracle.Expected(load.records, dimensions=("app_version", "locale", "ip"))
    verify.check_redis(world.place, expected)
    verify.check_output(world.place, expected)
    with world.redis_server.client() as client:
        assert not client.exists(f"{world.prefix}:device_type_counts")
    instance.stop()


def test_threshold_and_future(world):
    load = world.make_load()
    load.produce(3000)
    instance = world.run(anomaly__threshold=2, aggregate__max_future_s=0)
    world.verify(load, instance, threshold=2, max_future_s=0)
    instance.stop()


@pytest.mark.parametrize("lost", [1, 2])
def test_anomalies_whose_reply_is_lost_are_counted_and_logged_once(world, lost):
    """The call is repeated, finds the offset where it wanted it, and is told what it had found."""
    redis = proxies.Proxy()
    port = redis.add(world.redis_server.port)
    load = world.make_load(1)
    instance = world.run(anomaly__threshold=1, redis__url=f"redis://127.0.0.1:{port}/0").wait_ready()
    instance.wait_assigned(1)
    redis.set(port, "reply", [b":login_counts:"])
    for minute in range(20):
        second = DAY_0 + 60 * minute
        login = {"device_type": "web", "locale": "RU", "timestamp": second}
        for _ in range(2):
            load.send(0, b"key", json.dumps(login).encode(), second * 1000)
    load.flush()
    wait.until(lambda: instance.metric("rollcall_checkpoint_failures_total") >= lost, 20,
               f"{lost} replies to be lost", every=0.001)
    assert redis.set(port, "pass") >= lost
    world.verify(load, instance, threshold=1)
    assert instance.metric("rollcall_anomalies_total") == 20
    instance.stop()
    assert instance.log().count("Anomaly detected") == 20


def test_all_anomalies_of_a_checkpoint_are_counted(world):
    """The log names the first 64, and says how many it left out."""
    minutes = 200
    load = world.make_load(1)
    for minute in range(minutes):
        second = DAY_0 + 60 * minute
        login = {"device_type": "web", "locale": "RU", "timestamp": second}
        for _ in range(2):
            load.send(0, b"key", json.dumps(login).encode(), second * 1000)
    load.flush()
    instance = world.run(anomaly__threshold=1)
    world.verify(load, instance, threshold=1)
    found = instance.metric("rollcall_anomalies_total")
    instance.stop()
    named = instance.log().count("Anomaly detected")
    left_out = [int(number) for number in re.findall(r"left_out=(\d+)", instance.log())]
    assert found == minutes and named + sum(left_out) == minutes
    assert left_out, "one checkpoint was to find more than the log names"


def test_no_more_values_than_allowed(world):
    load = world.make_load()
    load.produce(3000)
    instance = world.run(aggregate__max_values=20)
    world.wait_quiet()
    expected = oracle.Expected(load.records)
    with world.redis_server.client() as client:
        for name, counts in expected.dimensions.items():
            found = {value.decode(): int(score) for value, score in
                     client.zrange(f"{world.prefix}:{name}_counts", 0, -1, withscores=True)}
            other = found.pop("__other__", 0)
            assert sum(found.values()) + other == expected.accepted_count
            assert len(found) <= 20 and found.keys() <= counts.keys()
            assert all(found[value] <= counts[value] for value in found)
            assert (other > 0) == (len(counts) > 20)
    instance.stop()


def test_odd_but_valid_json(world):
    """Parsers disagree about these, but all are valid JSON by RFC 8259, so all are logins."""
    load = world.make_load()
    good = b'{"device_type":"%d","locale":"PA","timestamp":1720622216,%s}'
    extras = [b'"x":123456789012345678901234567890', b'"x":-9223372036854775809',
              b'"x":-1e-400', b'"x":"\\u0000"', b'"a\\u0000b":1', b'"":1',
              b'"x":-0', b'"x":"\\/\\b\\f"', b'"x":"\x7f"', b'"x":0e0', b'"x":"\xef\xbf\xbf"',
              b'"x":' + b"[" * 500 + b"]" * 500, b'"x":"' + b"y" * 200_000 + b'"',
              b'"timestamp":1720622216.00']
    for n, extra in enumerate(extras):
        load.send(n % 4, b"k", good % (n, extra), 1720622216000)
    load.send(0, b"k", b'{"device_type":"a\\u0000b","locale":"\\u0000","timestamp":1720622216}',
              1720622216000)
    load.send(0, None, b'{"device_type":"a","locale":"b","timestamp":1720622216,"user_id":5}',
              1720622216000)
    load.send(0, b"", good % (99, b'"user_id":"empty key"'), 1720622216000)
    load.flush()
    instance = world.run()
    expected = world.verify(load, instance)
    assert expected.rejected_count == 0
    instance.stop()


def test_stated_limits_of_json(world):
    """The limits in docs/records.md: of nesting always, of numbers and surrogates where asked."""
    load = world.make_load()
    login = b'{"device_type":%s,"locale":"PA","timestamp":%s,"x":%s}'
    for n, (device, time, extra) in enumerate([
            (b'"d"', b"1720622216", b"[" * 2100 + b"]" * 2100),
            (b'"d"', b"1720622216", b"1e400"), (b'"d"', b"1720622216", b'"\\ud800"'),
            (b'"\\ud800"', b"1720622216", b"1"), (b'"d"', b"1e400", b"1")]):
        load.send(n % 4, b"k", login % (device, time, extra), 1720622216000)
    load.flush()
    instance = world.run()
    rejected = {"not_json": 1, "bad_value": 1, "bad_timestamp": 1}
    verify.wait.until(lambda: instance.snapshot()["Rejected"] == rejected, 20,
                      lambda: f"{rejected}, now {instance.snapshot()['Rejected']}")
    assert instance.snapshot()["Logins by Device Type"] == {"d": 2}
    instance.stop()


#: With the default max.message.bytes, Kafka accepts a value of this many bytes and hardly more.
LARGEST = 1048508
LARGE_LOGIN = (b'{"device_type":"d","locale":"x","timestamp":1720622216,"user_id":"%s","x":"'
               % (b"u" * 99))


def test_records_as_large_as_kafka_takes(world):
    """There is no room for what rollcall adds. Each record is published as far as it fits, and does
    not block others."""
    load = world.make_load(partitions=1)
    for value in (b"x" * LARGEST, LARGE_LOGIN.ljust(LARGEST - 2, b"y") + b'"}', LARGE_LOGIN + b'"}'):
        load.send(0, None, value, 1720622216000)
    load.flush()
    instance = world.run()
    world.wait_quiet()
    large, small = verify.read_committed(world.broker, world.output)
    assert (large.key, large.value) == (None, load.records[1].value)
    assert (small.key, small.value) == (b"u" * 99, load.records[2].value)
    rejected, = verify.read_committed(world.broker, world.rejected)
    assert (rejected.key, rejected.value) == (None, None)
    assert dict(rejected.headers)["__rollcall.errors.reason"] == b"not_json"
    assert dict(rejected.headers)["__rollcall.errors.offset"] == b"0"
    assert "too large to be published whole" in instance.log()
    instance.stop()


def test_an_accepted_record_that_its_topic_cannot_take(world):
    load = world.make_load(partitions=1)
    world.broker.create_topic(world.output, 1, max__message__bytes=1040000)
    load.send(0, b"k", LARGE_LOGIN.ljust(LARGEST - 22, b"y") + b'"}', 1720622216000)
    load.flush()
    instance = world.run()
    assert instance.wait_exit() == 1
    last = instance.log().splitlines()[-1]
    assert f"{world.topic} [0] offset 0" in last and "max.message.bytes" in last, last


def test_a_topic_that_cannot_take_batches(world):
    load = world.make_load(partitions=1)
    world.broker.create_topic(world.output, 1, max__message__bytes=10000)
    load.produce(2000)
    instance = world.run(producer__batch__size=30000)
    world.verify(load, instance)
    assert "batch_bytes=7500" in instance.log()
    instance.stop()


def test_a_record_without_a_timestamp(world):
    load = world.make_load(partitions=1)
    load.send(0, b"k", b'{"device_type":"d","locale":"x","timestamp":5}', -1)
    load.send(0, b"k", b"no login", -1)
    load.flush()
    world.verify(load, world.run())


def test_memory_stays_below_its_limit(world):
    """A backlog fills every queue."""
    world.create_input(8)
    done = world.execute("generate", "--count", "300000", "--rate", "0")
    assert done.returncode == 0, done.stderr
    instance = world.run(instance__memory_mb=80)
    world.wait_counted(300000)
    assert instance.peak_memory_mb() < 80
    instance.stop()


def test_one_partition_and_little_to_do(world):
    """Single records must be processed promptly, without more records behind them."""
    load = world.make_load(partitions=1)
    instance = world.run()
    instance.wait_ready()
    for _ in range(3):
        load.produce(1)
        world.wait_quiet(seconds=5)
    world.verify(load, instance)
    instance.stop()


METRICS = ["rollcall_records_consumed_total", "rollcall_records_published_total",
           "rollcall_records_counted_total", "rollcall_records_rejected_total",
           "rollcall_lag_records", "rollcall_counted_lag_records",
           "rollcall_assigned_partitions", "rollcall_checkpoint_seconds_count",
           "rollcall_checkpoint_seconds_sum", "rollcall_checkpoint_seconds_bucket",
           "rollcall_transaction_seconds_bucket", "rollcall_checkpoint_failures_total",
           "rollcall_rewinds_total", "rollcall_transactions_aborted_total",
           "rollcall_anomalies_total", "rollcall_queue_depth", "rollcall_records_lost_total",
           "rollcall_build_info"]


@pytest.mark.coverage
def test_http(world):
    load = world.make_load()
    load.produce(3000)
    instance = world.run()
    instance.wait_ready()
    expected = world.verify(load, instance)
    metrics = instance.metrics()
    names = {name for name, _ in metrics}
    assert not set(METRICS) - names, set(METRICS) - names
    assert instance.metric("rollcall_records_consumed_total") >= 3000
    assert instance.metric("rollcall_records_counted_total") in (3000, expected.accepted_count)
    assert instance.metric("rollcall_records_published_total") in (3000, expected.accepted_count)
    for reason, count in expected.rejected.items():
        assert instance.metric("rollcall_records_rejected_total", reason=reason) == count
    assert instance.metric("rollcall_anomalies_total") == len(expected.anomalies)
    for lag in ("rollcall_lag_records", "rollcall_counted_lag_records"):
        verify.wait.until(lambda: instance.metric(lag) == 0, 10, f"{lag} to be 0")
    for partition in range(4):
        assert ("rollcall_lag_records", (("partition", str(partition)),)) in metrics
    assert instance.get("/healthz")[0] == 200
    assert instance.get("/readyz")[0] == 200
    assert instance.get("/no-such-page")[0] == 404
    status, counts = instance.get("/counts")
    assert status == 200 and json.loads(counts) == expected.snapshot()
    status, counts = instance.get("/counts?scope=instance")
    assert status == 200 and json.loads(counts) == expected.snapshot()
    instance.stop()


def test_unknown_lag_is_not_shown_as_zero(world):
    """It is unknown how far partitions are counted that were taken over while Redis is down."""
    load = world.make_load()
    load.produce(400)
    first, second = world.run("first"), world.run("second")
    world.wait_shared(first, second)
    world.wait_quiet()
    world.redis_server.kill()
    second.kill()
    first.wait_assigned(4, seconds=60)
    load.produce(800)
    verify.wait.until(lambda: sum(world.place.published().values()) == 1200, 60,
                      "all records to be published")

    def shown():
        return [lag for (name, _), lag in first.metrics().items()
                if name == "rollcall_counted_lag_records"]

    verify.wait.until(lambda: len(shown()) == 2 and all(lag > 0 for lag in shown()), 10,
                      lambda: f"the lag of the two known partitions, now {shown()}")
    world.redis_server.start()
    world.verify(load, first)
    first.stop()


def test_promtool_accepts_the_metrics(world):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian package prometheus)")
    load = world.make_load()
    load.produce(500)
    instance = world.run()
    world.wait_quiet()
    done = subprocess.run(["promtool", "check", "metrics"], input=instance.get("/metrics")[1],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_log_as_json(world):
    load = world.make_load()
    load.produce(500)
    instance = world.run(log__format="json", log__level="debug")
    world.wait_quiet()
    instance.stop()
    lines = instance.log().splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)


def test_no_http(world):
    load = world.make_load()
    load.produce(100)
    instance = world.run(http__listen="")
    world.verify(load, instance)
    assert instance.get("/healthz")[0] == 0
    instance.stop()
