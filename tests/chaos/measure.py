"""Measures recovery, planned restarts, an outage of Redis, and what waiting for replicas costs."""

import statistics
import threading
import time

import checks
import continuity
import wait

_PAUSE_S = 0.02
_STEADY_S = 20


def run(world, settings):
    """Runs the measurement that the settings select."""
    world.start()
    TABLE[settings.measure](world, settings)


def _finish(world):
    """Makes an exact stop and ends the round; returns (record count, metric totals)."""
    checks.settle(world, world.check)
    counts = world.feeder.counts()
    expected = world.records.expected(counts)
    for check in checks.EXACT.values():
        check(world, expected)
    for slot in world.fleet.running():
        world.fleet.stop(slot)
    totals = world.fleet.totals()
    world.end_round()
    return sum(counts.values()), totals


def _wait_shared(world, count):
    """Waits until this many instances run and share all partitions."""
    def owned():
        return [slot.instance.metric("rollcall_assigned_partitions")
                for slot in world.fleet.running()]

    wait.until(lambda: len(owned()) == count and min(owned()) > 0 and
               sum(owned()) == world.feeder.partition_count, 60,
               lambda: f"all partitions to be assigned, now {owned()}", every=0.1,
               alive=world.check)


def _wait_flow(world):
    """Waits until records flow and none are backlogged."""
    begin = world.feeder.total()
    wait.until(lambda: world.feeder.total() > begin + world.feeder.per_second, 60,
               "records to flow", alive=world.check)
    counts = world.feeder.counts()
    _time_until(world, {"counted": lambda: _reached(world.place.counted(), counts),
                        "published": lambda: _reached(world.place.published(), counts)}, 60)


def _reached(offsets, counts):
    return all(offsets.get(p, 0) >= n for p, n in counts.items())


def _time_until(world, conditions, seconds):
    """Returns name -> seconds from now until its condition became true."""
    begun, found = time.monotonic(), {}

    def look():
        for name, condition in conditions.items():
            if name not in found and condition():
                found[name] = time.monotonic() - begun
        return len(found) == len(conditions)

    wait.until(look, seconds, lambda: f"records to be {set(conditions) - set(found)}",
               every=_PAUSE_S, alive=world.check)
    return found


def _recovery(world, settings):
    """Kills one of two instances with SIGKILL and starts a new process at once."""
    for stable in (True, False):
        world.begin_round(instances=2, stable=4 if stable else 0)
        took = {}
        for n in range(settings.count):
            _wait_shared(world, 2)
            _wait_flow(world)
            slot = world.fleet.slots[n % 2]
            counts = world.feeder.counts()
            world.fleet.kill(slot)
            world.fleet.start(slot)
            found = _time_until(world, {
                "counted": lambda: _reached(world.place.counted(), counts),
                "published": lambda: _reached(world.place.published(), counts),
                "readable": lambda: world.reader.has_all(counts)}, 60)
            for name, seconds in found.items():
                took.setdefault(name, []).append(seconds)
            world.say(f"recovery {n + 1}: {_durations(found)}")
        _finish(world)
        sums = "; ".join(f"{name} after {statistics.median(all_of):.1f} s (median), "
                         f"{max(all_of):.1f} s (worst)" for name, all_of in took.items())
        identity = "a stable instance.id" if stable else "a new instance.id"
        world.say(f"RESULT recovery after kill -9 with {identity}, {settings.count} times: records "
                  f"sent before the kill are {sums}; session timeout 6 s, transaction timeout 5 s")


def _durations(found):
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items())


class _Standstill:
    """A thread that records how long the watermark of any single partition stands still."""

    def __init__(self, world):
        self._world = world
        self.worst = {}  # "counted" or "published" -> longest standstill in seconds
        self._moved = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(_PAUSE_S):
            self._note("counted", self._world.place.counted())
            self._note("published", self._world.place.published())

    def _note(self, what, offsets):
        now = time.monotonic()
        for partition, offset in offsets.items():
            before, since = self._moved.get((what, partition), (offset, now))
            self.worst[what] = max(self.worst.get(what, 0), now - since)
            if offset != before or (what, partition) not in self._moved:
                self._moved[what, partition] = offset, now


