"""The checks: what must hold at any moment during faults, and exactly once everything is quiet."""

import re
import time

import redis

import verify
import wait

#: What a fault puts in front of a stored number, so that it is none.
FOREIGN = b"x"
#: A day whose minutes are counted all the time.
HOT_DAY = "2024-07-10"
#: Everything is exact this long after the last fault ended. REREAD_PER_S adds the time that the
#: instances need to read everything again if Redis lost its data.
SETTLE_S = 60
REREAD_PER_S = 50000


def settle_deadline_s(total):
    """Seconds after the last fault within which all of total records are counted and published."""
    return SETTLE_S + total / REREAD_PER_S


class Moment:
    """Compares Redis at one moment with the oracle at the offsets that Redis has stored."""

    def __init__(self, world):
        self._world = world
        self.count = 0

    def look(self):
        """Makes one comparison; returns False if Redis is unavailable."""
        world, prefix = self._world, self._world.place.prefix
        all_sent = world.records.expected(dict(enumerate(world.feeder.sent)))
        sent_keys = all_sent.count_keys
        days, keys = sorted(all_sent.days), sorted(sent_keys)
        cuts = dict(world.cuts)
        try:
            with world.redis.reader() as client, client.pipeline(transaction=True) as pipe:
                pipe.hgetall(f"{prefix}:offsets")
                pipe.hgetall(f"{prefix}:lineages")
                pipe.hgetall(f"{prefix}:rejected_counts")
                for name in ("device_type", "locale"):
                    pipe.zrange(f"{prefix}:{name}_counts", 0, -1, withscores=True)
                for day in days:
                    pipe.hgetall(f"{prefix}:login_counts:{day}")
                for key in keys:
                    if _is_distinct(sent_keys[key]):
                        pipe.get(f"{prefix}:{key}")
                    else:
                        pipe.zrange(f"{prefix}:{key}", 0, -1, withscores=True)
                found = pipe.execute()
        except (redis.exceptions.RedisError, OSError):
            return False
        offsets, lineages, rejected, device_types, locales, *rest = found
        minutes, declared = rest[:len(days)], rest[len(days):]
        numbers, without = counted_numbers(offsets, lineages, cuts)
        for partition, number in numbers.items():
            sent = world.feeder.sent[partition]
            assert number <= sent, f"partition {partition}: {number} counted, only {sent} sent"
        expected = world.records.expected(numbers, without)
        what = f"while faults run, with records {numbers}, without {without}: "
        verify.same_counts(what + "rejected", _numbers(rejected), dict(expected.rejected))
        for name, counts in (("device_type", device_types), ("locale", locales)):
            verify.same_counts(what + name, _numbers(dict(counts)), expected.dimensions[name])
        for day, counts in zip(days, minutes):
            verify.same_counts(what + day, _numbers(counts), expected.days.get(day, {}))
        expected_keys = expected.count_keys
        for key, counts in zip(keys, declared):
            if _is_distinct(sent_keys[key]):
                verify.same_registers(what + key, counts, expected_keys.get(key))
            else:
                verify.same_counts(what + key, _numbers(dict(counts)), expected_keys.get(key, {}))
        self.count += 1
        return True


def _is_distinct(counts):
    return isinstance(counts, bytes)


def counted_numbers(offsets, lineages, cuts):
    """Returns (how many records of each partition are counted, those below that are not).

    An offset that was stored before its log was cut off is the number of records. Afterwards more
    were counted, unless Redis had lost everything meanwhile: then those that were cut off are not.
    """
    numbers, without = {}, {}
    for partition, offset in ((int(p), int(n)) for p, n in offsets.items()):
        numbers[partition] = offset
        cut = cuts.get(partition)
        text = lineages.get(b"%d" % partition, b"").decode()
        found = re.fullmatch(r"\d+ (\d+):(?:\d+:(.*))?", text)
        if cut is None or found is None:
            continue
        epochs = [int(span.split("@")[0]) for span in (found[2] or "").split(",") if span]
        is_back = int(found[1]) > 0
        if is_back or (epochs and epochs[-1] > cut.epoch):
            numbers[partition] += len(cut.numbers)
            if not is_back:
                without[partition] = cut.numbers
    return numbers, without


def _in_redis(world, expected):
    """What Redis must hold, if that is not all that is published."""
    if not world.cuts:
        return expected
    with world.redis.client() as client:
        offsets, lineages = (client.hgetall(f"{world.place.prefix}:{name}")
                             for name in ("offsets", "lineages"))
    return world.records.expected(*counted_numbers(offsets, lineages, world.cuts))


def _numbers(found):
    """Returns the numbers of a reply; a spoiled one is what it was before."""
    def number_of(text):
        return int(text.removeprefix(FOREIGN) if isinstance(text, bytes) else text)

    return {name.decode(): number_of(number) for name, number in found.items()}


def settle(world, alive, begun=None):
    """Pauses the input and waits until all of it is processed; the deadline counts from begun."""
    begun = begun or time.monotonic()
    world.feeder.pause()
    wait.until(world.feeder.is_idle, 90, "all input to be acknowledged", alive=alive)
    counts = world.feeder.counts()
    deadline = settle_deadline_s(sum(counts.values()))
    ends, offsets = world.place.ends(), world.feeder.offsets(counts)
    assert ends == offsets, f"the input ends at {ends}, but {offsets} were sent"
    try:
        verify.wait_quiet(world.place, deadline, alive=alive)
    except wait.TimedOut:
        world.log_state()
        raise
    wait.until(lambda: world.reader.has_all(counts), deadline, lambda: _behind(world, counts),
               alive=alive)
    ends = [world.cluster.stable_offsets(topic)
            for topic in (world.place.output, world.place.rejected)]
    wait.until(lambda: world.reader.has_reached(*ends), deadline,
               lambda: f"outputs to be read to their ends {ends}", alive=alive)
    took_s = time.monotonic() - begun
    assert took_s < deadline * wait.factor, \
        f"settled after {took_s:.1f} s, the limit is {deadline:.0f} s"


def _behind(world, counts):
    accepted, rejected = list(world.reader.accepted), list(world.reader.rejected)
    return (f"the output of {counts}; read accepted records up to {accepted[:len(counts)]} and "
            f"rejected records up to {rejected[:len(counts)]}")


#: The exact checks of a stop: name -> function (world, expected).
EXACT = {
    "watermarks": lambda world, expected: verify.check_watermarks(world.place),
    "redis": lambda world, expected: verify.check_redis(world.place, _in_redis(world, expected)),
    "snapshot": lambda world, expected: verify.check_snapshot(
        world.fleet.running()[0].instance, _in_redis(world, expected)),
    "output": lambda world, expected: _check_output(world, expected),
    "gaps": lambda world, expected: _check_gaps(world),
}


def _check_output(world, expected):
    """Checks that both outputs hold the expected number of records, so no late duplicate either."""
    seen, wanted = list(world.reader.seen), [expected.accepted_count, expected.rejected_count]
    assert seen == wanted, f"the reader saw (accepted, rejected) {seen}, expected {wanted}"


def _check_gaps(world):
    """Checks that no instance found needed records missing from Kafka."""
    world.fleet.scrape()
    lost = world.fleet.totals()["rollcall_records_lost_total"]
    assert lost == 0, f"the instances counted {lost} records as lost"
