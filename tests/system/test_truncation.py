"""A log that lost its end: records that were counted or published no longer exist."""

import re

import wait


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