def _restart(world, settings):
    """Stops and restarts one of three instances repeatedly."""
    for stable in (True, False):
        world.begin_round(instances=3, stable=4 if stable else 0, is_fed=False)
        _wait_shared(world, 3)  # records re-read while the group forms are not due to a restart
        world.feeder.go()
        worst = {"counted": [], "published": []}
        for n in range(settings.count):
            _wait_shared(world, 3)
            _wait_flow(world)
            with _Standstill(world) as still:
                slot = world.fleet.slots[n % 3]
                world.fleet.stop(slot)
                world.fleet.start(slot)
                _wait_shared(world, 3)
                _wait_flow(world)
            for name, seconds in still.worst.items():
                worst[name].append(seconds)
            world.say(f"restart {n + 1}: longest standstill {_durations(still.worst)}")
        total, sums = _finish(world)
        identity = "a stable instance.id" if stable else "a new instance.id"
        figures = "; ".join(f"{name} stood still for {statistics.median(all_of):.1f} s (median), "
                            f"{max(all_of):.1f} s (worst)" for name, all_of in worst.items())
        consumed = int(sums["rollcall_records_consumed_total"])
        world.say(f"RESULT planned restart of one of three with {identity}, {settings.count} "
                  f"times: {figures}; {total} records, {consumed - total} of them read again, "
                  f"{int(sums['rollcall_rewinds_total'])} rewinds, "
                  f"{int(sums['rollcall_transactions_aborted_total'])} transactions aborted")


