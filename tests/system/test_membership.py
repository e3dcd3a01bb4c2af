"""Members that librdkafka or the group leaves in a state that it tells nobody of."""

import pytest
from confluent_kafka import Consumer

import wait

RATE = 4000
SESSION_MS = 12000
#: A transaction stays open for long: at what follows it is about to be committed.
SLOW = {"consumer__session__timeout__ms": SESSION_MS, "output__commit_ms": 5500,
        "producer__transaction__timeout__ms": 60000}
#: To see when it is told to give partitions up.
TALKATIVE = {"consumer__debug": "cgrp", "log__level": "debug"}


def make_guest(world):
    """A member of the group that reads nothing: it only makes the group share out anew."""
    return Consumer({"bootstrap.servers": world.broker.address, "group.id": world.group,
                     "partition.assignment.strategy": "cooperative-sticky",
                     "session.timeout.ms": SESSION_MS, "enable.auto.commit": False})


@pytest.mark.timeout(180)
def test_static_member_expelled_in_a_rebalance(world):
    """It sleeps while it gives two partitions up, and loses all four. When it wakes up it is taken
    back under a new member id, and librdkafka does not tell it that the other two were lost."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first", instance__id="first", **SLOW, **TALKATIVE)
        first.wait_assigned(4)
        feed.wait_for_more(2000)
        world.redis_server.pause()  # so that what it gives up is not drained at once
        guest = make_guest(world)
        guest.subscribe([world.topic])
        wait.until(lambda: guest.poll(0.05) or " 2 revoked partitions based on" in first.log(), 30,
                   "two partitions are to be given up", every=0)
        first.pause()

        def is_alone():
            guest.poll(0.05)
            return len(guest.assignment()) == 4

        wait.until(is_alone, 60, "the sleeper is expelled", every=0)
        world.redis_server.resume()
        second = world.run("second").wait_ready()
        guest.close()
        second.wait_assigned(4)
        feed.wait_for_more(2000)
        first.resume()
        world.wait_shared(first, second)
        feed.wait_for_more(2000)
    assert "Partitions lost" in first.log(), "it drained partitions that were another's"
    world.verify(load, second)
    first.stop()
    second.stop()


@pytest.mark.timeout(180)
def test_static_member_that_dies_between_the_steps_of_a_rebalance(world):
    """It is to give two partitions up, and is killed before it can. Who comes in its place gets the
    other two, without a rebalance: the group rests, with two partitions that nobody owns."""
    load = world.make_load()
    options = {"consumer__session__timeout__ms": SESSION_MS, **TALKATIVE}
    with load.feed(RATE) as feed:
        first = world.run("first", instance__id="first", **options)
        first.wait_assigned(4)
        feed.wait_for_more(2000)
        second = world.run("second", instance__id="second", **options)
        second.wait_log("msg=Running")
        world.redis_server.pause()  # so that what is given up is not drained at once
        wait.until(lambda: " 2 revoked partitions based on" in first.log(), 30,
                   "two partitions are to be given up", every=0)
        first.kill()
        world.redis_server.resume()
        again = world.run("again", instance__id="first", **options)
        world.wait_shared(again, second)
        feed.wait_for_more(2000)
    assert "partitions that nobody owns" in again.log() + second.log()
    world.verify(load, second)
    again.stop()
    second.stop()
