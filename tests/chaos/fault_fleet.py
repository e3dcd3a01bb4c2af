"""Faults of rollcall's own processes, and more partitions for them."""

from fault import BROKER, FLEET, fault


@fault(8, FLEET, target=(0, 99), count=(1, 2), down_s=(0.0, 4.0))
def kill(chaos, target, count, down_s):
    """kill -9 of one or two instances, started again a little later."""
    slots = chaos.targets(target, count)
    for slot in slots:
        chaos.fleet.kill(slot)
    chaos.hold(down_s)
    for slot in slots:
        chaos.fleet.start(slot)


@fault(5, FLEET, target=(0, 99), count=(1, 2), down_s=(0.0, 4.0))
def term(chaos, target, count, down_s):
    """SIGTERM, and a new start."""
    for slot in chaos.targets(target, count):
        chaos.fleet.stop(slot)
        chaos.hold(down_s)
        chaos.fleet.start(slot)


@fault(5, FLEET, target=(0, 99), count=(1, 3), asleep_s=(0.3, 4.0))
def sleep_short(chaos, target, count, asleep_s):
    """SIGSTOP for less than the session and transaction timeouts."""
    _sleep(chaos, chaos.targets(target, count), asleep_s)


@fault(4, FLEET, target=(0, 99), count=(1, 2), asleep_s=(6.5, 12.0))
def sleep_long(chaos, target, count, asleep_s):
    """SIGSTOP for longer than both: zombies that wake."""
    _sleep(chaos, chaos.targets(target, count), asleep_s)


def _pick_stable(chaos, target):
    """The drawn one of the running instances that keep their instance.id; None: there is none."""
    slots = [slot for slot in chaos.fleet.running() if slot.is_stable]
    if not slots:
        chaos.say("no instance with an id of its own")
        return None
    return slots[target % len(slots)]


def _sleep(chaos, slots, asleep_s):
    for slot in slots:
        chaos.fleet.pause(slot)
    try:
        chaos.hold(asleep_s)
    finally:
        for slot in slots:
            chaos.fleet.resume(slot)


@fault(3, FLEET, target=(0, 99), after_s=(0.0, 1.5), asleep_s=(6.5, 10.0))
def expelled(chaos, target, after_s, asleep_s):
    """An instance with an id of its own falls asleep amid a rebalance, for longer than its session:
    the group expels it, shares out without it, and takes it back under another member id."""
    slot = _pick_stable(chaos, target)
    if slot is None:
        return
    empty, others = chaos.fleet.empty(), [s for s in chaos.fleet.running() if s is not slot]
    if empty and len(others) < 2:
        chaos.fleet.start(empty[0])
    elif others:
        chaos.fleet.stop(others[0])
    chaos.hold(after_s)
    _sleep(chaos, [slot], asleep_s)


@fault(2, FLEET, target=(0, 99), asleep_s=(0.5, 9.0), both_s=(0.5, 8.0))
def twin(chaos, target, asleep_s, both_s):
    """An instance sleeps, a new one with its id takes its place, and it wakes: one of them ends."""
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


@fault(2, FLEET, gap_s=(0.0, 2.0))
def rolling(chaos, gap_s):
    """Every instance in turn is stopped and started."""
    for slot in chaos.fleet.running():
        chaos.fleet.stop(slot)
        chaos.fleet.start(slot)
        chaos.hold(gap_s)


@fault(4, FLEET, target=(0, 99), to=[1, 2, 2, 3, 3, 4])
def scale(chaos, target, to):
    """More or fewer instances."""
    _scale(chaos, target, to)


def _scale(chaos, target, to):
    while len(chaos.fleet.running()) < to:
        chaos.fleet.start(chaos.fleet.empty()[0])
    if len(chaos.fleet.running()) > to:
        for slot in chaos.targets(target, len(chaos.fleet.running()) - to):
            chaos.fleet.stop(slot)


@fault(1, FLEET, target=(0, 99), step_s=(0.5, 3.0))
def scale_walk(chaos, target, step_s):
    """1, 2, 4, 3, 1, and back to two."""
    for to in (1, 2, 4, 3, 1, 2):
        _scale(chaos, target, to)
        chaos.hold(step_s)


@fault(1, FLEET, BROKER, more=(1, 2))
def partitions(chaos, more):
    """Partitions added to the outputs and the input while records flow."""
    count = chaos.feeder.partition_count + more
    if count > chaos.partitions_max:
        chaos.say(f"partitions: {count} would be more than {chaos.partitions_max}")
        return
    for topic in (chaos.place.output, chaos.place.rejected, chaos.place.topic):
        chaos.cluster.grow_topic(topic, count)
    chaos.reader.spread(count)
    chaos.feeder.spread(count)