def _resident_mb(slot):
    with open(f"/proc/{slot.instance.pid()}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0


class _Checkpoints:
    """The checkpoints that Redis applies from now on, seen with MONITOR."""

    def __init__(self, world):
        self._client = world.redis.client()
        self._monitor = self._client.monitor().__enter__()
        self._offsets = f"{world.place.prefix}:offsets"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._monitor.__exit__(None, None, None)
        self._client.close()

    def until(self, counts, seconds):
        """Returns (partition -> checkpoint end offsets, when all partitions had reached counts).

        Each list ends with the first checkpoint that reaches the partition's count. A call that
        only verifies, or is rejected, writes no offset and so does not appear.
        """
        ends, deadline = {p: [] for p in counts}, time.time() + seconds
        lagging = set(counts)
        while lagging:
            seen = self._monitor.next_command()
            assert seen["time"] < deadline, f"checkpoints ended at {ends}, expected {counts}"
            words = seen["command"].split(" ")
            if seen["client_type"] != "lua" or words[:2] != ["HSET", self._offsets]:
                continue
            partition, end = int(words[2]), int(words[3])
            if partition in lagging:
                ends[partition].append(end)
                if end >= counts[partition]:
                    lagging.remove(partition)
        return ends, seen["time"]


def _outage(world, settings):
    """Takes Redis down for --minutes while records flow."""
    world.begin_round(instances=2)
    _wait_shared(world, 2)
    end = time.monotonic() + 20
    wait.until(lambda: time.monotonic() > end, 60, "a warm-up", alive=world.check)
    _wait_flow(world)
    before = [_resident_mb(slot) for slot in world.fleet.running()]
    grown, still_s, last, moved = 0.0, 0.0, 0, time.monotonic()
    over = world.disturb()
    world.redis.master.kill()
    begun, begin = time.monotonic(), sum(world.reader.seen)
    while time.monotonic() < begun + 60 * settings.minutes:
        world.check()
        now, seen = time.monotonic(), sum(world.reader.seen)
        still_s = max(still_s, now - moved)
        if seen != last:
            last, moved = seen, now
        for was, slot in zip(before, world.fleet.running()):
            grown = max(grown, _resident_mb(slot) - was)
        time.sleep(0.2)
    away_s = time.monotonic() - begun
    rate = (sum(world.reader.seen) - begin) / away_s
    stored, counts, back, checkpoints = _come_back(world)
    with checkpoints:
        ends, reached = checkpoints.until(counts, 120)
    over()
    sizes = [[end - begin for begin, end in zip([stored[p], *ends[p]], ends[p])] for p in counts]
    world.say(f"records of each checkpoint, by partition: {sizes}")
    total, sums = _finish(world)
    world.say(f"RESULT Redis down for {away_s / 60:.1f} minutes: {rate:.0f} records/s were "
              f"published meanwhile, with no gap longer than {still_s:.1f} s; an instance grew by "
              f"at most {grown:.1f} MB, from {max(before):.0f} MB; once Redis was back, all "
              f"records sent so far were counted within {reached - back:.2f} s, in "
              f"{min(map(len, sizes))} to {max(map(len, sizes))} checkpoints per partition, of "
              f"which the largest held at least "
              f"{100 * min(max(of) / sum(of) for of in sizes):.1f} %; "
              f"{total} records, {int(sums['rollcall_rewinds_total'])} rewinds")


def _come_back(world):
    """Starts Redis; lets rollcall reach it only once its offsets are read and MONITOR runs."""
    world.proxy.set(world.redis.port, "cut")
    world.redis.master.start()
    stored, checkpoints = world.place.counted(), _Checkpoints(world)
    counts, back = world.feeder.counts(), time.time()
    world.proxy.set(world.redis.port, "pass")
    return stored, counts, back, checkpoints


def _sums(world):
    """The metrics of all instances that add up, as name -> sum."""
    names = ("rollcall_checkpoint_seconds_sum", "rollcall_checkpoint_seconds_count",
             "rollcall_records_counted_total", "process_cpu_seconds_total")
    return {name: sum(slot.instance.metric(name) for slot in world.fleet.running())
            for name in names}


def _replicas(world, settings):
    """Rounds of a steady load without and with redis.min_replicas = 1, by turns."""
    found = {0: [], 1: []}
    for n in range(2 * settings.count):
        world.settings.min_replicas = n % 2
        world.begin_round()
        _wait_shared(world, settings.instances)
        _wait_flow(world)
        before, lags, end = _sums(world), [], time.monotonic() + _STEADY_S
        watched = continuity.Episode(world)
        while time.monotonic() < end:
            watched.look_at_output()
            watched.look_at_master()
            watched.look_at_counts()
            if watched.lag_s is not None and watched.lag_s < _STEADY_S:
                lags.append(watched.lag_s)
            time.sleep(_PAUSE_S)
        now = _sums(world)
        took = {name: now[name] - value for name, value in before.items()}
        records = took["rollcall_records_counted_total"]
        found[n % 2].append((
            1000 * took["rollcall_checkpoint_seconds_sum"] /
            took["rollcall_checkpoint_seconds_count"],
            1000 * statistics.mean(lags),
            1e6 * took["process_cpu_seconds_total"] / records))
        world.say("redis.min_replicas = %d: checkpoint %.1f ms, counted lag %.0f ms, %.2f CPU "
                  "seconds for a million records" % (n % 2, *found[n % 2][-1]))
        _finish(world)
    for wanted, figures in found.items():
        columns = list(zip(*figures))
        texts = [f"{name} {statistics.median(column):.2f} (best {min(column):.2f})" for name, column
                 in zip(("checkpoint ms", "counted lag ms", "CPU s / million"), columns)]
        world.say(f"RESULT redis.min_replicas = {wanted}, {settings.rate:.0f} records/s, median of "
                  f"{settings.count}: {'; '.join(texts)}")


#: What to measure -> the function.
TABLE = {"recovery": _recovery, "restart": _restart, "outage": _outage, "replicas": _replicas}
