"""/status.json: the same numbers as /metrics and Redis, whatever is away, and without waiting."""

import json
import re
import time

import pytest

import declared
import wait
from test_lag import send

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MINUTE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")

TOTALS = {"consumed": int, "published": int, "counted": int, "anomalies": int, "lost": int,
          "truncated": int, "rejected": {str: int}, "rewinds": {str: int}}
RATES = {name: {str: float} if isinstance(kind, dict) else float for name, kind in TOTALS.items()}
NUMBER = (int, None)
#: What each member is: a type, a pattern, alternatives, [of all elements], {name: ...}.
SHAPE = {
    "version": str, "now": TIME, "uptime_s": float, "instance": str, "group": str, "topic": str,
    "state": {"is_alive": bool, "is_ready": bool, "reasons": [str]},
    "totals": TOTALS, "rates": RATES,
    "rejections": [{"reason": str, "partition": int, "offset": int, "detail": str}],
    "partitions": [{"partition": int, "end": NUMBER, "published": NUMBER, "counted": NUMBER,
                    "lag_records": NUMBER, "counted_lag_records": NUMBER,
                    "lag_seconds": (float, None), "counted_lag_seconds": (float, None)}],
    "threads": [{"name": str, "partition": NUMBER, "idle_s": float, "is_stuck": bool}],
    "top": {"read_at": (TIME, None), "device_type": list, "locale": list},
    "counts": {str: {"bucket": (str, None), "is_distinct": bool, "number": NUMBER,
                     "value_count": NUMBER, "values": [list]}},
    "minutes": [list], "anomalies": [{"minute": MINUTE, "count": int, "threshold": int}],
    "kafka": {"is_up": bool, "since": TIME, "version": (str, None), "reason": (str, None)},
    "redis": {"is_up": bool, "since": TIME, "version": (str, None), "reason": (str, None)},
    "recent": [str], "settings": {str: str},
}


