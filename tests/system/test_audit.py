"""`rollcall audit`: counts again from Kafka, and names each count in Redis that is not as it was."""

import json

import pytest


def audit(world, **options):
    """Runs an audit; returns its exit status, the lines that name differences, and its errors."""
    done = world.execute("audit", timeout=90, **options)
    return done.returncode, [line for line in done.stdout.splitlines() if ": counted " in line
                             or "is not an offset" in line], done.stderr


@pytest.fixture
def counted(world):
    """A load that was counted, its instance, and the Redis client."""
    load = world.make_load()
    load.produce(8000)
    instance = world.run()
    world.wait_quiet()
    with world.redis_server.client() as client:
        yield load, instance, client


def test_nothing_differs(world, counted):
    load, _, _ = counted
    done = world.execute("audit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(load.records)} records counted again: 0 differences" in done.stdout


def test_under_load(world):
    """Audits see one moment each, whatever instances do meanwhile."""
    load = world.make_load()
    load.produce(5000)
    first, second = world.run(), world.run()
    world.wait_shared(first, second)
    with load.feed(3000) as feed:
        for _ in range(5):
            feed.wait_for_more(1000)
            assert audit(world) == (0, [], "")
    world.verify(load, first)


def test_each_change_is_named(world, counted):
    """A count changed by 1, a missing minute, a foreign value, a rejected reason, a lost value."""
    _, _, client = counted
    prefix = world.prefix
    day = sorted(client.zrange(f"{prefix}:login_days", 0, -1))[0].decode()
    minutes = client.hgetall(f"{prefix}:login_counts:{day}")
    gone, more = sorted(minutes)[:2]
    client.hdel(f"{prefix}:login_counts:{day}", gone)
    client.hincrby(f"{prefix}:login_counts:{day}", more, 1)
    client.zincrby(f"{prefix}:device_type_counts", -1, "android")
    android = int(client.zscore(f"{prefix}:device_type_counts", "android"))
    client.zadd(f"{prefix}:locale_counts", {'for"eign': 3})
    lost, score = client.zrange(f"{prefix}:locale_counts", -1, -1, withscores=True)[0]
    client.zrem(f"{prefix}:locale_counts", lost)
    client.hincrby(f"{prefix}:rejected_counts", "bad_value", 2)
    bad = int(client.hget(f"{prefix}:rejected_counts", "bad_value"))
    client.hset(f"{prefix}:rejected_counts", "odd", "x")
    status, lines, _ = audit(world)
    assert status == 1
    assert sorted(lines) == sorted([
        f'{prefix}:login_counts:{day} "{gone.decode()}": counted {int(minutes[gone])}, stored 0',
        f'{prefix}:login_counts:{day} "{more.decode()}": counted {int(minutes[more])}, '
        f'stored {int(minutes[more]) + 1}',
        f'{prefix}:device_type_counts "android": counted {android + 1}, stored {android}',
        f'{prefix}:locale_counts "for\\"eign": counted 0, stored 3',
        f'{prefix}:locale_counts "{lost.decode()}": counted {int(score)}, stored 0',
        f'{prefix}:rejected_counts "bad_value": counted {bad - 2}, stored {bad}',
        f'{prefix}:rejected_counts "odd": counted 0, stored x'])


def test_a_whole_day_is_missed(world, counted):
    """A day's hash that somebody deleted is not taken for one that has expired."""
    _, _, client = counted
    day = client.zrange(f"{world.prefix}:login_days", 0, 0)[0].decode()
    count = client.hlen(f"{world.prefix}:login_counts:{day}")
    client.delete(f"{world.prefix}:login_counts:{day}")
    status, lines, _ = audit(world)
    assert status == 1 and len(lines) == count
    assert all(f":login_counts:{day} " in line for line in lines)


def test_days_that_have_all_expired(world):
    """Nothing is left of them, not even the sorted set; they are no differences."""
    load = world.make_load()
    for _ in range(5):
        load.send(0, b"k", json.dumps({"user_id": "u", "locale": "PA", "device_type": "web",
                                       "timestamp": 1720569600}).encode(), 1720569600000)
    load.flush()
    world.run(aggregate__retention_days=1)
    world.wait_counted(5)
    with world.redis_server.client() as client:
        assert client.delete(f"{world.prefix}:login_counts:2024-07-10",
                             f"{world.prefix}:login_days") == 2
    assert audit(world, aggregate__retention_days=1) == (0, [], "")


def test_bounds(world):
    """Values beyond max_values and days beyond max_days are in sums, which are compared."""
    options = {"aggregate__max_values": 3, "aggregate__max_days": 2}
    load = world.make_load()
    load.produce(6000)
    world.run(**options)
    world.wait_quiet()
    assert audit(world, **options) == (0, [], "")
    with world.redis_server.client() as client:
        client.hincrby(f"{world.prefix}:login_counts:__other__", "__other__", 5)
        client.zincrby(f"{world.prefix}:locale_counts", 1, "__other__")
    status, lines, _ = audit(world, **options)
    assert status == 1 and len(lines) == 2
    assert lines[0].startswith(f'{world.prefix}:locale_counts "__other__": counted ')
    assert lines[1].startswith(f'{world.prefix}:login_counts:__other__ "__other__": counted ')


def test_beyond_retention(world, counted):
    world.broker.delete_records(world.topic, {0: 100, 2: 5})
    status, lines, stderr = audit(world)
    assert status == 1 and lines == []
    assert "no longer holds 105 of the records" in stderr


def test_changes_nothing(world, counted):
    """An audit writes neither to Redis nor to the group."""
    _, _, client = counted
    keys = sorted(client.scan_iter(f"{world.prefix}:*"))
    committed = world.place.published()
    before = client.info("commandstats")
    assert audit(world)[0] == 0
    assert sorted(client.scan_iter(f"{world.prefix}:*")) == keys
    assert world.place.published() == committed
    writes = {"cmdstat_hset", "cmdstat_zincrby", "cmdstat_del", "cmdstat_zadd"}
    after = client.info("commandstats")
    assert all(before.get(name) == after.get(name) for name in writes)
