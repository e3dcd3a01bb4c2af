"""An input topic with cleanup.policy=compact: compacted offsets do not count as lost."""

import time

import pytest

import kafka
import oracle
import verify
import wait

USERS = 7


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that compacts as soon as possible."""
    settings = ("log.cleaner.enable=true\nlog.cleaner.backoff.ms=100\n"
                "log.cleaner.dedupe.buffer.size=2097152\n")
    with kafka.running(tmp_path_factory, extra=settings) as server:
        yield server


def test_gaps_after_compaction_count_nowhere(world):
    """Compaction removes most records of each key, in the middle of the log and at its start."""
    world.broker.create_topic(world.topic, 2, cleanup__policy="compact", segment__ms=1,
                              min__cleanable__dirty__ratio=0.01, min__compaction__lag__ms=0)
    load = world.make_load(2)
    begin_ms = int(time.time() * 1000)
    for n in range(400):  # each in its own batch and at a later time, so in its own segment
        _, _, value, _, headers = load.make_event()
        load.send(n % 2, b"user-%d" % (n % USERS), value, begin_ms + 10 * n, headers)
        load.flush()

    def left():
        return verify.read_committed(world.broker, world.topic)

    wait.until(lambda: len(left()) <= 2 * USERS + 4, 60,
               lambda: f"compaction, {len(left())} records left", every=0.5)
    kept = left()
    load.records = [oracle.Record(read.partition, read.offset, read.key, read.value,
                                  read.timestamp_ms, read.headers) for read in kept]
    instance = world.run()
    world.verify(load, instance)
    assert instance.metric("rollcall_records_lost_total") == 0
    assert [read.offset for read in left()] == [read.offset for read in kept], \
        "the broker compacted further during the test"
