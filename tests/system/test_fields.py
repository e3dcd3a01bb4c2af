"""Fields by path, in headers and behind frames, against the oracle under the same settings."""

import json
import random

import oracle
import verify

_TIME_MS = 1720622216000
D = oracle.Dimension


def _send(load_, values, keys=(None,), headers=((),)):
    """Sends each value once for each key and each list of headers."""
    for value in values:
        for key in keys:
            for some in headers:
                load_.send(len(load_.records) % 4, key, value, _TIME_MS, list(some))
    load_.flush()


def _nested(rng, second):
    """Events with all that is wanted somewhere below, and sometimes not."""
    device = rng.choice([{"type": "tv", "n": 1}, {"type": "web"}, {"type": ""}, {}, "tv", None,
                         {"type": None}, {"type": "\ud83d"}, {"type": ["tv"]}, {"type": "é\n"}])
    where = rng.choice([["A", 7], ["A", True], ["A", 1.50], ["A"], ["A", None], {"1": "x"}, "A"])
    moment = rng.choice([second * 1000 + 5, str(second * 1000), float(second * 1000), -1, "soon",
                         second * 1000.5, None])
    event = {"context": {"device": device, "ts": moment, "x": [{"ts": 1}, float("1e300")]},
             "where": where, "user": {"id": rng.choice([17, "u1", 1.5, None, [], "\udc00"])},
             "extra": {"context": {"ts": 7}}}
    text = json.dumps(event, ensure_ascii=rng.random() < 0.7, indent=rng.choice([None, 2])
                      ).encode("utf-8", "surrogatepass")
    twist = rng.randrange(8)
    if twist == 0:
        text = b"\xef\xbb\xbf" + text
    elif twist == 1:
        text = text.rstrip(b"} \n") + b"}}, \"context\": {\"ts\": 1720622216000}}"
    elif twist == 2:
        text = text.replace(b'"context"', b'"\\u0063ontext"', 1)
    elif twist == 3:
        text = text.replace(b"1e+300", b"1e400")
    return text


def test_fields_are_found_by_paths(world):
    rng = random.Random(22)
    load_ = world.make_load()
    _send(load_, [_nested(rng, 1720622216 - n * 60) for n in range(2000)], keys=(None, b"k"))
    instance = world.run(aggregate__dimensions="device_type,locale",
                         dimension__device_type__from="/context/device/type",
                         dimension__device_type__default="unknown",
                         dimension__locale__from="/where/1", dimension__locale__accept="scalar",
                         input__timestamp="/context/ts", input__timestamp_format="ms",
                         input__key="/user/id")
    expected = world.verify(
        load_, dimensions={"device_type": D("/context/device/type", "unknown"),
                           "locale": D("/where/1", None, "scalar")},
        timestamp="/context/ts", timestamp_format="ms", key="/user/id")
    assert expected.accepted_count > 200 and len(expected.rejected) >= 4
    assert set(expected.dimensions["locale"]) >= {"7", "true"}
    instance.stop()


def test_headers_are_fields_and_stay_in_the_output(world):
    """The last of repeated headers counts; null and bad UTF-8 are no value."""
    load_ = world.make_load()
    time_ = ("ce_time", b"2024-07-10T16:36:56.123456789+02:00")
    headers = [[time_, ("kind", b"a")], [time_], [time_, ("kind", b"a"), ("kind", b"b")],
               [time_, ("kind", b"a"), ("kind", None)], [time_, ("kind", b"\xff\xfe")],
               [time_, ("kind", b"")], [("ce_time", None), ("kind", b"a")],
               [("ce_time", b"yesterday"), ("kind", b"a")], [("kind", b"a")],
               [time_, ("kind", "é".encode()), ("Kind", b"other")]]
    _send(load_, [b'{"kind":"no","x":1}', b'{"kind":"no","x":1,"locale":"PA"}'], headers=headers)
    instance = world.run(dimension__device_type__from="header:kind",
                         dimension__locale__default="none", input__timestamp="header:ce_time",
                         input__timestamp_format="rfc3339")
    expected = world.verify(
        load_, dimensions={"device_type": D("header:kind"), "locale": D(None, "none")},
        timestamp="header:ce_time", timestamp_format="rfc3339")
    assert dict(expected.dimensions["device_type"]) == {"a": 2, "b": 2, "é": 2}
    assert expected.rejected == {"missing_field": 4, "bad_value": 6, "bad_timestamp": 4}
    instance.stop()


def test_a_frame_is_skipped_and_kept(world):
    load_ = world.make_load()
    event = b'{"device_type":"tv","locale":"PA","timestamp":1720622216,"user_id":"u"}'
    frame = b"\0\0\0\1\2"
    _send(load_, [event, frame + event, frame + b"\xef\xbb\xbf" + event, frame, frame[:4], b"\0",
                  frame + b"{", frame + frame + event, b"", None])
    instance = world.run(input__framing="confluent")
    expected = world.verify(load_, framing="confluent")
    assert expected.rejected == {"empty": 3, "not_json": 4}
    output = verify.read_committed(world.broker, world.output)
    assert sorted(read.value for read in output) == sorted(
        [event, frame + event, frame + b"\xef\xbb\xbf" + event])
    instance.stop()


def test_a_frame_without_framing_is_rejected_with_the_setting(world):
    load_ = world.make_load()
    _send(load_, [b'\0\0\0\1\2{"device_type":"tv","locale":"PA","timestamp":1720622216}'] * 3)
    instance = world.run()
    world.verify(load_)
    for read in verify.read_committed(world.broker, world.rejected):
        assert b"input.framing = confluent" in dict(read.headers)["__rollcall.errors.detail"]
    instance.stop()
