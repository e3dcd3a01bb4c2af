"""A leader is lost with records that only it had, and its follower's log grows past them."""

import collections

import pytest

import kafka_pair
import load
import oracle
import verify

KEPT, LOST, NEW = 100, 30, 70

#: A group that meets the election. `sent` are its records, in the order of what the log had.
Case = collections.namedtuple("Case", "name world is_watching on_gap sent")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with kafka_pair.running(tmp_path_factory) as pair:
        yield pair


@pytest.fixture
def cases(world, tmp_path):
    """One group each for: runs meanwhile or not, stops at the truncation or continues."""
    found = []
    for name, is_watching in (("watching", True), ("restarted", False)):
        for on_gap in ("fail", "continue"):
            folder = tmp_path / f"{name}-{on_gap}"
            folder.mkdir()
            made = type(world)(world.broker, folder, world.redis_server, None)
            world.broker.create_input(made.topic)
            for topic in (made.output, made.rejected):
                world.broker.create_output(topic)
            found.append(Case(f"{name}, {on_gap}", made, is_watching, on_gap, []))
    yield found
    for case in found:
        case.world.close()


def _produce(case, count, seed):
    """Sends records of their own kind; keeps what was acknowledged, in the order of the log."""
    sender = load.Load(case.world.broker, case.world.topic, load.Events(seed, 1, tagged=True))
    sender.produce(count)
    case.sent.extend(sender.records)


def _verify(case, instance):
    """Every record that was ever acknowledged is counted and published once, in order."""
    case.world.wait_quiet()
    place, expected = case.world.place, oracle.Expected()
    for record in case.sent:
        expected.add(record)
    assert place.counted() == place.published() == {0: KEPT + NEW}, case.name
    verify.check_redis(place, expected)
    verify.check_output(place, expected)
    verify.check_rejected(place, expected)
    verify.check_snapshot(instance, expected)


def _elect_uncleanly(broker, cases):
    """The follower is elected without the last LOST records of each topic, and gets NEW ones."""
    topics = [case.world.topic for case in cases]
    for topic in topics:
        broker.wait_in_sync(topic, 2)
    broker.part_ways()
    for case in cases:
        _produce(case, LOST, 2)  # acknowledged once the follower is out of sync
        broker.wait_in_sync(case.world.topic, 1)
        case.world.wait_quiet()
    for case in cases:
        if not case.is_watching:
            case.world.instances[-1].stop()
    broker.lose_leader()
    for case in cases:
        broker.wait_leader(case.world.topic, 1)
        _produce(case, NEW, 3)
    broker.come_back()


@pytest.mark.timeout(240)
def test_unclean_election(broker, cases):
    for case in cases:
        _produce(case, KEPT, 1)
        case.world.run(input__on_gap=case.on_gap)
    for case in cases:
        case.world.wait_quiet()
    _elect_uncleanly(broker, cases)
    for case in cases:
        if not case.is_watching:
            case.world.run(input__on_gap=case.on_gap)
    for case in cases:
        instance = case.world.instances[-1]
        if case.on_gap == "fail":
            _expect_stop(case, instance)
            instance = case.world.run(input__on_gap="continue")
        _verify(case, instance)
        assert instance.metric("rollcall_records_truncated_total") == LOST, case.name
        assert instance.metric("rollcall_records_lost_total") == 0, case.name
        instance.stop()


def _expect_stop(case, instance):
    """It names how many were lost, and changes nothing."""
    assert instance.wait_exit(60) == 1, case.name
    last = instance.log().splitlines()[-1]
    assert "lost its end" in last and f"{LOST} records that were counted or published" in last, last
    assert case.world.place.counted() == {0: KEPT + LOST} == case.world.place.published(), case.name
