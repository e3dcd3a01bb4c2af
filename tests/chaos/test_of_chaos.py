"""Tests the harness itself: it must fail, with a reason, on a result that is off by one."""

import types

import pytest
from confluent_kafka import Producer

import checks
import fault
import fault_broker  # these three modules register their faults in the table
import fault_fleet
import fault_redis
import oracle
import reader
import records
import wait
import world as world_module

COUNT = 4000

pytestmark = pytest.mark.timeout(300)


def _record(records_, partition, number):
    """Returns the input record with this number in a partition, as an oracle.Record."""
    made = records_.template(partition, number)
    value = made.head
    if made.tail is not None:
        value += records.tag_of(partition, number) + made.tail
    return oracle.Record(partition, number, made.key, value, made.timestamp_ms, made.headers)


def test_counts_are_those_of_the_oracle_record_by_record():
    """Counts computed from templates equal those from judging every single record."""
    source = records.Records("some seed")
    counts = {0: 12345, 2: 999, 5: 6001}
    plain = oracle.Expected((_record(source, p, n) for p, count in counts.items()
                             for n in range(count)), counts=records.COUNTS)
    found = source.expected(counts)
    assert found.snapshot() == plain.snapshot()
    assert found.accepted_count == plain.accepted_count
    assert set(found.rejected) == set(oracle.REASONS)
    assert found.anomalies == plain.anomalies
    longer = source.expected(dict.fromkeys(range(4), 1_000_000))
    assert {10, 11} <= set(longer.minutes.values())
    for partition, published in plain.published.items():
        numbers = [r.offset for r in published]
        assert numbers == sorted(numbers)
        for record in published:
            made = source.template(partition, record.offset)
            tag = records.tag_of(partition, record.offset)
            assert record.key == (tag if made.out_key is records.TAG else made.out_key)


def test_records_that_are_not_counted_are_left_out():
    """Also those of minutes of their own."""
    source = records.Records("some seed")
    counts, without = {0: 12345, 2: 999}, {0: range(11000, 12001)}
    plain = oracle.Expected((_record(source, p, n) for p, count in counts.items()
                             for n in range(count) if n not in without.get(p, ())),
                            counts=records.COUNTS)
    found = source.expected(counts, without)
    assert found.snapshot() == plain.snapshot()
    assert found.anomalies == plain.anomalies


@pytest.mark.parametrize("offset, lineage, number, is_without", [
    (100, "0:99:3@0,4@50", 100, False),  # stored before the log was cut off at 90
    (95, "0:94:3@0,4@50", 95, False),
    (90, "1:89:3@0,4@50", 100, False),  # it has gone back
    (95, "1:94:4@50,6@90", 105, False),
    (95, "0:94:4@50,6@90", 105, True),  # counted once more from the beginning
    (90, "0:89:4@50", 90, False),
    (90, "0:", 90, False),
])
def test_what_an_offset_means_after_a_cut(offset, lineage, number, is_without):
    cuts = {7: world_module.Cut(range(90, 100), 4)}
    found = checks.counted_numbers({b"7": b"%d" % offset, b"8": b"5"},
                                   {b"7": f"{offset} {lineage}".encode()}, cuts)
    assert found == ({7: number, 8: 5}, {7: range(90, 100)} if is_without else {})


