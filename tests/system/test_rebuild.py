"""`rollcall rebuild`: counts again from Kafka, beside running instances, and swaps the result in."""

import json
import threading
import time

import oracle
import process
import rollcall
import verify
import wait


def start_rebuild(world, name="rebuild", **options):
    """Starts a rebuild; returns its process and the path of its log."""
    log = f"{world.folder}/{name}.log"
    merged = {**world.options, **{name.replace("__", "."): v for name, v in options.items()}}
    return process.spawn([rollcall.BINARY, "rebuild", *rollcall.flags(merged)], log), log


def keys(world, part=""):
    """The keys under the prefix and this part of a name."""
    with world.redis_server.client() as client:
        return {key.decode() for key in client.scan_iter(f"{world.prefix}:{part}*", count=1000)}


def live_keys(world):
    return keys(world) - keys(world, "before:") - keys(world, "rebuild:")


def break_counts(world):
    """Makes all counts wrong, as a stray write would."""
    with world.redis_server.client() as client:
        client.zincrby(f"{world.prefix}:device_type_counts", 1000, "android")
        client.hincrby(f"{world.prefix}:rejected_counts", "bad_value", 7)
        client.zadd(f"{world.prefix}:locale_counts", {"foreign": 3})


def test_rebuild_under_load(world):
    """Wrong counts are right again, while instances count and publish."""
    load = world.make_load()
    load.produce(20000)
    first, second = world.run(), world.run()
    world.wait_shared(first, second)
    world.wait_counted(20000)
    break_counts(world)
    with load.feed(2000) as feed:
        feed.wait_for_more(1000)
        done = world.execute("rebuild", timeout=60)
        assert done.returncode == 0, done.stderr
        assert "records counted" in done.stdout
        feed.wait_for_more(2000)
    world.verify(load, first)
    assert first.is_running() and second.is_running()
    assert not keys(world, "rebuild:")
    with world.redis_server.client() as client:
        assert client.zscore(f"{world.prefix}:before:locale_counts", "foreign") == 3


def test_rebuild_in_several_pieces(world):
    """More new keys in a partition than one checkpoint takes."""
    load = world.make_load()
    for i in range(40000):
        login = {"user_id": "u", "locale": f"L{i}", "device_type": "web", "timestamp": 1720569600}
        load.send(0, b"k", json.dumps(login).encode(), 1720569600000)
    load.flush()
    instance = world.run(aggregate__max_values=100000)
    world.wait_counted(40000)
    with world.redis_server.client() as client:
        client.hdel(f"{world.prefix}:login_counts:2024-07-10", "00:00")
        assert world.execute("rebuild", aggregate__max_values=100000).returncode == 0
        pieces = int(client.hget(f"{world.prefix}:meta", "checkpoints"))
        assert pieces >= 4 + 2, "each partition's first one, and at least two of partition 0"
    verify.check_all(world.place, load.records, instance)


def test_readers_see_whole_states(world):
    """A reader sees all counts before the swap, or all counts after it."""
    load = world.make_load()
    load.produce(30000)
    instance = world.run()
    world.wait_counted(30000)
    world.wait_quiet()
    instance.stop()
    with world.redis_server.client() as client:
        client.zincrby(f"{world.prefix}:device_type_counts", 5, "wrong")
        client.zincrby(f"{world.prefix}:locale_counts", 5, "wrong")
    seen, stop = set(), threading.Event()

    def read():
        with world.redis_server.client() as client:
            while not stop.is_set():
                pipe = client.pipeline(transaction=True)
                pipe.zscore(f"{world.prefix}:device_type_counts", "wrong")
                pipe.zscore(f"{world.prefix}:locale_counts", "wrong")
                pipe.zcard(f"{world.prefix}:device_type_counts")
                pipe.hlen(f"{world.prefix}:offsets")
                pipe.hget(f"{world.prefix}:meta", "group")
                seen.add(tuple(str(part) for part in pipe.execute()))

    reader = threading.Thread(target=read)
    reader.start()
    done = world.execute("rebuild")
    wait.until(lambda: len(seen) >= 2, 10, "the reader to see the swap")
    stop.set()
    reader.join()
    assert done.returncode == 0, done.stderr
    assert len(seen) == 2, seen
    again = world.run()
    again.wait_assigned(4)
    world.verify(load, again)


