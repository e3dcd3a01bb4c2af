"""Declared counts, [count.NAME]: exact, through crashes too, and what the commands show of them."""

import json
import os
import re

import pytest

import hyperloglog
import oracle
from declared import COUNTS, awkward, options

RATE = 3000


def test_all_forms_are_exact_through_crashes(world):
    load = world.make_load()
    awkward(load)
    first = world.run("first", **options(COUNTS))
    with load.feed(RATE) as feed:
        feed.wait_for_more(3000)
        first.kill()
        second, third = world.run(**options(COUNTS)), world.run(**options(COUNTS))
        world.wait_shared(second, third)
        feed.wait_for_more(3000)
        world.redis_server.kill()
        world.redis_server.start()
        feed.wait_for_more(3000)
        second.kill()
    world.verify(load, third, counts=COUNTS)


def test_the_commands_know_them(world):
    load = world.make_load()
    awkward(load)
    load.produce(3000)
    instance = world.run(**options(COUNTS))
    expected = world.verify(load, instance, counts=COUNTS)

    status, body = instance.get("/counts")
    assert status == 200 and json.loads(body)["Counts"] == expected.snapshot()["Counts"]
    status, body = instance.get("/counts?scope=instance")  # there was no other one
    assert status == 200 and json.loads(body)["Counts"] == expected.snapshot()["Counts"]
    status, body = instance.get("/counts?from=2024-07-11&to=2024-07-12")
    shown = json.loads(body)["Counts"]
    assert shown["locale"] == dict(expected.counts["locale"][""])
    for name in ("locale_by_hour", "days", "minutes"):
        wanted = {bucket for bucket in expected.snapshot()["Counts"][name]
                  if "2024-07-11" <= bucket[:10] <= "2024-07-12"}
        assert wanted and shown[name].keys() == wanted, name

    done = world.execute("audit", **options(COUNTS))
    assert done.returncode == 0, done.stdout + done.stderr
    checked = world.execute("check", **options(COUNTS))
    assert checked.returncode == 0, checked.stdout
    assert "ok  count both-by.day: by device_type, locale, every day, kept for 400 days" \
        in checked.stdout
    assert "[count.both-by.day]" in world.execute("check", "-v", **options(COUNTS)).stdout
    done = world.execute("rebuild", **options(COUNTS))
    assert done.returncode == 0, done.stderr
    world.verify(load, instance, counts=COUNTS)


def test_the_documented_counts(world):
    with open(os.path.join(os.path.dirname(__file__), "../../docs/records.md")) as file:
        text = file.read()
    section = text[text.index("\n## Counts of your own\n"):text.index("\n## Shapes\n")]
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))
    path = os.path.join(world.folder, "counts.ini")
    with open(path, "w") as file:
        file.write(blocks["ini"])
    load = world.make_load(partitions=1)
    load.send(0, None, b'{"device_type":"android","locale":"PA","timestamp":1720622216,'
                       b'"user_id":"5ec2d697"}', 1720622216000)
    load.flush()
    given, name = {}, ""
    for line in blocks["ini"].splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line:
            key, value = line.split(" = ")
            given[f"{name}.{key}"] = value
    world.run(**given)
    world.wait_quiet()
    done = world.execute("snapshot", "-c", path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Counts"] == json.loads(blocks["json"])["Counts"]


def test_an_audit_names_what_differs(world):
    load = world.make_load()
    awkward(load, 64)
    world.run(**options(COUNTS))
    world.wait_quiet()
    p = world.prefix
    with world.redis_server.client() as client:
        client.zincrby(f"{p}:count:locale", 1, "a")
        client.zrem(f"{p}:count:both-by.day:2024-07-10", "a\\|b|a\\|b")
        client.hincrby(f"{p}:count:hours:2024-07-10", "15", 5)
        client.hincrby(f"{p}:count:minutes:2024-07-10", "14:36", 1)
        client.hset(f"{p}:count:days", "soon", 1)
        client.hdel(f"{p}:count:days", "2024-07-11")
        client.zadd(f"{p}:count:locale_by_hour:2024-07-10T15", {"x": 2})
        client.pfadd(f"{p}:count:users_by_locale:a", *(f"other-{n}" for n in range(20)))
        client.delete(f"{p}:count:users_by_both_by_hour:2024-07-10T14:a\\|b|a\\|b")
    done = world.execute("audit", **options(COUNTS))
    assert done.returncode == 1
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith(p))
    expected = oracle.Expected(load.records, counts=COUNTS).count_keys
    eleventh = expected["count:days"]["2024-07-11"]
    lost = expected["count:both-by.day:2024-07-10"]["a\\|b|a\\|b"]
    hour = expected["count:hours:2024-07-10"]["15"]
    total = expected["count:locale"]["a"]
    users = expected["count:users_by_locale:a"]
    more = users | {f"other-{n}" for n in range(20)}
    assert lines == sorted([
        f'{p}:count:locale "a": counted {total}, stored {total + 1}',
        f'{p}:count:both-by.day:2024-07-10 "a\\\\|b|a\\\\|b": counted {lost}, stored 0',
        f'{p}:count:hours:2024-07-10 "15": counted {hour}, stored {hour + 5}',
        f'{p}:count:minutes:2024-07-10 "14:36": counted 1, stored 2',
        f'{p}:count:days "soon": counted 0, stored 1',
        f'{p}:count:days "2024-07-11": counted {eleventh}, stored 0',
        f'{p}:count:locale_by_hour:2024-07-10T15 "x": counted 0, stored 2',
        f'{p}:count:users_by_locale "a": counted {len(users)}, stored {hyperloglog.count(more)}',
        f'{p}:count:users_by_both_by_hour:2024-07-10T14 "a\\\\|b|a\\\\|b": counted 1, stored 0'])


