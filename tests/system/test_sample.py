"""`rollcall check --sample`: what it says of the newest records, and which settings it proposes."""

import os
import random
import re
import time

import pytest

import oracle
import process
import rollcall
import shapes

_NOW_MS = 1720622216000
_GOOD = b'{"device_type":"tv","locale":"PA","timestamp":1720622216}'


def _fill(world, records):
    """Sends (value, headers, timestamp in ms), in turn to all partitions."""
    load_ = world.make_load()
    for n, (value, headers, time_ms) in enumerate(records):
        load_.send(n % 4, None, value, time_ms, headers)
    load_.flush()
    return load_


def _proposed(text, folder, name="proposed.ini"):
    """The path of a file with the lines that were proposed, or None."""
    begin = text.find("\n; with these settings")
    if begin < 0:
        return None
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[begin + 1:])
    return path


def test_all_accepted_is_status_0(world):
    _fill(world, [(_GOOD, [], _NOW_MS)] * 20)
    done = world.execute("check", "--sample", "100")
    assert done.returncode == 0, done.stdout
    assert "ok  20 of the newest 20 records" in done.stdout
    assert "[input]" not in done.stdout


def test_an_empty_topic_is_named(world):
    world.create_input()
    done = world.execute("check", "--sample", "5")
    assert done.returncode == 0 and "holds no record" in done.stdout, done.stdout


def test_reasons_come_with_their_number_and_an_example(world):
    bad = [(None, "empty"), (b"{", "not_json"), (b"[]", "not_object"), (b"{}", "missing_field"),
           (_GOOD.replace(b'"tv"', b"[]"), "bad_value"),
           (_GOOD.replace(b"1720622216", b'"soon"'), "bad_timestamp")]
    load_ = _fill(world, [(_GOOD, [], _NOW_MS)] * 30 +
                  [(value, [], _NOW_MS) for value, _ in bad for _ in range(2)])
    done = world.execute("check", "--sample", "1000")
    assert done.returncode == 1
    assert "bad 30 of the newest 42 records" in done.stdout, done.stdout
    places = {(record.partition, record.offset): oracle.verdict(record) for record in load_.records}
    for _, reason in bad:
        found = re.search(rf"bad {reason}: 2 records, for example partition (\d+), offset (\d+): .",
                          done.stdout)
        assert found, (reason, done.stdout)
        assert places[int(found[1]), int(found[2])] == reason


def test_the_newest_are_those_of_the_latest_kafka_timestamps(world):
    """The newest records may all be in one partition."""
    load_ = world.make_load()
    for n in range(40):
        load_.send(0, None, _GOOD, _NOW_MS + 1000 + n)
        load_.send(1 + n % 3, None, b"{}", _NOW_MS + n)
    load_.flush()
    done = world.execute("check", "--sample", "40")
    assert done.returncode == 0 and "ok  40 of the newest 40 records" in done.stdout, done.stdout
    done = world.execute("check", "--sample", "41")
    assert done.returncode == 1 and "bad 40 of the newest 41 records" in done.stdout, done.stdout


def test_it_joins_no_group_and_changes_nothing(world):
    _fill(world, [(b"{}", [], _NOW_MS)] * 5)
    world.execute("check", "--sample", "5")
    assert all(offset < 0 for offset in world.place.published().values())
    assert world.broker.partition_count(world.output) == 0
    with world.redis_server.client() as client:
        assert client.keys("*") == []


@pytest.mark.parametrize("shape", shapes.ACCEPTED, ids=lambda shape: shape.__name__)
def test_what_is_proposed_accepts_all_valid_events(world, shape, tmp_path):
    """Also with a few events among them that nothing can help."""
    rng = random.Random(shape.__name__)
    records = []
    for n in range(300):
        time_ms = _NOW_MS - rng.randrange(5 * 86400000)
        records.append((*shape(rng, time_ms), time_ms + 150))
        if n % 30 == 0:
            records.append((rng.choice([b"{", b"null", b'"x"']), [], time_ms))
    _fill(world, records)
    first = world.execute("check", "--sample", "1000")
    assert first.returncode == 1
    path = _proposed(first.stdout, tmp_path)
    assert path, first.stdout
    second = world.execute("check", "--sample", "1000", "-c", path)
    assert "bad 300 of the newest 310 records" in second.stdout, first.stdout + second.stdout
    assert "kafka" not in open(path, encoding="utf-8").read(), first.stdout


@pytest.mark.parametrize("shape, word", [(shapes.several, "several objects"),
                                         (shapes.gzipped, "gzip")], ids=lambda x: str(x)[:20])
def test_what_no_setting_can_help_is_named(world, shape, word):
    rng = random.Random(1)
    _fill(world, [(*shape(rng, _NOW_MS), _NOW_MS) for _ in range(40)])
    done = world.execute("check", "--sample", "100")
    assert done.returncode == 1
    assert re.search(rf"bad 40 records hold .*{word}|bad 40 records hold {word}", done.stdout), done.stdout
    assert "no settings were found" in done.stdout and "\n[" not in done.stdout


