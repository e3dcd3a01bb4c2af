"""What may lie on a broker's disk, and is not what a client of today has just written there."""

import time

import pytest

import segment
import wait

BATCH = 60  # records in one send, of all partitions


def _load(world, batches):
    """A load of so many batches in each of 4 partitions, and the broker stopped."""
    load_ = world.make_load()
    for _ in range(batches):
        load_.produce(BATCH)
    world.broker.stop()
    return load_


def _rewrite(world, load_, partition, magic, size, timestamp_ms=None):
    """A partition in an old format, in wrappers of so many records or (0) without. No format of
    those days has headers."""
    kept = [r for r in load_.records if r.partition != partition]
    records = sorted(r._replace(headers=None, timestamp_ms=timestamp_ms or r.timestamp_ms)
                     for r in load_.records if r.partition == partition)
    load_.records = kept + records
    if size == 0:
        log = b"".join(segment.message(magic, *r[1:5]) for r in records)
    else:
        log = b"".join(segment.wrapper(magic, records[at:at + size])
                       for at in range(0, len(records), size))
    segment.replace(world.broker, world.topic, partition, log)


def _start(world, load_):
    """The broker, which must have found every record."""
    world.broker.start()
    counts = {}
    for record in load_.records:
        counts[record.partition] = counts.get(record.partition, 0) + 1
    wait.until(lambda: world.broker.end_offsets(world.topic) == counts, 30,
               lambda: f"{counts} records, has {world.broker.end_offsets(world.topic)}")


def test_segments_of_old_formats(world):
    """Kafka 4 takes no such records from clients, but serves what was written before."""
    load_ = _load(world, 4)
    _rewrite(world, load_, 0, 0, 0, timestamp_ms=-1)
    _rewrite(world, load_, 1, 0, 20, timestamp_ms=-1)
    _rewrite(world, load_, 2, 1, 0)
    _rewrite(world, load_, 3, 1, 20)
    _start(world, load_)
    load_.produce(4 * BATCH)  # in today's format behind
    instance = world.run()
    world.verify(load_, instance)
    instance.stop()


#: Where a bit of a batch is turned over, and whether librdkafka calls that an error. It then goes on
#: behind the first record of the batch. What ends in the middle of a record it takes for cut off by
#: the size of a fetch, and asks again without end.
DAMAGE = {"format": (16, True), "compression": (22, True), "record": (61, False)}
STILL_S = 5


@pytest.mark.parametrize("damage", DAMAGE)
def test_records_that_cannot_be_read_are_not_passed_over(world, damage):
    """Not one of the batch, nor any behind it, before it can be read again."""
    position, is_error = DAMAGE[damage]
    load_ = world.make_load()
    for _ in range(8):
        load_.send(0, *load_.make_event()[1:])
        load_.flush()
    load_.produce(BATCH)
    world.broker.stop()
    damaged_at = {0: 3, 1: 0}  # the only record of its batch, and the first of many
    damaged = [(p, segment.positions(world.broker, world.topic, p)[n] + position)
               for p, n in damaged_at.items()]
    for place in damaged:
        segment.flip(world.broker, world.topic, *place)
    _start(world, load_)
    instance = world.run()
    ends = world.broker.end_offsets(world.topic)
    wait.until(lambda: [world.place.counted().get(p) for p in (2, 3)] == [ends[2], ends[3]], 30,
               "the sound partitions counted")
    for partition in damaged_at if is_error else ():
        wait.until(lambda: f'stands still until they can" partition={partition}' in instance.log(),
                   30, f"the damage in partition {partition} is told")
    time.sleep(STILL_S)
    counted = world.place.counted()
    assert {p: counted.get(p, 0) for p in damaged_at} == damaged_at
    world.broker.stop()
    for place in damaged:
        segment.flip(world.broker, world.topic, *place)
    _start(world, load_)
    world.verify(load_, instance)
    instance.stop()
