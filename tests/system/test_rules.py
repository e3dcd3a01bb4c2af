"""The rules beside the counts: kept, compared at start and with each checkpoint, and changed."""

import pytest

import wait

_GOOD = b'{"device_type":"tv","locale":"PA","ts":1720622216000,"timestamp":1720622216,"x":"y"}'
_TIME_MS = 1720622216000


def _rules(world):
    with world.redis_server.client() as client:
        found = client.hget(f"{world.prefix}:meta", "rules")
    return None if found is None else dict(
        line.split(" = ", 1) for line in found.decode().splitlines())


def _counted(world, load_, count=20, **options):
    """Runs an instance over some more records."""
    for n in range(count):
        load_.send(n % 4, None, _GOOD, _TIME_MS)
    load_.flush()
    instance = world.run(**options)
    world.wait_quiet()
    return instance


def test_rules_are_kept_and_others_rejected_until_a_rebuild(world):
    load_ = world.make_load()
    _counted(world, load_).stop()
    rules = _rules(world)
    assert rules["input.timestamp"] == "timestamp" and rules["input.timestamp_format"] == "s"
    assert rules["dimension.locale.from"] == "locale" and rules["aggregate.max_future_s"] == "3600"
    changed = {"input__timestamp": "ts", "input__timestamp_format": "ms"}
    other = world.run(**changed)
    assert other.wait_exit(40) == 1
    for words in ('input.timestamp is "timestamp" there and "ts" here',
                  'input.timestamp_format is "s" there and "ms" here', "rollcall rebuild",
                  "redis.prefix"):
        assert words.replace('"', '\\"') in other.log() or words in other.log(), words
    checked = world.execute("check", **changed)
    assert checked.returncode == 1 and "under other rules" in checked.stdout, checked.stdout
    assert _rules(world) == rules
    done = world.execute("rebuild", **changed)
    assert done.returncode == 0, done.stderr
    assert _rules(world)["input.timestamp_format"] == "ms"
    _counted(world, load_, **changed).stop()
    world.verify(load_, None, timestamp="ts", timestamp_format="ms")


@pytest.mark.parametrize("is_empty", [False, True], ids=["records", "idle"])
def test_counts_from_before_get_the_rules(world, is_empty):
    load_ = world.make_load()
    _counted(world, load_).stop()
    with world.redis_server.client() as client:
        client.hdel(f"{world.prefix}:meta", "rules")
    assert _rules(world) is None
    instance = _counted(world, load_, 0 if is_empty else 20)

    wait.until(lambda: _rules(world) is not None, 20, "the rules to be kept", every=0.2)
    world.verify(load_)
    instance.stop()


def test_a_new_dimension_is_counted_from_now_on_with_a_warning(world):
    load_ = world.make_load()
    _counted(world, load_).stop()
    more = _counted(world, load_, aggregate__dimensions="device_type,locale,x")
    assert "dimension.x is new" in more.log()
    with world.redis_server.client() as client:
        assert client.zscore(f"{world.prefix}:x_counts", "y") == 20
        assert client.zscore(f"{world.prefix}:locale_counts", "PA") == 40
    assert _rules(world)["dimension.x.from"] == "x"
    more.stop()
    less = _counted(world, load_)
    assert "dimension.x is no longer counted" in less.log()
    with world.redis_server.client() as client:
        assert client.zscore(f"{world.prefix}:x_counts", "y") == 20
        assert client.zscore(f"{world.prefix}:locale_counts", "PA") == 60
    assert "dimension.x.from" not in _rules(world)
    less.stop()


def test_an_instance_with_other_rules_ends_after_the_swap(world):
    load_ = world.make_load()
    instance = _counted(world, load_)
    done = world.execute("rebuild", aggregate__max_future_s=7200)
    assert done.returncode == 0, done.stderr
    load_.send(0, None, _GOOD, _TIME_MS)
    load_.flush()
    assert instance.wait_exit(40) == 1
    assert "under other rules" in instance.log()