def test_a_seed_gives_the_same_faults_again():
    """The schedule depends only on the seed, and every fault occurs in it."""
    every = fault.select([], 1)

    def some():
        schedule = fault.Schedule(5, every, 4)
        return [schedule.next() for _ in range(2000)]

    first = some()
    assert first == some()
    assert {chosen.name for _, _, chosen, _ in first} == {f.name for f in every}
    with pytest.raises(ValueError, match="no fault"):
        fault.select(["kil"], 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world in which one instance processed some records correctly."""
    settings = types.SimpleNamespace(seed=1, brokers=1, rate=COUNT, instances=1,
                                     group_protocol="classic")
    made = world_module.World(str(tmp_path_factory.mktemp("chaos")), settings, print)
    try:
        made.start()
        made.begin_round()
        wait.until(lambda: made.feeder.total() > COUNT, 60, "records to be sent", alive=made.check)
        settle(made)
        yield made
    finally:
        made.close()


def settle(world):
    """Makes an exact stop; returns what was expected."""
    checks.settle(world, world.check)
    expected = world.records.expected(world.feeder.counts())
    for check in checks.EXACT.values():
        check(world, expected)
    return expected


def test_a_count_that_is_wrong_by_one_is_found(world):
    """The error is found at the stop and at any moment before it."""
    expected = settle(world)
    moment = checks.Moment(world)
    assert moment.look()
    prefix = world.place.prefix
    with world.redis.client() as client:
        for name, command, key, field in (
                ("locale", client.zincrby, "locale_counts", "PA"),
                ("rejected", client.hincrby, "rejected_counts", "empty"),
                ("2024-01-01", client.hincrby, "login_counts:2024-01-01", "00:00")):
            def change(by):
                swapped = command == client.zincrby
                command(f"{prefix}:{key}", *((by, field) if swapped else (field, by)))

            change(1)
            with pytest.raises(AssertionError, match=rf"{name}.*sum \+1"):
                moment.look()
            with pytest.raises(AssertionError, match=rf"{name}.*sum \+1"):
                checks.EXACT["redis"](world, expected)
            change(-1)
        assert moment.look()
        client.hincrby(f"{prefix}:offsets", "1", 1)
        with pytest.raises(AssertionError, match="counted, .* sent|sum -1"):
            moment.look()
        client.hincrby(f"{prefix}:offsets", "1", -1)
    settle(world)


def test_an_instance_that_ends_by_itself_is_found(world):
    """This includes an instance that is killed, but not by the harness."""
    slot = world.fleet.running()[0]
    slot.instance.kill()
    with pytest.raises(AssertionError, match="ended with status -9"):
        world.check()
    slot.instance = None
    world.fleet.start(slot)
    settle(world)


@pytest.mark.parametrize("which", ["output", "rejected"])
def test_wrong_outputs_are_found(world, which):
    """A reader of hand-written topics finds a duplicate, a missing and a changed record."""
    source, row_is_rejected = records.Records("by hand"), which == "rejected"
    numbers = [n for n in range(100)
               if (source.template(0, n).reason is not None) == row_is_rejected]
    one, two, three = numbers[:3]
    for rows, words in (([one, two, three], None),
                        ([one, two, two], "twice or late"), ([one, three], "missing or early"),
                        ([two, one], "missing or early"), ([one, -two], "changed")):
        topic = f"{which}-{rows}".replace(", ", "-").strip("[]").replace("[", "")
        other = topic + "-other"
        for each in (topic, other):
            world.cluster.create_topic(each, 1)
        _write(world, topic, source, rows, row_is_rejected)
        topics = (other, topic) if row_is_rejected else (topic, other)
        found = reader.Reader(world.cluster.address, "in", *topics, "by hand", 1)
        try:
            if words is None:
                wait.until(lambda: found.seen[row_is_rejected] == 3, 30, "all records to be read",
                           alive=found.worker.check)
                continue
            with pytest.raises(AssertionError, match=words):
                wait.until(lambda: False, 30, "the reader to fail", alive=found.worker.check)
        finally:
            found.worker.kill()


def _write(world, topic, source, rows, is_rejected):
    producer = Producer({"bootstrap.servers": world.cluster.address})
    for number in rows:
        record = _record(source, 0, abs(number))
        made = source.template(0, abs(number))
        key = records.tag_of(0, abs(number)) if made.out_key is records.TAG else made.out_key
        headers = list(record.headers or [])
        if is_rejected:
            errors = {"reason": made.reason, "detail": "x", "topic": "in", "partition": "0",
                      "offset": str(abs(number))}
            headers += [(f"__rollcall.errors.{name}", text) for name, text in errors.items()]
        value = record.value if number >= 0 else b"{}" + (record.value or b"")
        producer.produce(topic, value, key, 0, timestamp=record.timestamp_ms, headers=headers)
    assert producer.flush(30) == 0


def test_a_duplicate_behind_the_last_record_is_found(world):
    """This test must be the last in this file, because it ends the reader."""
    number = max(n for n in range(world.feeder.acknowledged[0])
                 if world.records.template(0, n).reason is None)
    record = _record(world.records, 0, number)
    producer = Producer({"bootstrap.servers": world.cluster.address})
    producer.produce(world.place.output, record.value, record.key, 0,
                     timestamp=record.timestamp_ms, headers=record.headers or [])
    assert producer.flush(30) == 0
    with pytest.raises(AssertionError, match="twice or late"):
        settle(world)
