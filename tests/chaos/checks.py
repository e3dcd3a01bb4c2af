"""What must hold: at any moment while faults run, and exactly once everything is quiet."""

import time

import redis

import verify
import wait

#: Once the last fault has ended, everything is exact within this time, and longer by what a Redis
#: that lost everything makes the instances read again.
SETTLE_S = 60
REREAD_PER_S = 50000


def settle_deadline_s(total):
    """By when all of total records are counted and published, after the last fault."""
    return SETTLE_S + total / REREAD_PER_S


class Moment:
    """The state of Redis at one moment, against the oracle at the offsets that it has."""

    def __init__(self, world):
        self._world = world
        self.count = 0

    def look(self):
        """One look; False if Redis does not answer now."""
        world, prefix = self._world, self._world.place.prefix
        days = sorted(world.records.expected(dict(enumerate(world.feeder.sent))).days)
        try:
            with world.redis.client() as client, client.pipeline(transaction=True) as pipe:
                pipe.hgetall(f"{prefix}:offsets")
                pipe.hgetall(f"{prefix}:rejected_counts")
                for name in ("device_type", "locale"):
                    pipe.zrange(f"{prefix}:{name}_counts", 0, -1, withscores=True)
                for day in days:
                    pipe.hgetall(f"{prefix}:login_counts:{day}")
                found = pipe.execute()
        except (redis.exceptions.RedisError, OSError):
            return False
        offsets, rejected, device_types, locales, *minutes = found
        offsets = {int(p): int(n) for p, n in offsets.items()}
        for partition, offset in offsets.items():
            sent = world.feeder.sent[partition]
            assert offset <= sent, f"partition {partition}: {offset} counted, {sent} sent"
        expected = world.records.expected(offsets)
        what = f"while faults run, with offsets {offsets}: "
        verify.same_counts(what + "rejected", _numbers(rejected), dict(expected.rejected))
        for name, counts in (("device_type", device_types), ("locale", locales)):
            verify.same_counts(what + name, _numbers(dict(counts)), expected.dimensions[name])
        for day, counts in zip(days, minutes):
            verify.same_counts(what + day, _numbers(counts), expected.days.get(day, {}))
        self.count += 1
        return True


def _numbers(found):
    return {name.decode(): int(number) for name, number in found.items()}


def settle(world, alive, begun=None):
    """Pauses the input and waits until all of it is through, in time since faults ended (begun)."""
    begun = begun or time.monotonic()
    world.feeder.pause()
    wait.until(world.feeder.is_idle, 90, "all input acknowledged", alive=alive)
    counts = world.feeder.counts()
    deadline = settle_deadline_s(sum(counts.values()))
    ends = world.place.ends()
    assert ends == counts, f"the input ends at {ends}, sent were {counts}"
    try:
        verify.wait_quiet(world.place, deadline, alive=alive)
    except wait.TimedOut:
        world.tell_state()
        raise
    wait.until(lambda: world.reader.has_all(counts), deadline, lambda: _behind(world, counts),
               alive=alive)
    ends = [world.cluster.stable_offsets(topic)
            for topic in (world.place.output, world.place.rejected)]
    wait.until(lambda: world.reader.has_reached(*ends), deadline,
               lambda: f"outputs read to their ends {ends}", alive=alive)
    took_s = time.monotonic() - begun
    assert took_s < deadline * wait.factor, f"settled after {took_s:.1f} s, not {deadline:.0f}"


def _behind(world, counts):
    accepted, rejected = list(world.reader.accepted), list(world.reader.rejected)
    return (f"output of all of {counts}; read up to {accepted[:len(counts)]} and, of rejected "
            f"records, {rejected[:len(counts)]}")


#: The exact checks of a stop: name -> function (world, what is expected).
EXACT = {
    "watermarks": lambda world, expected: verify.check_watermarks(world.place),
    "redis": lambda world, expected: verify.check_redis(world.place, expected),
    "snapshot": lambda world, expected: verify.check_snapshot(
        world.fleet.running()[0].instance, expected),
    "output": lambda world, expected: _check_output(world, expected),
    "gaps": lambda world, expected: _check_gaps(world),
}


def _check_output(world, expected):
    """Both outputs hold what they must and nothing behind it: a late duplicate would be there."""
    seen, wanted = list(world.reader.seen), [expected.accepted_count, expected.rejected_count]
    assert seen == wanted, f"a reader saw (accepted, rejected) {seen}, expected {wanted}"


def _check_gaps(world):
    """No instance believes that Kafka had no longer held what was needed."""
    world.fleet.scrape()
    lost = world.fleet.totals()["rollcall_records_lost_total"]
    assert lost == 0, f"instances count {lost} records as lost"