def test_rebuild_killed_at_any_moment(world):
    """The live counts stay as they were, and the next rebuild succeeds."""
    load = world.make_load()
    load.produce(60000)
    instance = world.run()
    world.wait_quiet()
    for delay in (0.05, 0.3, 0.5, 0.7):
        rebuild, _ = start_rebuild(world)
        time.sleep(delay)
        if rebuild.poll() is None:
            process.kill(rebuild)
        assert keys(world, "before:") == set() or rebuild.returncode == 0
        if rebuild.returncode == 0:
            assert world.execute("rebuild", "--forget").returncode == 0
        verify.check_all(world.place, load.records, instance)
    assert world.execute("rebuild").returncode == 0
    world.verify(load, instance)


def test_new_dimension_from_the_beginning(world):
    """Other settings: stop, rebuild, start."""
    load = world.make_load()
    load.produce(5000)
    instance = world.run(aggregate__dimensions="device_type")
    world.wait_quiet()
    instance.stop()
    assert world.execute("rebuild", aggregate__dimensions="device_type,locale").returncode == 0
    world.run()
    load.produce(1000)
    world.wait_quiet()
    verify.check_redis(world.place, oracle.Expected(load.records))


def test_forget(world):
    """The counts before are kept until they are forgotten, and no rebuild overwrites them."""
    load = world.make_load()
    load.produce(3000)
    instance = world.run()
    world.wait_quiet()
    before = live_keys(world)
    assert world.execute("rebuild").returncode == 0
    assert keys(world, "before:") == {key.replace(f"{world.prefix}:", f"{world.prefix}:before:")
                                      for key in before}
    again = world.execute("rebuild")
    assert again.returncode == 1 and "rebuild --forget" in again.stderr
    done = world.execute("rebuild", "--forget")
    assert done.returncode == 0 and f"{len(before)} keys deleted" in done.stdout
    assert not keys(world, "before:")
    world.verify(load, instance)


class Ahead:
    """The live counts seem to be a record ahead, so that a rebuild waits with its swap."""

    def __init__(self, world, load):
        self.world, self.count = world, sum(record.partition == 0 for record in load.records)

    def __enter__(self):
        self.set(self.count + 1)
        return self

    def __exit__(self, *_):
        self.set(self.count)

    def set(self, offset):
        with self.world.redis_server.client() as client:
            client.hset(f"{self.world.prefix}:offsets", "0", offset)

    def start_rebuild(self):
        """Starts a rebuild, which has stored all that it read, and waits; and its log."""
        rebuild, log = start_rebuild(self.world)

        def is_counted():
            assert rebuild.poll() is None, log_of(log)
            with self.world.redis_server.client() as client:
                offset = client.hget(f"{self.world.prefix}:rebuild:offsets", "0")
            return int(offset or 0) >= self.count
        wait.until(is_counted, 20, "the rebuild to have counted all")
        return rebuild, log


def log_of(path):
    with open(path, encoding="utf-8") as log:
        return log.read()


def counted(world):
    """A load that is counted, and the instance that has counted it and has ended."""
    load = world.make_load()
    load.produce(3000)
    instance = world.run()
    world.wait_quiet()
    instance.stop()
    return load, instance


def test_forget_beside_a_rebuild(world):
    """It ends the rebuild, which must neither swap in what is left nor add to it."""
    load, instance = counted(world)
    with Ahead(world, load) as ahead:
        rebuild, log = ahead.start_rebuild()
        assert world.execute("rebuild", "--forget").returncode == 0
        assert rebuild.wait(20) == 1
    assert "by `rollcall rebuild --forget`" in log_of(log)
    assert not keys(world, "before:") and not keys(world, "rebuild:")
    verify.check_all(world.place, load.records, instance)


def test_two_rebuilds(world):
    """The second one ends the first, whatever that was about to do; the counts before are kept."""
    load, instance = counted(world)
    break_counts(world)
    with Ahead(world, load) as ahead:
        first, log = ahead.start_rebuild()
        second, log_of_second = start_rebuild(world, "second")
        assert first.wait(20) == 1
        assert "by another `rollcall rebuild`" in log_of(log)
    assert second.wait(20) == 0, log_of(log_of_second)
    with world.redis_server.client() as client:
        assert client.zscore(f"{world.prefix}:before:locale_counts", "foreign") == 3
    verify.check_all(world.place, load.records, instance)


