"""rollcall_record_age_seconds: how old records are when they are published and counted."""

import json
import time

import wait

COUNT = 400


def send(load, count):
    """Sends logins whose Kafka timestamp is the present."""
    for n in range(count):
        value = json.dumps({"locale": "PA", "device_type": "web", "timestamp": int(time.time())})
        load.send(n % 4, None, value.encode(), int(time.time() * 1000), None)
    load.flush()


def ages(instance, watermark):
    """(all records, those within 5 s)"""
    return (instance.metric("rollcall_record_age_seconds_count", watermark=watermark),
            instance.metric("rollcall_record_age_seconds_bucket", watermark=watermark, le="5"))


def test_what_is_late_is_seen_for_each_watermark_alone(world):
    load = world.make_load()
    instance = world.run(instance__id="age", redis__timeout_ms=1000).wait_ready()
    wait.until(lambda: instance.metric("rollcall_assigned_partitions") == 4, 30, "4 partitions")
    send(load, COUNT)
    world.wait_quiet()
    for watermark in ("published", "counted"):
        wait.until(lambda: ages(instance, watermark) == (COUNT, COUNT), 10,
                   lambda: f"{watermark}: {ages(instance, watermark)}")
    world.redis_server.pause()
    send(load, COUNT)
    wait.until(lambda: ages(instance, "published") == (2 * COUNT, 2 * COUNT), 10,
               lambda: f"published while Redis hangs: {ages(instance, 'published')}")
    time.sleep(6)
    assert ages(instance, "counted") == (COUNT, COUNT)
    world.redis_server.resume()
    wait.until(lambda: ages(instance, "counted") == (2 * COUNT, COUNT), 20,
               lambda: f"counted when it is back: {ages(instance, 'counted')}")
    assert ages(instance, "published") == (2 * COUNT, 2 * COUNT)
    instance.stop()
    # another instance passes only what is new
    other = world.run(instance__id="age").wait_ready()
    wait.until(lambda: other.metric("rollcall_assigned_partitions") == 4, 30, "4 partitions")
    send(load, COUNT)
    world.wait_quiet()
    for watermark in ("published", "counted"):
        wait.until(lambda: ages(other, watermark) == (COUNT, COUNT), 10,
                   lambda: f"{watermark}: {ages(other, watermark)}")
