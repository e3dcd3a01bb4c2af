"""Tests the oracle itself with cases written by hand from the interface."""

import json.decoder

import pytest

import oracle

NOW_MS = 1720622216_000
GOOD = b'{"device_type":"ios","locale":"PA","timestamp":1720622216}'


def reason(value, timestamp_ms=NOW_MS):
    record = oracle.Record(0, 0, None, value, timestamp_ms, None)
    return oracle.verdict(record)


def login(device=b'"ios"', locale=b'"PA"', timestamp=b"1720622216"):
    return b'{"device_type":%s,"locale":%s,"timestamp":%s}' % (device, locale, timestamp)


def test_the_fast_scanner_is_in_use():
    # The pure Python scanner accepts input that the C scanner rejects.
    assert json.decoder.scanner.c_make_scanner and json.decoder.c_scanstring


@pytest.mark.parametrize("value", [
    GOOD, b" \t\r\n" + GOOD + b"\n ",
    b'{"x":[1,{"y":null}],' + GOOD[1:],
    b'{"locale":5,' + GOOD[1:],
    b'{"\\u006cocale":"x",' + GOOD[1:],
    login(device='"täblet 📱"'.encode()), login(device=b'"\\ud83d\\udcf1"'),
    login(device=b'"a\\u0000b"'), login(device=b'"' + b"x" * 128 + b'"'),
    login(device=('"' + "é" * 64 + '"').encode()),
    login(timestamp=b'"1720622216"'), login(timestamp=b'"0001720622216"'),
    login(timestamp=b"1720622216.0"), login(timestamp=b"1.720622216e9"),
    login(timestamp=b"17206222160e-1"), login(timestamp=b"0"), login(timestamp=b'"0"'),
    login(timestamp=b"1720625816"),
    b'{"x":123456789012345678901234567890,"y":-0.5E+3,' + GOOD[1:],
    b"\xef\xbb\xbf" + GOOD, b'{"x":1e400,"\\ud800":["\\udc00\\ud800"],' + GOOD[1:],
])
def test_accepted(value):
    assert reason(value) is None


@pytest.mark.parametrize("value", [None, b""])
def test_empty(value):
    assert reason(value) == "empty"


@pytest.mark.parametrize("value", [
    b" ", b"{", b"login", b"{'a':1}", GOOD + b"x", GOOD + GOOD, GOOD[:-1] + b",}", b"[1,]",
    b" \xef\xbb\xbf" + GOOD, b"\xef\xbb\xbf" * 2 + GOOD, b"\xef\xbb\xbf", GOOD.decode().encode("utf-16"), b"NaN", b"[Infinity]", b"[-Infinity]",
    b"[01]", b"[+1]", b"[.5]", b"[1.]", b"[1e]", b"True", b'"\x01"', b'"\\x41"', b'"\\u12g4"',
    b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"\0",
    GOOD + b"\0", b"\x0b" + GOOD, b"\xc2\xa0" + GOOD, b"[1] // note", "[１]".encode(),
])
def test_not_json(value):
    assert reason(value) == "not_json"


@pytest.mark.parametrize("value", [b"[]", b"42", b'"text"', b"null", b"true", b" false ", b"1e3"])
def test_not_object(value):
    assert reason(value) == "not_object"


@pytest.mark.parametrize("value", [
    b"{}", GOOD.replace(b"locale", b"Locale"), GOOD.replace(b"timestamp", b"time"),
    b'{"locale":"","timestamp":"x"}', b'{"device_type":5,"locale":"PA"}',
])
def test_missing_field(value):
    assert reason(value) == "missing_field"


@pytest.mark.parametrize("value", [
    login(device=b"null"), login(device=b"5"), login(device=b'""'), login(locale=b"[]"),
    login(locale=b'"' + b"x" * 129 + b'"'), login(locale=('"' + "é" * 65 + '"').encode()),
    login(device=b'"\\ud800"'), GOOD[:-1] + b',"user_id":-1e400}',
    GOOD[:-1] + b',"user_id":"\\udc00"}', login(device=b"true", timestamp=b'"soon"'), GOOD[:-1] + b',"locale":null}',
])
def test_bad_value(value):
    assert reason(value) == "bad_value"


@pytest.mark.parametrize("text", [
    b"null", b"true", b"[]", b'""', b'"1720622216.0"', b'" 1720622216"', b'"-5"', b'"+5"', b"-5",
    b'"1e9"', b"1720622216.5", b"1720625817", b"1e300", b'"99999999999999999999999"',
    '"１７"'.encode(), b"1720622216000", b"-0.5", b'"' + b"9" * 5000 + b'"', b"1e400",
    b'"\\ud800"', b"1720622216.00000000000000000001",
])
def test_bad_timestamp(text):
    assert reason(login(timestamp=text)) == "bad_timestamp"


def verdict(document, timestamp_ms=NOW_MS, headers=(), prefix=b"", **rules):
    """The reason, or the values, the second and the key of an accepted record."""
    value = prefix + json.dumps(document).encode()
    try:
        login_ = oracle.judge(value, timestamp_ms, headers=headers, **rules)
    except oracle.Rejected as reason_:
        return str(reason_)
    return (*login_.dimensions.values(), login_.second, login_.user_id)


D = oracle.Dimension


