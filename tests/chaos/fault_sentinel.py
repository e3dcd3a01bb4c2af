"""Faults of Redis behind Sentinels."""

import sentinels
from fault import SENTINEL, fault


@fault(4, SENTINEL, held_s=(0.0, 5.0), down_s=(0.0, 6.0))
def sentinel_kill(chaos, held_s, down_s):
    """SIGKILL of the master, whose replicas are held_s behind. Later it returns, as a replica."""
    watched = chaos.redis
    old = watched.master
    if held_s > 1:
        watched.separate(old, watched.others(old))
        chaos.hold(held_s)
    old.kill()
    watched.drop(old)
    watched.open_ways()
    watched.wait_promoted(old)
    chaos.hold(down_s)
    old.start()
    watched.wait_whole()
    _discards(watched, old)


def _discards(watched, old):
    """What only the old master had is gone: it repeats the present one."""
    with watched.client() as client, old.client() as returned:
        assert returned.role()[0] == b"slave", returned.role()
        same = client.info("replication")["master_replid"]
        assert returned.info("replication")["master_replid"] == same


@fault(2, SENTINEL, down_s=(0.0, 0.5))
def sentinel_restart(chaos, down_s):
    """SIGKILL of the master, which is back before the Sentinels miss it."""
    old = chaos.redis.master
    old.kill()
    chaos.hold(down_s)
    old.start()
    chaos.redis.wait_whole()


@fault(3, SENTINEL, which=(0, 2), is_seen=[True, True, False], apart_s=(0.5, 4.0),
       again=[True, False])
def sentinel_apart(chaos, which, is_seen, apart_s, again):
    """One Sentinel is cut off from servers and Sentinels, and goes on naming the old master to the
    instances; the master is killed, and every connection to the new one breaks."""
    watched = chaos.redis
    old, alone = watched.master, watched.sentinels[which]
    others = [one for one in watched.sentinels if one is not alone]
    watched.separate(alone, others)
    for one in watched.servers + others:
        watched.separate(one, [alone])
    if not is_seen:
        watched.separate_instances(alone, range(4))
    chaos.hold(apart_s)
    old.kill()
    new = watched.wait_promoted(old)
    if again:  # as a master, and the lone Sentinel has heard nothing else
        old.start()
    with new.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    chaos.hold(apart_s)
    if not again:
        old.start()
    watched.open_ways()
    watched.wait_whole()


@fault(3, SENTINEL, target=(0, 99), apart_s=(0.5, 8.0))
def sentinel_split(chaos, target, apart_s):
    """The old master is cut off from everybody but one instance, which asks the Sentinels."""
    _split(chaos, target, apart_s, is_blind=False)


@fault(3, SENTINEL, target=(0, 99), apart_s=(0.5, 8.0))
def sentinel_blind(chaos, target, apart_s):
    """The same, and this instance cannot ask: it goes on counting into the old master."""
    _split(chaos, target, apart_s, is_blind=True)


def _split(chaos, target, apart_s, is_blind):
    watched, slots = chaos.redis, chaos.targets(target, 1)
    numbers = {chaos.fleet.slots.index(slot) for slot in slots}
    old = watched.master
    watched.separate(old, watched.others(old) + watched.sentinels)
    watched.separate_instances(old, set(range(4)) - numbers)
    if is_blind:
        for one in watched.sentinels:
            watched.separate_instances(one, numbers)
    watched.wait_promoted(old)
    chaos.hold(apart_s)
    watched.open_ways()
    watched.wait_whole()
    _discards(watched, old)


@fault(2, SENTINEL, asleep_s=(0.5, 8.0))
def sentinel_sleep(chaos, asleep_s):
    """The master is suspended, and wakes up as one: it takes writes until it is told."""
    chaos.redis.suspend_master(chaos.hold, asleep_s)


@fault(2, SENTINEL)
def sentinel_fail_over(chaos):
    """A failover by command: no connection breaks by itself."""
    watched = chaos.redis
    old = watched.master

    def order():
        if watched.master is old:
            watched.sentinels[0].call("SENTINEL", "FAILOVER", sentinels.NAME)

    chaos.insist(order, "SENTINEL FAILOVER")
    watched.wait_promoted(old)
    watched.wait_whole()


@fault(1, SENTINEL, down_s=(0.5, 5.0), is_master_too=[True, False])
def sentinel_none(chaos, down_s, is_master_too):
    """All Sentinels are killed, and the master too, or its connections: nobody knows another."""
    watched = chaos.redis
    old = watched.master
    for one in watched.sentinels:
        one.kill()
    if is_master_too:
        old.kill()
    else:
        with old.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
    chaos.hold(down_s)
    for one in watched.sentinels:
        one.start()
    if is_master_too:
        chaos.insist(lambda: watched.wait_promoted(old), "a promotion")
        old.start()
    watched.wait_whole()
