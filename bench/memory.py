"""./dev bench memory: peak memory of an instance with servers down or slow, or large records."""

import contextlib
import os
import sys
import time

import contenders
import filler
import measure
import process
import proxy as proxies
import results
import world as worlds

LARGE_BYTES = 990_000
PREFIX = "{user-login}"


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--records", type=int, default=5_000_000, help="on 64 partitions")
    parser.add_argument("--seconds", type=int, default=20,
                        help="duration of cases that do not end by themselves")


class _Place:
    """The world, with a proxy in front of each server."""

    def __init__(self):
        self.proxy = proxies.Proxy()
        self.kafka_port = None
        self.world = worlds.World(advertise=self._advertise)
        self.redis_port = self.proxy.add(self.world.redis.port)

    def _advertise(self, port):
        self.kafka_port = self.proxy.add(port)
        return self.kafka_port


def _fill(world, count, partitions):
    """Fills a topic with `rollcall generate`; not read back, since counts are not checked here."""
    records = worlds.Records(world, count, partitions)
    records.learn = lambda _: None
    return records.generate(world)


def _large(world, count, partitions):
    records = worlds.Records(world, count, partitions)
    records.learn = lambda _: None
    return filler.fill(records, world, size=LARGE_BYTES)


def _counted(client):
    return sum(map(int, client.hgetall(f"{PREFIX}:offsets").values()))


@contextlib.contextmanager
def _trouble(place, kind):
    """A context in which a server is slow or down."""
    slow = {"slow Redis": (place.redis_port, 0.5), "slow Kafka": (place.kafka_port, 0.1)}.get(kind)
    if slow:
        place.proxy.set(slow[0], "delay", slow[1])
    elif kind == "Redis away":
        place.world.redis.pause()
    try:
        yield
    finally:
        if slow:
            place.proxy.set(slow[0], "pass")
        elif kind == "Redis away":
            place.world.redis.resume()


def _case(place, label, records, limit_mb, kind, seconds):
    """Runs once over the backlog; the trouble begins as soon as the partitions are assigned."""
    world = place.world
    output, group = world.name("processed"), world.name("memory")
    world.broker.create_topic(output, records.partitions)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    contender = contenders.Rollcall()
    contender.options = {"instance.memory_mb": limit_mb,
                         "kafka.bootstrap.servers": world.broker.proxied_address,
                         "redis.url": f"redis://127.0.0.1:{place.redis_port}/0",
                         "redis.timeout_ms": 30000}
    command, _ = contender.command(world, records, group, output)
    child = process.spawn(command, log_path)
    try:
        contenders.wait_assigned(log_path)
        started = time.monotonic()
        with _trouble(place, kind):
            left_s = seconds if kind else 600
            while time.monotonic() - started < left_s:
                if kind != "Redis away" and _is_done(world, records):
                    break
                if child.poll() is not None:
                    raise SystemExit(f"bench: {label}: rollcall exited:\n{process.tail(log_path)}")
                time.sleep(0.2)
            peak_mb = measure.peak_rss_mb(child.pid) * 1e6 / (1 << 20)
            took_s = time.monotonic() - started
        with world.redis.client() as client:
            counted = _counted(client)
    finally:
        process.kill(child)
    contender.clean(world, group)
    world.broker.delete_topic(output)
    found = {"label": label, "partitions": records.partitions, "limit_mb": limit_mb,
             "peak_mb": peak_mb, "counted": counted, "left": records.count - counted,
             "seconds": took_s}
    print(f"  {label}, {records.partitions} partitions, memory_mb {limit_mb}: {peak_mb:.0f} MiB, "
          f"{counted} of {records.count} counted in {took_s:.0f} s", flush=True)
    return found


def _is_done(world, records):
    with world.redis.client() as client:
        return _counted(client) >= records.count


def run(arguments):
    """Runs all cases; returns 1 if one used more than 1.25 times its limit."""
    place, cases = _Place(), []
    with place.world as world:
        few = _fill(world, arguments.records * 2 // 5, 4)
        cases.append(_case(place, "backlog", few, 256, None, arguments.seconds))
        world.broker.delete_topic(few.topic)
        many = _fill(world, arguments.records, 64)
        for limit_mb in (256, 128):
            for kind in (None, "Redis away", "slow Redis", "slow Kafka"):
                cases.append(_case(place, kind or "backlog", many, limit_mb, kind,
                                   arguments.seconds))
        world.broker.delete_topic(many.topic)
        large = _large(world, arguments.records // 2500, 64)
        for kind in (None, "slow Redis", "slow Kafka"):
            label = f"records of 1 MB, {kind}" if kind else "records of 1 MB"
            cases.append(_case(place, label, large, 128, kind, arguments.seconds))
    results.save("memory", {"command": "./dev bench " + " ".join(sys.argv[1:]),
                            "machine": results.machine(), "cases": cases})
    print(results.text("memory"))
    worst = max(one["peak_mb"] / one["limit_mb"] for one in cases)
    return 0 if worst <= 1.25 else 1


