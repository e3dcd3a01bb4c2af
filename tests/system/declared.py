"""Declared counts, [count.NAME], of every form, and events for them."""

import json

import hyperloglog
import oracle

#: How many values /status.json shows.
VALUES = 10

#: One of each form.
COUNTS = {"locale": oracle.Count(("locale",)),
          "locale_by_hour": oracle.Count(("locale",), "hour"),
          "both-by.day": oracle.Count(("device_type", "locale"), "day"),
          "device_by_minute": oracle.Count(("device_type",), "minute"),
          "pairs": oracle.Count(("locale", "device_type")),
          "days": oracle.Count((), "day"),
          "hours": oracle.Count((), "hour"),
          "minutes": oracle.Count((), "minute"),
          "users": oracle.Count(unique=True),
          "users_by_day": oracle.Count((), "day", unique=True),
          "users_by_minute": oracle.Count((), "minute", unique=True),
          "users_by_locale": oracle.Count(("locale",), unique=True),
          "users_by_both_by_hour": oracle.Count(("device_type", "locale"), "hour", unique=True)}


def options(counts):
    """The options that declare these counts."""
    found = {}
    for name, count in counts.items():
        if count.by:
            found[f"count.{name}.by"] = ", ".join(count.by)
        found[f"count.{name}.every"] = count.every
        if count.unique:
            found[f"count.{name}.unique"] = "user_id"
    return found


def awkward(load, count=400):
    """Sends events whose values have to be escaped where they are joined."""
    values = ("a|b", "a", "b|c", "\\", "c\\|", "|: \0", "é", "__other__")
    for n in range(count):
        document = {"device_type": values[n % len(values)], "locale": values[n // 8 % len(values)],
                    "timestamp": 1720622216 + n * 1800, "user_id": f"user-{n % 30}"}
        load.send(n % 4, None, json.dumps(document).encode(), 1720622216000 + n * 1800000)
    load.flush()


def newest_event(load):
    """Sends an event that is newer than all others, so that its buckets are the newest."""
    second = max(int(oracle.judge(r.value, r.timestamp_ms).second) for r in load.records
                 if oracle.verdict(r) is None) + 90000
    load.send(0, None, json.dumps({"device_type": "<b>last</b>", "locale": "a|b", "user_id": "one",
                                   "timestamp": second}).encode(), second * 1000)
    load.flush()


def count_all_forms(world):
    """Runs an instance on awkward events, the last of them newer than all others. Returns it, and
    what must be shown, as newest does."""
    load = world.make_load()
    awkward(load)
    instance = world.run(**options(COUNTS)).wait_ready()
    world.wait_quiet()
    newest_event(load)
    world.wait_quiet()
    return instance, newest(oracle.Expected(load.records, counts=COUNTS))


def newest(expected):
    """What /status.json must show of these counts, oracle.Expected: name -> members; values as a
    dict."""
    found = {}
    for name, declared in COUNTS.items():
        counts = expected.counts[name]
        bucket = max(counts)
        inside = counts[bucket]
        if declared.unique and declared.by:
            inside = {value: hyperloglog.count(users) for value, users in inside.items()}
        elif declared.unique:
            inside = hyperloglog.count(inside)
        found[name] = {"bucket": bucket or None, "is_distinct": declared.unique,
                       "number": None if declared.by else inside,
                       "value_count": len(inside) if declared.by else None,
                       "values": dict(inside) if declared.by else {}}
    return found


def same_newest(shown, expected):
    """Checks that /status.json shows all this, the largest values first."""
    assert list(shown) == list(expected)
    for name, members in expected.items():
        assert {**shown[name], "values": {}} == {**members, "values": {}}, name
        numbers = [number for _, number in shown[name]["values"]]
        assert numbers == sorted(members["values"].values(), reverse=True)[:VALUES], name
        assert all(members["values"][value] == number for value, number in shown[name]["values"]), \
            name
