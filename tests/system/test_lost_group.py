"""A broker that has forgotten the group after a restart, which librdkafka treats as fatal."""

import pytest

import kafka
import rollcall
import wait

NEW_ONE = "joining with a new one"

pytestmark = pytest.mark.skipif("not rollcall.has_consumer_protocol()",
                                reason=rollcall.NO_CONSUMER_PROTOCOL)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker for this module only, because it loses all groups."""
    with kafka.running(tmp_path_factory) as server:
        yield server


def lose_group(world):
    """Kills the broker and restarts it without any group state, committed offsets included. All
    work must be done before, because publishing then resumes from the counts in Redis."""
    world.wait_quiet()
    world.broker.kill()
    world.broker.lose_groups()
    world.broker.start()


def wait_renewed(instance):
    """Waits until the instance has all partitions again through a new consumer."""
    instance.wait_log(NEW_ONE, seconds=60)

    def is_given():
        return "Partitions assigned" in instance.log().partition(NEW_ONE)[2]

    wait.until(is_given, 60, "the new consumer to get partitions", alive=instance.check_alive)


@pytest.fixture
def renewed(world):
    """A load, and an instance that got its partitions again after the group was forgotten."""
    load = world.make_load()
    load.produce(2000)
    instance = world.run(**rollcall.CONSUMER_PROTOCOL)
    lose_group(world)
    wait_renewed(instance)
    load.produce(1000)
    return load, instance


@pytest.mark.sanitizer
def test_group_forgotten(world, renewed):
    load, instance = renewed
    world.verify(load, instance)
    assert "Partitions lost" in instance.log()
    assert instance.metric("rollcall_assigned_partitions") == 4

    def lags():
        return [lag for (name, _), lag in instance.metrics().items()
                if name == "rollcall_lag_records"]

    wait.until(lambda: lags() == [0] * 4, 10, lambda: f"no lag in all partitions, now {lags()}")
    instance.stop()
    assert instance.log().count(NEW_ONE) == 1


def test_group_forgotten_again_at_once(world, renewed):
    """A consumer that has just been replaced is not replaced again: the process exits."""
    load, instance = renewed
    lose_group(world)
    assert instance.wait_exit(60) == 1
    assert "the Kafka consumer failed permanently" in instance.log()
    again = world.run(**rollcall.CONSUMER_PROTOCOL)
    again.wait_assigned(4)
    load.produce(1000)
    world.verify(load, again)
    again.stop()
