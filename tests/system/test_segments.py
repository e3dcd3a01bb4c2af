"""Log segments that a current client would not write: old formats and damaged records."""

import time

import pytest

import segment
import wait

BATCH = 60  # records in one send, over all partitions


def _load(world, batches):
    """Makes a load of this many batches in each of 4 partitions, and stops the broker."""
    load_ = world.make_load()
    for _ in range(batches):
        load_.produce(BATCH)
    world.broker.stop()
    return load_


def _rewrite(world, load_, partition, magic, size, timestamp_ms=None):
    """Rewrites a partition in an old format, in wrappers of `size` records, or without if 0. The
    old formats have no headers."""
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
    """Starts the broker and waits until it has loaded every record."""
    world.broker.start()
    counts = {}
    for record in load_.records:
        counts[record.partition] = counts.get(record.partition, 0) + 1
    wait.until(lambda: world.broker.end_offsets(world.topic) == counts, 30,
               lambda: f"{counts} records, now {world.broker.end_offsets(world.topic)}")


def test_segments_of_old_formats(world):
    """Kafka 4 accepts no such records from clients, but serves those written earlier."""
    load_ = _load(world, 4)
    _rewrite(world, load_, 0, 0, 0, timestamp_ms=-1)
    _rewrite(world, load_, 1, 0, 20, timestamp_ms=-1)
    _rewrite(world, load_, 2, 1, 0)
    _rewrite(world, load_, 3, 1, 20)
    _start(world, load_)
    load_.produce(4 * BATCH)  # followed by records in the current format
    instance = world.run()
    world.verify(load_, instance)
    instance.stop()


#: The position of the flipped bit in a batch, and whether librdkafka reports an error. If it does,
#: it continues behind the first record of the batch. If the data ends within a record, it assumes
#: that the fetch size cut the record off, and fetches again forever.
DAMAGE = {"format": (16, True), "compression": (22, True), "record": (61, False)}
STILL_S = 5


@pytest.mark.parametrize("damage", DAMAGE)
def test_records_that_cannot_be_read_are_not_skipped(world, damage):
    """No record of the batch, nor any behind it, is counted before the batch can be read again."""
    position, is_error = DAMAGE[damage]
    load_ = world.make_load()
    for _ in range(8):
        load_.send(0, *load_.make_event()[1:])
        load_.flush()
    load_.produce(BATCH)
    world.broker.stop()
    damaged_at = {0: 3, 1: 0}  # a batch with a single record, and one with many
    damaged = [(p, segment.positions(world.broker, world.topic, p)[n] + position)
               for p, n in damaged_at.items()]
    for place in damaged:
        segment.flip(world.broker, world.topic, *place)
    _start(world, load_)
    instance = world.run()
    ends = world.broker.end_offsets(world.topic)
    wait.until(lambda: [world.place.counted().get(p) for p in (2, 3)] == [ends[2], ends[3]], 30,
               "the undamaged partitions to be counted")
    for partition in damaged_at if is_error else ():
        wait.until(lambda: f'stands still until they can" partition={partition}' in instance.log(),
                   30, f"the damage in partition {partition} to be logged")
    time.sleep(STILL_S)
    counted = world.place.counted()
    assert {p: counted.get(p, 0) for p in damaged_at} == damaged_at
    world.broker.stop()
    for place in damaged:
        segment.flip(world.broker, world.topic, *place)
    _start(world, load_)
    world.verify(load_, instance)
    instance.stop()