def test_the_paths_are_those_of_the_format(world):
    """What is meant, not just anything that fits."""
    rng = random.Random(5)
    _fill(world, [(*shapes.segment(rng, _NOW_MS), _NOW_MS) for _ in range(100)])
    done = world.execute("check", "--sample", "100")
    for line in ("[input]", "timestamp = timestamp", "timestamp_format = rfc3339", "key = userId",
                 "[dimension.device_type]", "from = /context/device/type", "default = unknown",
                 "[dimension.locale]", "from = /context/locale"):
        assert f"\n{line}\n" in done.stdout, (line, done.stdout)


def test_records_without_a_key_get_one_or_are_named(world):
    """Within an envelope the user may have no id, only a name."""
    rng = random.Random(6)
    load_ = _fill(world, [(*shapes.cloudevents_structured(rng, _NOW_MS), _NOW_MS)
                          for _ in range(20)])
    done = world.execute("check", "--sample", "20")
    assert "\nkey = /data/user\n" in done.stdout and "no key" not in done.stdout, done.stdout
    for n in range(20):
        value, headers = shapes.cloudevents_binary(rng, _NOW_MS)
        load_.send(n % 4, b"key" if n < 5 else None, value, _NOW_MS + 1000, headers)
    load_.flush()
    done = world.execute("check", "--sample", "20")
    assert ("\n; 15 records have no key, and no member is named like a user: they stay without one\n"
            in done.stdout), done.stdout
    assert "\nkey = " not in done.stdout, done.stdout


def test_a_path_without_a_value_is_proposed_with_a_default(world, tmp_path):
    _fill(world, [(b'{"device_type":"tv","context":{"locale":null},"timestamp":1720622216}', [],
                   _NOW_MS)] * 20)
    done = world.execute("check", "--sample", "20")
    assert ("[dimension.locale]\n; no record has a value there that can be counted\n"
            "from = /context/locale\ndefault = unknown\n" in done.stdout), done.stdout
    second = world.execute("check", "--sample", "20", "-c", _proposed(done.stdout, tmp_path))
    assert second.returncode == 0, second.stdout


def test_a_time_without_an_offset_is_explained(world, tmp_path):
    _fill(world, [(b'{"device_type":"tv","locale":"PA","timestamp":"2024-07-10T14:36:56"}', [],
                   _NOW_MS)] * 20)
    done = world.execute("check", "--sample", "100")
    assert "without its offset" in done.stdout or "not of digits" in done.stdout, done.stdout
    assert "\ntimestamp = kafka\n" in done.stdout
    second = world.execute("check", "--sample", "100", "-c", _proposed(done.stdout, tmp_path))
    assert second.returncode == 0, second.stdout


def _peak_mb(world, folder, options, *arguments):
    """Runs a command; returns (exit status, its output, its peak resident memory in MB)."""
    log = os.path.join(folder, "peak.log")
    child = process.spawn([rollcall.BINARY, *arguments,
                           *rollcall.flags({**world.options, **options})], log)
    peak_kb = 0
    while child.poll() is None:
        with open(f"/proc/{child.pid}/status") as file:
            found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        peak_kb = max(peak_kb, int(found[1]) if found else 0)
        time.sleep(0.005)
    return child.returncode, process.tail(log), peak_kb / 1024


def test_memory_bounds_it_and_the_line_says_so(world, tmp_path):
    """3,000 records of 100 KB at 64 MB: the newest that have room. Those beyond them are bad, and
    do not matter."""
    load_ = world.make_load()
    pad = b'{"pad":"' + b"x" * 100_000 + b'",'
    for n in range(3000):
        value = pad + (_GOOD[1:] if n >= 1500 else b'"locale":"PA"}')
        load_.send(n % 4, None, value, _NOW_MS + n)
    load_.flush()
    status, text, peak_mb = _peak_mb(world, tmp_path, {"instance.memory_mb": 64},
                                     "check", "--sample", "3000")
    found = re.search(r"ok  (\d+) of the newest (\d+) records of \S+ would be accepted; 3000 were "
                      r"asked for, and no more fit in half of instance.memory_mb, which is 64: "
                      r"raise it to read them\n", text)
    assert status == 0 and found, text
    assert found[1] == found[2] and 300 <= int(found[1]) <= 336, text
    assert peak_mb <= 1.25 * 64, peak_mb
    done = world.execute("check", "--sample", "300", instance__memory_mb=64)
    assert "ok  300 of the newest 300 records" in done.stdout, done.stdout
    assert "asked for" not in done.stdout, done.stdout


def test_no_older_record_takes_the_room_of_a_newer_one(world):
    """What is left of the memory is too little for a large record, and enough for small ones."""
    load_ = world.make_load(partitions=1)
    large = b'{"pad":"' + b"x" * 100_000 + b'",' + _GOOD[1:]
    for n in range(400):
        load_.send(0, None, large, _NOW_MS + n)
    for n in range(5):
        load_.send(0, None, b"{}", _NOW_MS - n)
    load_.flush()
    done = world.execute("check", "--sample", "500", instance__memory_mb=64)
    assert done.returncode == 0 and "; 500 were asked for" in done.stdout, done.stdout