def test_rebuild_with_broken_connections(world):
    """As `timeout` of Redis, a restart or CLIENT KILL break them: it connects again and says so."""
    load, instance = counted(world)
    break_counts(world)
    with Ahead(world, load) as ahead:
        rebuild, log = ahead.start_rebuild()
        with world.redis_server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait.until(lambda: "Waiting for Redis" in log_of(log), 10, "the reason to be logged")
    assert rebuild.wait(30) == 0, log_of(log)
    verify.check_all(world.place, load.records, instance)


def test_rebuild_stays_within_memory(world):
    """What was counted and is not stored yet is bounded over all partitions, whatever its size."""
    world.options.update({"instance.memory_mb": 64, "aggregate.max_values": 1000000})
    for every in ("day", "hour", "minute"):
        world.options.update({f"count.by_{every}.by": "device_type,locale",
                              f"count.by_{every}.every": every,
                              f"count.by_{every}.max_values": 1000000})
    load = world.make_load(partitions=24)
    count = 72000
    for n in range(count):
        login = {"user_id": "u", "device_type": f"d{n:0>100}", "locale": f"L{n:0>100}",
                 "timestamp": 1720569600}
        load.send(n % 24, b"k", json.dumps(login).encode(), 1720569600000)
        load.poll()
    load.flush()
    rebuild, log = start_rebuild(world)
    peak = 0
    while rebuild.poll() is None:
        peak = max(peak, process.peak_memory_mb(rebuild.pid))
        time.sleep(0.05)
    assert rebuild.returncode == 0 and f"{count} records counted" in log_of(log), log_of(log)
    assert 0 < peak <= 1.25 * 64


def test_rebuild_beyond_retention(world):
    """What Kafka has deleted cannot be rebuilt: exit 1 with the number."""
    load = world.make_load()
    load.produce(4000)
    instance = world.run()
    world.wait_quiet()
    world.broker.delete_records(world.topic, {0: 100, 1: 10})
    done = world.execute("rebuild")
    assert done.returncode == 1 and " 110 of the records" in done.stderr
    assert not keys(world, "before:") and not keys(world, "rebuild:")
    verify.check_all(world.place, load.records, instance)


def test_neighbour_prefix_is_left_alone(world):
    """Keys of a prefix that begins with this one are not moved."""
    load = world.make_load()
    load.produce(1000)
    world.run()
    world.wait_quiet()
    with world.redis_server.client() as client:
        client.hset(f"{world.prefix}:other:offsets", "0", "5")
    assert world.execute("rebuild").returncode == 0
    with world.redis_server.client() as client:
        assert client.hget(f"{world.prefix}:other:offsets", "0") == b"5"


def test_rebuild_where_the_begin_is_not_known(world):
    """The group's offsets were lost, and with them where it began, since counts of an earlier
    release do not have it: what Kafka has deleted could be missing in rebuilt counts, so they need
    consent. An audit says so, too."""
    load = world.make_load()
    load.produce(2000)
    first = world.run()
    world.wait_quiet()
    first.stop()
    with world.redis_server.client() as client:
        partitions = range(len(world.broker.end_offsets(world.topic)))
        assert client.hdel(f"{world.prefix}:meta", *(f"origin:{p}" for p in partitions)) > 0
    world.broker.admin().delete_consumer_groups([world.group])[world.group].result(30)
    world.broker.delete_records(world.topic, {0: 100, 2: 5})
    second = world.run()
    load.produce(400)
    world.wait_quiet()
    second.stop()
    audited = world.execute("audit")
    assert audited.returncode == 1 and "Where the group began is not known" in audited.stderr
    refused = world.execute("rebuild")
    assert refused.returncode == 1
    assert "could lack up to 105 records" in refused.stderr, refused.stderr
    assert not keys(world, "before:"), "the live counts were replaced"
    assert world.execute("rebuild", input__on_gap="continue").returncode == 0
