"""Faults of the rollcall processes, and added partitions."""

import time

from fault import BROKER, FLEET, NET_REDIS, fault


@fault(8, FLEET, target=(0, 99), count=(1, 2), down_s=(0.0, 4.0))
def kill(chaos, target, count, down_s):
    """One or two instances are killed with SIGKILL and restarted a little later."""
    slots = chaos.targets(target, count)
    for slot in slots:
        chaos.fleet.kill(slot)
    chaos.hold(down_s)
    for slot in slots:
        chaos.fleet.start(slot)


@fault(5, FLEET, target=(0, 99), count=(1, 2), down_s=(0.0, 4.0))
def term(chaos, target, count, down_s):
    """Instances are stopped with SIGTERM and restarted."""
    for slot in chaos.targets(target, count):
        chaos.fleet.stop(slot)
        chaos.hold(down_s)
        chaos.fleet.start(slot)


@fault(5, FLEET, target=(0, 99), count=(1, 3), asleep_s=(0.3, 4.0))
def sleep_short(chaos, target, count, asleep_s):
    """Instances are suspended for less than the session and transaction timeouts."""
    _sleep(chaos, target, count, asleep_s)


@fault(4, FLEET, target=(0, 99), count=(1, 2), asleep_s=(6.5, 12.0))
def sleep_long(chaos, target, count, asleep_s):
    """Instances are suspended for longer than both timeouts and wake as zombies."""
    _sleep(chaos, target, count, asleep_s)


def _pick_stable(chaos, target):
    """Returns the slot drawn from the running instances with a stable instance.id, or None."""
    slots = [slot for slot in chaos.fleet.running() if slot.is_stable]
    if not slots:
        chaos.say("no running instance has a stable instance.id")
        return None
    return slots[target % len(slots)]


def _sleep(chaos, target, count, asleep_s):
    slots = chaos.targets(target, count)
    for slot in slots:
        chaos.fleet.pause(slot)
    try:
        chaos.hold(asleep_s)
    finally:
        for slot in slots:
            chaos.fleet.resume(slot)


@fault(3, FLEET, NET_REDIS, target=(0, 99), alone_s=(6.5, 8.0), stuck_s=(0.2, 2.5),
       asleep_s=(6.5, 10.0))
def expelled(chaos, target, alone_s, stuck_s, asleep_s):
    """One instance with a stable id owns all partitions. A second joins, but the first cannot drain
    the partitions it must give up, because Redis does not respond. The first is then suspended for
    longer than its session. The group expels it, reassigns its other partitions too, and readmits
    it under a new member id."""
    slot = _pick_stable(chaos, target)
    if slot is None:
        return
    for other in [other for other in chaos.fleet.running() if other is not slot]:
        chaos.fleet.stop(other)
    chaos.hold(alone_s)
    new = [empty for empty in chaos.fleet.empty() if not empty.is_stable][0]
    chaos.fleet.start(new)
    deadline = time.monotonic() + 5

    def joins():  # past its start check of Redis; if that fails, the harness restarts the instance
        instance = new.instance
        return instance is not None and "msg=Running" in instance.log()

    while not joins() and time.monotonic() < deadline:
        time.sleep(0.01)
    chaos.proxy.set(chaos.redis.port, "hole")
    try:
        chaos.hold(stuck_s)
        chaos.fleet.pause(slot)
    finally:
        chaos.dropped_replies += chaos.proxy.set(chaos.redis.port, "pass")
    try:
        chaos.hold(asleep_s)
    finally:
        chaos.fleet.resume(slot)


@fault(2, FLEET, target=(0, 99), asleep_s=(0.5, 9.0), both_s=(0.5, 8.0))
def twin(chaos, target, asleep_s, both_s):
    """A suspended instance is replaced by one with the same id, then resumes; one of them exits."""
    slot = _pick_stable(chaos, target)
    if slot is None:
        return
    chaos.fleet.pause(slot)
    ghost = chaos.fleet.double(slot)
    try:
        chaos.hold(asleep_s)
        ghost.resume()
        chaos.hold(both_s)
    finally:
        chaos.say(f"twin: {chaos.fleet.undouble(slot, ghost)}")


@fault(3, FLEET, target=(0, 99), shift_days=[-2, 2], held_s=(3.0, 9.0))
def wrong_clock(chaos, target, shift_days, held_s):
    """An instance is restarted with a clock that is two days fast or slow, then with the right
    one."""
    env = chaos.wrong_clock(shift_days * 86400)
    if env is None:
        chaos.say("wrong_clock: skipped, a sanitizer has to be the first library")
        return
    for slot in chaos.targets(target, 1):
        chaos.fleet.stop(slot)
        chaos.fleet.start(slot, env)
        chaos.hold(held_s)
        shift_s = chaos.fleet.clock_of(slot) - time.time()
        assert abs(shift_s - shift_days * 86400) < 600, f"{slot.instance.name}: {shift_s:.0f} s"
        chaos.fleet.stop(slot)
        chaos.fleet.start(slot)


@fault(2, FLEET, gap_s=(0.0, 2.0))
def rolling(chaos, gap_s):
    """Every instance in turn is stopped and restarted."""
    for slot in chaos.fleet.running():
        chaos.fleet.stop(slot)
        chaos.fleet.start(slot)
        chaos.hold(gap_s)


@fault(4, FLEET, target=(0, 99), to=[1, 2, 2, 3, 3, 4])
def scale(chaos, target, to):
    """Instances are added or stopped."""
    _scale(chaos, target, to)


def _scale(chaos, target, to):
    while len(chaos.fleet.running()) < to:
        chaos.fleet.start(chaos.fleet.empty()[0])
    if len(chaos.fleet.running()) > to:
        for slot in chaos.targets(target, len(chaos.fleet.running()) - to):
            chaos.fleet.stop(slot)


@fault(1, FLEET, target=(0, 99), step_s=(0.5, 3.0))
def scale_walk(chaos, target, step_s):
    """The number of instances goes through 1, 2, 4, 3, 1 and 2."""
    for to in (1, 2, 4, 3, 1, 2):
        _scale(chaos, target, to)
        chaos.hold(step_s)


@fault(1, FLEET, BROKER, more=(1, 2))
def partitions(chaos, more):
    """Partitions are added to the outputs and the input while records flow."""
    count = chaos.feeder.partition_count + more
    if count > chaos.partitions_max:
        chaos.say(f"partitions: none added, {count} would exceed {chaos.partitions_max}")
        return
    chaos.cluster.grow_topics((chaos.place.output, chaos.place.rejected, chaos.place.topic), count)
    chaos.reader.spread(count)
    chaos.feeder.spread(count)
