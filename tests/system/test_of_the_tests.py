"""Tests the checks themselves: they must fail on a result that is off by one."""

import pytest
from confluent_kafka import Producer

import load as load_module
import oracle
import verify


def test_the_load_has_every_kind():
    """Every reason and both sides of the threshold occur in the generated load."""
    events = load_module.Events(seed=1)
    records = [oracle.Record(0, n, k, v, t, h)
               for n, (_, k, v, t, h) in enumerate(events.make() for _ in range(20000))]
    expected = oracle.Expected(records)
    assert set(expected.rejected) == set(oracle.REASONS)
    assert {10, 11} <= set(expected.minutes.values())
    again = load_module.Events(seed=1)
    assert all(again.make()[2] == record.value for record in records)


@pytest.fixture
def finished(world):
    """A world in which all work is done and verified, and the program has exited."""
    load = world.make_load()
    load.produce(1500)
    instance = world.run()
    world.verify(load, instance)
    instance.stop()
    return world, load


def _fails(world, load, *words):
    with pytest.raises(AssertionError) as failure:
        verify.check_all(world.place, load.records)
    for word in words:
        assert word in str(failure.value)


def _write(world, topic, record, headers=None):
    producer = Producer({"bootstrap.servers": world.broker.address})
    producer.produce(topic, record.value, record.key, record.partition,
                     timestamp=record.timestamp_ms, headers=headers or record.headers)
    assert producer.flush(30) == 0


def test_one_count_too_many_is_found(finished):
    world, load = finished
    with world.redis_server.client() as client:
        key = f"{world.prefix}:locale_counts"
        value = client.zrange(key, 0, 0)[0]
        client.zincrby(key, 1, value)
        _fails(world, load, "locale", "sum +1")
        client.zincrby(key, -1, value)
    verify.check_all(world.place, load.records)


def test_one_minute_too_few_is_found(finished):
    world, load = finished
    with world.redis_server.client() as client:
        key = next(client.scan_iter(f"{world.prefix}:login_counts:*"))
        client.hincrby(key, client.hkeys(key)[0], -1)
        _fails(world, load, "minutes of", "sum -1")


def test_one_rejected_too_many_is_found(finished):
    world, load = finished
    with world.redis_server.client() as client:
        client.hincrby(f"{world.prefix}:rejected_counts", "empty", 1)
        _fails(world, load, "rejected", "sum +1")


def test_one_anomaly_twice_or_never_is_found(finished):
    world, load = finished
    with world.redis_server.client() as client:
        key = f"{world.prefix}:anomalies"
        entry, fields = client.xrange(key, count=1)[0]
        client.xadd(key, fields)
        _fails(world, load, "anomalies", "sum +1")
        client.xdel(key, entry, client.xrevrange(key, count=1)[0][0])
        _fails(world, load, "anomalies", "sum -1")


def test_one_output_record_twice_is_found(finished):
    world, load = finished
    _write(world, world.output, oracle.Expected(load.records).published[2][-1])
    _fails(world, load, f"{world.output}[2]", "1 too many")


def test_one_rejected_record_twice_is_found(finished):
    world, load = finished
    read = next(r for r in verify.read_committed(world.broker, world.rejected) if r.partition == 1)
    _write(world, world.rejected, read)
    _fails(world, load, f"{world.rejected}[1]", "1 too many")


def test_one_output_record_missing_is_found(finished):
    world, load = finished
    record = oracle.Expected(load.records).published[0][-1]
    load.send(*record[:1], *record[2:])
    load.flush()
    added = load.records[-1]
    with pytest.raises(AssertionError, match="the input ends at"):
        verify.check_watermarks(world.place)
    # Pretend that the record was counted and published, but never written.
    world.broker.commit(world.group, world.topic, {0: added.offset + 1})
    minute = oracle.minute_of(oracle.judge(added.value, added.timestamp_ms).second)
    with world.redis_server.client() as client:
        client.hset(f"{world.prefix}:offsets", "0", added.offset + 1)
        login = oracle.judge(added.value, added.timestamp_ms)
        for name, value in login.dimensions.items():
            client.zincrby(f"{world.prefix}:{name}_counts", 1, value)
        client.hincrby(f"{world.prefix}:login_counts:{minute[:10]}", minute[11:], 1)
        if oracle.Expected(load.records).minutes[minute] == oracle.THRESHOLD + 1:
            client.xadd(f"{world.prefix}:anomalies",
                        {"kind": "threshold", "minute": minute, "count": oracle.THRESHOLD + 1,
                         "threshold": oracle.THRESHOLD})
    verify.check_redis(world.place, oracle.Expected(load.records))
    _fails(world, load, f"{world.output}[0]", "1 missing")


def test_two_output_records_in_the_wrong_order_are_found(world):
    load = world.make_load(refused_percent=0)
    load.produce(50)
    world.broker.create_topic(world.output, 4)
    expected = oracle.Expected(load.records)
    first, second = expected.published[3][:2]
    for record in (second, first, *expected.published[3][2:]):
        _write(world, world.output, record)
    for partition in range(3):
        for record in expected.published[partition]:
            _write(world, world.output, record)
    with pytest.raises(AssertionError, match="0 missing, 0 too many; first difference at 0"):
        verify.check_output(world.place, expected)
