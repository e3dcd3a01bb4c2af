"""Computes what rollcall must produce from given input, written from its interface alone.

It shares nothing with the program: it uses another language and another JSON parser, does not
stream, and keeps no state between records. It is slow and simple on purpose.
"""

import collections
import json
import re
import time

DIMENSIONS = ("device_type", "locale")
MAX_VALUE_BYTES = 128
MAX_FUTURE_S = 3600
MAX_SECOND = 253402300799  # the end of 9999
THRESHOLD = 10

EMPTY, NOT_JSON, NOT_OBJECT = "empty", "not_json", "not_object"
MISSING_FIELD, BAD_VALUE, BAD_TIMESTAMP = "missing_field", "bad_value", "bad_timestamp"
#: In the order of checking: if several apply, the first one is the verdict.
REASONS = (EMPTY, NOT_JSON, NOT_OBJECT, MISSING_FIELD, BAD_VALUE, BAD_TIMESTAMP)

_DIGITS = re.compile(r"[0-9]+", re.ASCII)

#: One input record as stored in Kafka: key and value are bytes or None, headers a list of
#: (name, bytes or None), timestamp_ms Kafka's timestamp, or -1 if it has none.
Record = collections.namedtuple("Record", "partition offset key value timestamp_ms headers")

#: The content of an accepted record: dimensions is name -> value (str), second is Unix time.
Login = collections.namedtuple("Login", "dimensions second user_id")


class Rejected(Exception):
    """The record is not a valid login; str() is the reason."""


class _Written(str):
    """A number as it is written."""


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse(value):
    """Parses value strictly as RFC 8259 JSON in UTF-8; raises ValueError if it is not."""
    return json.loads(value.decode("utf-8", "strict"), parse_constant=_refuse_constant)


def _whole_seconds(found):
    """Returns found as whole seconds since 1970, or None."""
    if isinstance(found, bool):
        return None
    if isinstance(found, str):
        return int(found) if len(found) < 4000 and _DIGITS.fullmatch(found) else None
    if isinstance(found, float):
        return int(found) if found.is_integer() and found >= 0 else None
    if isinstance(found, int):
        return found if found >= 0 else None
    return None


def judge(value, timestamp_ms, dimensions=DIMENSIONS, max_future_s=MAX_FUTURE_S):
    """Returns the Login in a record, or raises Rejected with the reason."""
    if not value:
        raise Rejected(EMPTY)
    try:
        document = parse(value)
    except ValueError:
        raise Rejected(NOT_JSON) from None
    if not isinstance(document, dict):
        raise Rejected(NOT_OBJECT)
    if any(name not in document for name in (*dimensions, "timestamp")):
        raise Rejected(MISSING_FIELD)
    for name in dimensions:
        text = document[name]
        if not isinstance(text, str) or not 0 < len(text.encode()) <= MAX_VALUE_BYTES:
            raise Rejected(BAD_VALUE)
    second = _whole_seconds(document["timestamp"])
    if second is None or second > MAX_SECOND or (
            0 <= timestamp_ms < (second - max_future_s) * 1000):
        raise Rejected(BAD_TIMESTAMP)
    user_id = json.loads(value.decode(), parse_int=_Written, parse_float=_Written).get("user_id")
    return Login({name: document[name] for name in dimensions}, second,
                 user_id if isinstance(user_id, str) else None)


def verdict(record, **rules):
    """Returns the reason why record is rejected, or None if it is accepted."""
    try:
        judge(record.value, record.timestamp_ms, **rules)
    except Rejected as reason:
        return str(reason)
    return None


def minute_of(second):
    """Returns the UTC minute as "YYYY-MM-DD HH:MM"."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(second))


class Expected:
    """What must be in Redis and in the output topics once all given records are processed.

    dimensions: name -> value -> logins; minutes: "YYYY-MM-DD HH:MM" -> logins; rejected: reason ->
    records; published: partition -> list of Record as a reader must see them, in order; refused:
    partition -> list of (Record, reason) of the rejected ones, in order.
    """

    def __init__(self, records=(), dimensions=DIMENSIONS, threshold=THRESHOLD,
                 max_future_s=MAX_FUTURE_S):
        self.threshold = threshold
        self._rules = {"dimensions": dimensions, "max_future_s": max_future_s}
        self.dimensions = {name: collections.Counter() for name in dimensions}
        self.minutes = collections.Counter()
        self.rejected = collections.Counter()
        self.published = collections.defaultdict(list)
        self.refused = collections.defaultdict(list)
        for record in sorted(records, key=lambda r: (r.partition, r.offset)):
            self.add(record)

    def add(self, record):
        """Adds one record, which must follow the earlier ones of its partition."""
        try:
            login = judge(record.value, record.timestamp_ms, **self._rules)
        except Rejected as reason:
            self.rejected[str(reason)] += 1
            self.refused[record.partition].append((record, str(reason)))
            return
        for name, value in login.dimensions.items():
            self.dimensions[name][value] += 1
        self.minutes[minute_of(login.second)] += 1
        if record.key is None and login.user_id is not None:
            record = record._replace(key=login.user_id.encode())
        self.published[record.partition].append(record)

    @property
    def accepted_count(self):
        """The number of accepted records."""
        return sum(len(records) for records in self.published.values())

    @property
    def rejected_count(self):
        """The number of rejected records."""
        return sum(self.rejected.values())

    @property
    def anomalies(self):
        """The minutes over the threshold."""
        return {minute for minute, count in self.minutes.items() if count > self.threshold}

    @property
    def days(self):
        """The minute counts as stored in Redis: "YYYY-MM-DD" -> "HH:MM" -> logins."""
        found = collections.defaultdict(dict)
        for minute, count in self.minutes.items():
            day, clock = minute.split(" ")
            found[day][clock] = count
        return dict(found)

    def snapshot(self):
        """Returns what `rollcall snapshot` must print."""
        return {"Logins by Device Type": dict(self.dimensions["device_type"]),
                "Logins by Locale": dict(self.dimensions["locale"]),
                "Logins Over Time": dict(self.minutes),
                "Rejected": dict(self.rejected)}


def _signed(number):
    number &= 0xffffffff
    return number - (1 << 32) if number & 0x80000000 else number


def murmur2(data):
    """Computes MurmurHash2 like Kafka's Java clients (32 bits, seed 0x9747b28c)."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = (0x9747b28c ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return _signed(h ^ (h >> 15))


def java_partition(key, partition_count):
    """Returns the partition that Java's default partitioner picks for this key."""
    return (murmur2(key) & 0x7fffffff) % partition_count
