"""What may lie on a broker's disk, and is not what a client of today has just written there."""

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
