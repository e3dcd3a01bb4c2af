"""Members that librdkafka or the group leaves in a state without reporting it."""

import pytest
from confluent_kafka import Consumer

import wait

RATE = 4000
SESSION_MS = 12000
#: Transactions stay open for long, so that one is still open during the events below.
SLOW = {"consumer__session__timeout__ms": SESSION_MS, "output__commit_ms": 5500,
        "producer__transaction__timeout__ms": 60000}
#: Debug logs that show when a member must give up partitions.
TALKATIVE = {"consumer__debug": "cgrp", "log__level": "debug"}


def make_guest(world):
    """Creates a member that reads nothing and only makes the group rebalance."""
    return Consumer({"bootstrap.servers": world.broker.address, "group.id": world.group,
                     "partition.assignment.strategy": "cooperative-sticky",
                     "session.timeout.ms": SESSION_MS, "enable.auto.commit": False})


@pytest.mark.timeout(180)
def test_static_member_expelled_in_a_rebalance(world):
    """The member is suspended while it gives up two partitions, and loses all four. When it
    resumes, it is readmitted under a new member id, and librdkafka does not report the other two as
    lost."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first", instance__id="first", **SLOW, **TALKATIVE)
        first.wait_assigned(4)
        feed.wait_for_more(2000)
        world.redis_server.pause()  # so that revoked partitions cannot be drained at once
        guest = make_guest(world)
        guest.subscribe([world.topic])
        wait.until(lambda: guest.poll(0.05) or " 2 revoked partitions based on" in first.log(), 30,
                   "two partitions to be revoked", every=0)
        first.pause()

        def is_alone():
            guest.poll(0.05)
            return len(guest.assignment()) == 4

        wait.until(is_alone, 60, "the suspended member to be expelled", every=0)
        world.redis_server.resume()
        second = world.run("second").wait_ready()
        guest.close()
        second.wait_assigned(4)
        feed.wait_for_more(2000)
        first.resume()
        world.wait_shared(first, second)
        feed.wait_for_more(2000)
    assert "Partitions lost" in first.log(), "it drained partitions that it no longer owned"
    world.verify(load, second)
    first.stop()
    second.stop()


@pytest.mark.timeout(180)
def test_static_member_that_dies_between_the_steps_of_a_rebalance(world):
    """The member is killed before it can give up two partitions. Its replacement gets the other two
    without a rebalance, so the group is stable with two partitions that no member owns."""
    load = world.make_load()
    options = {"consumer__session__timeout__ms": SESSION_MS, **TALKATIVE}
    with load.feed(RATE) as feed:
        first = world.run("first", instance__id="first", **options)
        first.wait_assigned(4)
        feed.wait_for_more(2000)
        second = world.run("second", instance__id="second", **options)
        second.wait_log("msg=Running")
        world.redis_server.pause()  # so that revoked partitions cannot be drained at once
        wait.until(lambda: " 2 revoked partitions based on" in first.log(), 30,
                   "two partitions to be revoked", every=0)
        first.kill()
        world.redis_server.resume()
        again = world.run("again", instance__id="first", **options)
        world.wait_shared(again, second)
        feed.wait_for_more(2000)
    assert "partitions that nobody owns" in again.log() + second.log()
    world.verify(load, second)
    again.stop()
    second.stop()
