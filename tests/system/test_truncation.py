"""A log that lost its end: records that were counted or published no longer exist."""

import re

import pytest

import kafka
import verify
import wait


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One of their own, whose disk they may damage."""
    with kafka.running(tmp_path_factory) as server:
        yield server


def _cut(world, load, cuts):
    """Stops the broker, cuts off the last records of each partition, starts it again.

    Returns the records that were cut off. `load.records` keeps them if they were accepted: their
    counts stay.
    """
    ends = world.broker.end_offsets(world.topic)
    world.broker.stop()
    new = {p: world.broker.cut_log(world.topic, p, ends[p] - n) for p, n in cuts.items()}
    world.broker.start()
    wait.until(lambda: world.broker.end_offsets(world.topic) == {**ends, **new}, 30,
               lambda: f"ends {ends} cut to {new}, now {world.broker.end_offsets(world.topic)}")
    return {p: (new[p], ends[p]) for p in cuts}


def _counted_all(world):
    """The number of records in the counts, by locale and by reason."""
    counts = world.instances[-1].snapshot()
    return sum(counts["Logins by Locale"].values()) + sum(counts["Rejected"].values())


def _produce_one_by_one(load, count):
    """So that each record has a batch of its own, and can be cut off alone."""
    for _ in range(count):
        load.produce(1)


def test_a_watermark_above_the_end_stops_with_the_number(world):
    load = world.make_load(1)
    _produce_one_by_one(load, 20)
    first = world.run()
    world.wait_quiet()
    first.stop()
    before = world.place.counted()
    _cut(world, load, {0: 5})
    second = world.run(input__on_gap="fail")
    assert second.wait_exit() == 1
    last = second.log().splitlines()[-1]
    assert "lost its end" in last and "5 records that were counted or published" in last, last
    assert "records are gone" not in last and "input.on_gap=continue" in last, last
    assert world.place.counted() == before == world.place.published()


def test_a_watermark_above_the_end_continues_where_it_was_cut_off(world):
    load = world.make_load(1)
    _produce_one_by_one(load, 20)
    first = world.run()
    world.wait_quiet()
    first.stop()
    new_end, old_end = _cut(world, load, {0: 5})[0]
    second = world.run(input__on_gap="continue")
    second.wait_log("lost its end")
    assert re.search(r"truncated_records=5\b", second.log())
    wait.until(lambda: world.place.counted() == world.place.published() == {0: new_end}, 30,
               "both watermarks to go back to the end of the log")
    load = world.make_load(1)  # the broker has forgotten the other producer
    load.produce(12)
    wait.until(lambda: world.place.counted() == world.place.published() == {0: new_end + 12}, 30,
               "the new records to be counted and published")
    assert _counted_all(world) == old_end + 12
    assert second.metric("rollcall_records_truncated_total") == 5
    assert second.metric("rollcall_records_lost_total") == 0
    second.stop()
    third = world.run()
    third.wait_ready()
    third.wait_assigned(1)
    assert third.metric("rollcall_records_truncated_total") == 0
    third.stop()


def _regrow(world, load, cut, count):
    """Cuts the log while nobody reads it, and writes more records than it has lost."""
    load.produce(1)  # of the first leader, so that the log has two
    _produce_one_by_one(load, 20)
    first = world.run()
    world.wait_quiet()
    first.stop()
    new_end, old_end = _cut(world, load, {0: cut})[0]
    load = world.make_load(1)
    load.produce(count)
    return new_end, old_end


def test_a_log_that_has_grown_past_the_watermark_stops_with_the_number(world):
    load = world.make_load(1)
    _regrow(world, load, 5, 20)
    before = world.place.counted()
    second = world.run(input__on_gap="fail")
    assert second.wait_exit() == 1
    last = second.log().splitlines()[-1]
    assert "lost its end" in last and "5 records that were counted or published" in last, last
    assert world.place.counted() == before == world.place.published()


def test_a_log_that_has_grown_past_the_watermark_continues_where_it_departs(world):
    load = world.make_load(1)
    new_end, old_end = _regrow(world, load, 5, 20)
    second = world.run(input__on_gap="continue")
    world.wait_quiet()
    assert world.place.counted() == {0: new_end + 20}
    assert _counted_all(world) == old_end + 20
    assert second.metric("rollcall_records_truncated_total") == 5
    assert len(_published(world)) == old_end + 20
    second.stop()


def test_both_watermarks_have_a_lineage(world):
    load = world.make_load(1)
    load.produce(20)
    first = world.run()
    world.wait_quiet()
    first.stop()
    with world.redis_server.client() as client:
        found = client.hgetall(f"{world.prefix}:lineages")
    lineage = found[b"0"].decode()
    assert re.fullmatch(r"20 0:19:\d+@0", lineage), lineage
    epoch = int(lineage.split(":")[2].split("@")[0])
    assert world.broker.committed_epoch(world.group, world.topic, 0) == epoch


def test_a_redis_without_lineages_is_accepted(world):
    """As an earlier version left it."""
    load = world.make_load(1)
    load.produce(20)
    first = world.run()
    world.wait_quiet()
    first.stop()
    with world.redis_server.client() as client:
        client.delete(f"{world.prefix}:lineages")
    load.produce(20)
    second = world.run()
    world.verify(load, second)
    assert second.metric("rollcall_rewinds_total", cause="rolled_back") == 0
    second.stop()


def _published(world):
    """The committed records of both output topics."""
    return (verify.read_committed(world.broker, world.output) +
            verify.read_committed(world.broker, world.rejected))


@pytest.mark.timeout(300)
def test_a_broker_that_was_restored_from_an_older_copy(world):
    """While an instance runs: its client has seen newer metadata than the broker has then."""
    load = world.make_load(1)
    load.produce(100)
    first = world.run()
    world.wait_quiet()
    first.stop()
    world.broker.stop()
    copy = world.broker.save_copy()
    world.broker.start()
    load = world.make_load(1)
    second = world.run(input__on_gap="continue")
    second.wait_ready()
    for _ in range(2):  # so that leaders have changed since the copy
        load.produce(20)
        world.wait_quiet()
        world.broker.stop()
        world.broker.start()
    world.wait_quiet()
    world.broker.stop()
    world.broker.restore(copy)
    world.broker.start()
    second.wait_log("lost its end", 100)
    load = world.make_load(1)
    load.produce(30)
    second.wait_log("makes no progress", 60)  # its client takes the broker's metadata for outdated
    world.wait_quiet(60)
    assert world.place.counted() == {0: 130}
    assert _counted_all(world) == 170
    assert second.metric("rollcall_records_truncated_total") == 40
    wait.until(second.is_ready, 60, "the instance to be ready again")
    second.stop()