@pytest.mark.parametrize("rules, document, expected", [
    ({"dimensions": {"d": D("/a/b"), "e": D("/l/1")}, "timestamp": "/a/t", "key": "/a/k"},
     {"a": {"b": "B", "t": 60, "k": 1.5}, "l": [0, "L"]}, ("B", "L", 60, "1.5")),
    ({"dimensions": {"d": D("/a~1b/m~0n")}, "timestamp": "t"}, {"a/b": {"m~n": "X"}, "t": 1},
     ("X", 1, None)),
    ({"dimensions": {"d": D("/l/-")}}, {"l": ["x"], "timestamp": 1}, "missing_field"),
    ({"dimensions": {"d": D("/l/01")}}, {"l": ["x", "y"], "timestamp": 1}, "missing_field"),
    ({"dimensions": {"d": D("/l/0/x")}}, {"l": ["x"], "timestamp": 1}, "missing_field"),
    ({"dimensions": {"d": D(default="none")}}, {"timestamp": 1}, ("none", 1, None)),
    ({"dimensions": {"d": D(default="none")}}, {"d": None, "timestamp": 1}, ("none", 1, None)),
    ({"dimensions": {"d": D(default="none")}}, {"d": "", "timestamp": 1}, ("none", 1, None)),
    ({"dimensions": {"d": D(default="none")}}, {"d": 1, "timestamp": 1}, "bad_value"),
    ({"dimensions": {"d": D(accept="scalar")}}, {"d": 1.5, "timestamp": 1}, ("1.5", 1, None)),
    ({"dimensions": {"d": D(accept="scalar")}}, {"d": True, "timestamp": 1}, ("true", 1, None)),
    ({"dimensions": {"d": D(accept="scalar")}}, {"d": None, "timestamp": 1}, "bad_value"),
    ({"dimensions": {"d": D("header:h")}}, {"timestamp": 1}, "missing_field"),
    ({"dimensions": (), "timestamp": "kafka"}, {}, (1720622216, None)),
    ({"dimensions": (), "timestamp_format": "ms"}, {"timestamp": 1720622216999},
     (1720622216, None)),
    ({"dimensions": (), "timestamp_format": "ns"}, {"timestamp": "1720622216999999999"},
     (1720622216, None)),
    ({"dimensions": (), "timestamp_format": "rfc3339"},
     {"timestamp": "2024-07-10t16:36:60.5+02:00"}, (1720622219, None)),
    ({"dimensions": (), "timestamp_format": "rfc3339"}, {"timestamp": "2024-07-10T14:36:56"},
     "bad_timestamp"),
    ({"dimensions": (), "timestamp_format": "auto"}, {"timestamp": 1720622216},
     (1720622216, None)),
    ({"dimensions": (), "timestamp_format": "auto"}, {"timestamp": "1720622216123456"},
     (1720622216, None)),
    ({"dimensions": (), "timestamp_format": "auto"}, {"timestamp": 1620622216}, "bad_timestamp"),
])
def test_settings(rules, document, expected):
    assert verdict(document, **rules) == expected


def test_headers_and_frames():
    by_header = {"dimensions": {"d": D("header:h")}}
    document = {"timestamp": 1, "h": "no"}
    assert verdict(document, headers=[("h", b"1"), ("h", b"2")], **by_header) == ("2", 1, None)
    assert verdict(document, headers=[("h", b"1"), ("h", None)], **by_header) == "bad_value"
    assert verdict(document, headers=[("h", b"\xff")], **by_header) == "bad_value"
    framed = {"dimensions": (), "framing": "confluent"}
    assert verdict(document, prefix=b"\0\0\0\0\1", **framed) == (1, None)
    assert verdict(document, **framed) == (1, None)
    assert verdict(document, prefix=b"\0\0\0\0\1", dimensions=()) == "not_json"


def test_the_future_is_measured_from_the_records_own_time():
    assert reason(GOOD, NOW_MS - 3600_000) is None
    assert reason(GOOD, NOW_MS - 3600_001) == "bad_timestamp"


def test_expected_counts_and_outputs():
    records = [oracle.Record(1, n, None, GOOD[:-1] + b',"user_id":"u"}', NOW_MS, None)
               for n in range(11)]
    records.append(oracle.Record(0, 0, b"k", b"[]", NOW_MS, [("h", b"1")]))
    expected = oracle.Expected(records)
    assert expected.snapshot() == {
        "Logins by Device Type": {"ios": 11}, "Logins by Locale": {"PA": 11},
        "Logins Over Time": {"2024-07-10 14:36": 11}, "Rejected": {"not_object": 1}}
    assert expected.anomalies == {"2024-07-10 14:36"}
    assert expected.days == {"2024-07-10": {"14:36": 11}}
    assert [r.key for r in expected.published[1]] == [b"u"] * 11
    numbers = (b"5", b"-0", b"1.50E+3", b"12345678901234567890", b"true")
    keyed = oracle.Expected(oracle.Record(1, n, None, GOOD[:-1] + b',"user_id":' + user_id + b"}",
                                             NOW_MS, None) for n, user_id in enumerate(numbers))
    assert [r.key for r in keyed.published[1]] == [*numbers[:-1], None]
    assert expected.refused[0] == [(records[-1], "not_object")]
    assert oracle.Expected(records[:10]).anomalies == set()


@pytest.mark.parametrize("text, hashed", [
    # The values from Kafka's UtilsTest.
    (b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971), (b"abc", 479470107),
])
def test_murmur2(text, hashed):
    assert oracle.murmur2(text) == hashed