def test_bounds(world):
    """Values beyond max_values and buckets beyond max_days are in sums, which an audit compares."""
    bounds = {"aggregate__max_days": 3, "count.locale_by_hour.max_values": 2,
              "count.locale.max_values": 3, "count.users_by_locale.max_values": 3,
              "count.users_by_both_by_hour.max_values": 2}
    load = world.make_load()
    load.produce(4000)
    world.run(**options(COUNTS), **bounds)
    world.wait_quiet()
    expected = oracle.Expected(load.records)
    p = world.prefix
    with world.redis_server.client() as client:
        totals = dict(client.zrange(f"{p}:count:locale", 0, -1, withscores=True))
        assert len(totals) == 4 and b"__other__" in totals
        assert sum(totals.values()) == expected.accepted_count
        days = {key: int(n) for key, n in client.hgetall(f"{p}:count:days").items()}
        assert len(days) == 4 and sum(days.values()) == expected.accepted_count
        assert client.zcard(f"{p}:count_buckets:locale_by_hour") <= 3 * 24
        hours = [client.zrange(key, 0, -1, withscores=True)
                 for key in client.scan_iter(f"{p}:count:locale_by_hour:*")]
        assert len(hours) <= 3 * 24 + 1 and max(len(values) for values in hours) == 3
        assert sum(n for values in hours for _, n in values) == expected.accepted_count
        users = [key for key in client.scan_iter(f"{p}:count:users_by_locale:*", count=1000)]
        values = client.zrange(f"{p}:count_values:users_by_locale", 0, -1)
        prefix = f"{p}:count:users_by_locale:".encode()
        assert len(users) == 4 and {prefix + value for value in values} == set(users)
        of_all = client.pfcount(f"{p}:count:users")
        assert client.pfcount(*users) == of_all > 1000
        users = [key for key in client.scan_iter(f"{p}:count:users_by_both_by_hour:*", count=1000)]
        assert len(users) <= 3 * 24 * 3 + 1
        assert client.pfcount(*users, f"{p}:count:users_by_both_by_hour:__other__") == of_all
    done = world.execute("audit", **options(COUNTS), **bounds)
    assert done.returncode == 0, done.stdout
    found = json.loads(world.execute("snapshot", **options(COUNTS), **bounds).stdout)["Counts"]
    assert sum(found["days"].values()) == expected.accepted_count
    assert sum(found["locale_by_hour"]["__other__"].values()) > 0


def test_counts_come_and_go_with_a_warning_and_do_not_change(world):
    load = world.make_load()
    load.produce(500)
    instance = world.run()
    world.verify(load, instance)
    instance.stop()
    hours = {"hours": oracle.Count(("locale",), "hour")}
    more = world.run(**options(hours))
    more.wait_log("count.hours is new")
    more.wait_ready()
    load.produce(500)
    world.wait_quiet()
    with world.redis_server.client() as client:
        counted = sum(n for key in client.scan_iter(f"{world.prefix}:count:hours:*")
                      for _, n in client.zrange(key, 0, -1, withscores=True))
    assert counted == oracle.Expected(load.records).accepted_count \
        - oracle.Expected(load.records[:500]).accepted_count
    more.stop()
    for change in ({"count.hours.by": "device_type"}, {"count.hours.every": "day"},
                   {"count.hours.max_values": 5}):
        other = world.run(**{**options(hours), **change})
        assert other.wait_exit(40) == 1
        key, value = list(change.items())[0]
        assert f'{key} is ' in other.log() and "under other rules" in other.log(), other.log()
        assert str(value) in other.log()
    less = world.run()
    less.wait_log("count.hours is no longer counted")
    less.wait_ready()
    less.stop()
    done = world.execute("rebuild", **options(hours))
    assert done.returncode == 0, done.stderr
    again = world.run(**options(hours))
    world.verify(load, again, counts=hours)
    again.stop()
    done = world.execute("rebuild", "--forget")
    done = world.execute("rebuild")
    assert done.returncode == 0, done.stderr
    world.run()
    world.verify(load)  # none is left


@pytest.mark.parametrize("given, words", [
    ({"count.c.by": "locales"}, "count.c.by: locales is not in aggregate.dimensions; did you mean "
                                "locale?"),
    ({"count.c.retention_days": "5"}, "count.c has nothing to count: set by, every or unique"),
    ({"count.c.by": "a,b,c,locale", "aggregate.dimensions": "a,b,c,locale"},
     "count.c.by: more than 3 names"),
    ({f"count.c{n}.every": "day" for n in range(17)}, "more than 16 sections [count.NAME]"),
    ({"count.a b.every": "day"}, "the name of a count has at most 64 letters"),
    ({"count.c.evry": "day"}, "unknown key count.c.evry; did you mean count.c.every?"),
    ({"count.c.every": "week"}, '"week" is not one of: none, day, hour, minute'),
    ({"count.c.by": "locale,locale"}, '"locale" is there twice'),
    ({"count.c.every": "day", "count.c.max_values": "0"}, "0 is out of range"),
    ({"cuont.c.every": "day"}, "unknown section [cuont]; did you mean [count.NAME]?"),
])
def test_what_cannot_be_declared(world, given, words):
    done = world.execute("check", **given)
    assert done.returncode == 2 and words in done.stderr, done.stderr