def check(shape, value, at="status"):
    """Fails if a value is not of the shape, or has members that are not in it."""
    if isinstance(shape, dict) and str in shape:
        assert isinstance(value, dict), at
        for name, member in value.items():
            check(shape[str], member, f"{at}.{name}")
    elif isinstance(shape, dict):
        assert set(value) == set(shape), f"{at}: {set(value) ^ set(shape)}"
        for name, member in value.items():
            check(shape[name], member, f"{at}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for n, member in enumerate(value):
            check(shape[0], member, f"{at}[{n}]")
    elif isinstance(shape, tuple):
        assert value is None or check(shape[0], value, at) is None
    elif isinstance(shape, re.Pattern):
        assert shape.fullmatch(value), f"{at}: {value}"
    else:
        kinds = (int, float) if shape is float else shape
        assert isinstance(value, kinds) and isinstance(value, bool) == (shape is bool), \
            f"{at}: {value!r}"


def status(instance):
    """/status.json, checked for its shape."""
    code, body = instance.get("/status.json")
    assert code == 200
    found = json.loads(body)
    check(SHAPE, found)
    return found


def by_partition(found):
    """partition -> its entry."""
    return {entry["partition"]: entry for entry in found["partitions"]}


@pytest.mark.coverage
def test_numbers_are_those_of_metrics_and_redis(world):
    load = world.make_load()
    instance = world.run(redis__url=world.redis_server.url(), anomaly__threshold=10)
    instance.wait_ready()
    load.produce(3000)
    expected = world.verify(load, instance)
    read_at = status(instance)["top"]["read_at"]
    wait.until(lambda: (status(instance)["top"]["read_at"] or "") > (read_at or ""), 10,
               "the counts to be read again")
    wait.until(lambda: (status(instance)["top"]["read_at"] or "") > (read_at or ""), 10,
               "the counts to be read again")
    time.sleep(2.5)
    found, metrics = status(instance), instance.metrics()
    for name in ("consumed", "published", "counted"):
        assert found["totals"][name] == metrics[f"rollcall_records_{name}_total", ()] > 0
    assert {r: n for r, n in found["totals"]["rejected"].items() if n} == expected.rejected
    assert found["totals"]["anomalies"] == len(expected.anomalies)
    for cause, count in found["totals"]["rewinds"].items():
        assert metrics["rollcall_rewinds_total", (("cause", cause),)] == count
    assert set(by_partition(found)) == {0, 1, 2, 3}
    ends = world.broker.end_offsets(world.topic)
    for partition, entry in by_partition(found).items():
        assert entry["end"] == entry["published"] == entry["counted"] == ends[partition]
        assert entry["lag_records"] == entry["counted_lag_records"] == 0
        assert entry["lag_seconds"] == entry["counted_lag_seconds"] == 0
    # What Redis holds.
    snapshot = expected.snapshot()
    for dimension, title in (("device_type", "Logins by Device Type"), ("locale", "Logins by Locale")):
        counts = snapshot[title]
        top = found["top"][dimension]
        assert [count for _, count in top] == sorted(counts.values(), reverse=True)[:10]
        assert all(counts[value] == count for value, count in top)
    minutes = dict(sorted(snapshot["Logins Over Time"].items(), reverse=True)[:120])
    assert [entry[0] for entry in found["minutes"]] == list(minutes)
    for minute, count, is_anomaly in found["minutes"]:
        assert count == minutes[minute] and is_anomaly == (count > 10)
    assert len(found["anomalies"]) == min(20, len(expected.anomalies))
    assert all(entry["threshold"] == 10 and entry["count"] > 10 for entry in found["anomalies"])
    # Examples of what was rejected are records that were.
    records = {(r.partition, r.offset) for r in load.records}
    assert {e["reason"] for e in found["rejections"]} == set(expected.rejected)
    assert all((e["partition"], e["offset"]) in records for e in found["rejections"])
    names = [entry["name"] for entry in found["threads"]]
    assert {"watch", "checkpoint", "publish", "count-0", "count-1"} <= set(names)
    assert sorted(e["partition"] for e in found["threads"] if e["name"].startswith("ingest")) == \
        [0, 1, 2, 3]
    assert found["state"] == {"is_alive": True, "is_ready": True, "reasons": []}
    assert found["redis"]["is_up"] and re.match(r"\d+\.", found["redis"]["version"])
    assert found["kafka"]["is_up"] and found["kafka"]["reason"] is None
    assert found["settings"]["input.topic"] == f'"{world.topic}"' or \
        found["settings"]["input.topic"] == world.topic
    instance.stop()


def test_declared_counts_are_those_of_redis(world):
    """Of each the newest bucket, also as metrics; and the page without scripts has them as text."""
    instance, expected = declared.count_all_forms(world)
    wait.until(lambda: status(instance)["counts"]["users"]["number"] == 31 and
               status(instance)["counts"]["days"]["bucket"] == expected["days"]["bucket"], 20,
               "the counts to be read")
    wait_read_again(instance)
    declared.same_newest(status(instance)["counts"], expected)
    metrics = instance.metrics()
    for name, members in expected.items():
        kind = "values" if members["number"] is None else "number"
        assert metrics[f"rollcall_count_{kind}", (("count", name),)] == \
            (members["value_count"] if members["number"] is None else members["number"]), name
    page = instance.get("/")[1]
    assert "&lt;b>last&lt;/b>" in page and "<b>last" not in page
    instance.stop()


def wait_read_again(instance):
    """Waits until all that is read of Redis was read since now."""
    now = status(instance)["now"]
    wait.until(lambda: (status(instance)["top"]["read_at"] or "") > now, 20,
               "the counts to be read again")


def test_rates_are_of_the_last_seconds(world):
    load = world.make_load()
    instance = world.run().wait_ready()
    with load.feed(500):
        wait.until(lambda: 400 < status(instance)["rates"]["counted"] < 600, 30,
                   lambda: f"a rate of 500, now {status(instance)['rates']}")
    wait.until(lambda: status(instance)["rates"]["counted"] == 0, 30, "the rate to be 0")
    world.verify(load, instance)
    instance.stop()


@pytest.mark.redis(password="status-secret-31")
def test_no_secret_is_shown(world):
    world.create_input(1)
    instance = world.run(
        redis__url=world.redis_server.url("status-secret-31"),
        kafka__sasl__oauthbearer__token__endpoint__url="https://u:status-secret-31@h/t",
        kafka__sasl__oauthbearer__extensions="key=status-secret-31",
        kafka__debug="conf", log__level="debug").wait_ready()
    code, body = instance.get("/status.json")
    assert code == 200 and "status-secret-31" not in body
    assert "status-secret-31" not in instance.get("/")[1] + instance.log()
    settings = json.loads(body)["settings"]
    assert settings["redis.prefix"].strip('"') == world.prefix
    assert settings["output.commit_ms"] == "100"
    instance.stop()


@pytest.mark.timeout(180)
def test_redis_is_away(world):
    """It answers at once, says what is wrong and how to fix it, and what it has is not younger."""
    world.create_input(1)
    instance = world.run(redis__timeout_ms=60000).wait_ready()
    instance.wait_assigned(1)
    send(world.broker, world.topic, 0, [10] * 5)
    wait.until(lambda: status(instance)["top"]["device_type"] == [["web", 5]], 20,
               "the counts to be read")
    world.redis_server.pause()
    wait.until(lambda: not status(instance)["redis"]["is_up"], 20, "Redis to be shown as away")
    read_at = status(instance)["top"]["read_at"]
    send(world.broker, world.topic, 0, [100] * 3)
    wait.until(lambda: status(instance)["state"]["is_ready"] is False, 20, "not to be ready")
    for _ in range(20):
        began = time.monotonic()
        found = status(instance)
        assert time.monotonic() - began < 1
        assert found["top"] == {"read_at": read_at, "device_type": [["web", 5]],
                                "locale": [["PA", 5]]}
        assert by_partition(found)[0]["lag_records"] == 0
        time.sleep(0.1)
    assert by_partition(found)[0]["counted_lag_seconds"] > 100
    assert any("Redis does not answer" in r and "redis.url" in r for r in found["state"]["reasons"])
    assert found["redis"]["reason"]
    world.redis_server.resume()
    wait.until(lambda: status(instance)["top"]["device_type"] == [["web", 8]], 20,
               "the counts to be read again")
    assert status(instance)["state"]["reasons"] == []
    instance.stop()


def test_it_is_ready_if_there_is_no_reason_not_to_be(world):
    """Also while the threads that look at Redis do not agree yet."""
    world.create_input(1)
    instance = world.run(redis__timeout_ms=500).wait_ready()

    def state(is_ready):
        found = status(instance)["state"]
        assert found["is_ready"] == (found["reasons"] == []), found
        return found["is_ready"] is is_ready

    for _ in range(5):
        world.redis_server.pause()
        wait.until(lambda: state(False), 20, "not to be ready")
        world.redis_server.resume()
        wait.until(lambda: state(True), 20, "to be ready")
    instance.stop()


def test_before_kafka_answers(world):
    """While it waits for Kafka at the start, the status says so."""
    instance = world.run(kafka__bootstrap__servers="127.0.0.1:1")
    found = wait.until(lambda: instance.get("/status.json")[0] == 200 and status(instance), 20,
                       "the status")
    assert found["partitions"] == [] and not found["state"]["is_ready"]
    assert any("kafka.bootstrap.servers" in reason for reason in found["state"]["reasons"])
    wait.until(lambda: any("Waiting for Kafka" in line for line in status(instance)["recent"]), 20,
               "a warning among the recent lines")
    wait.until(lambda: status(instance)["redis"]["is_up"], 10, "Redis to be up")
    instance.kill()
