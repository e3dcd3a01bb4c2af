"""Computes what rollcall must produce from given input, written from its interface alone.

It shares nothing with the program: it uses another language and another JSON parser, does not
stream, and keeps no state between records. It is slow and simple on purpose.
"""

import collections
import datetime
import decimal
import fractions
import json
import re
import time

import hyperloglog

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
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?"
                      r"(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAYS_BACK = 400

#: One input record as stored in Kafka: key and value are bytes or None, headers a list of
#: (name, bytes or None), timestamp_ms Kafka's timestamp, or -1 if it has none.
Record = collections.namedtuple("Record", "partition offset key value timestamp_ms headers")

#: The content of an accepted record: dimensions is name -> value (str), second is Unix time,
#: user_id is the key for a record without one, or None.
Login = collections.namedtuple("Login", "dimensions second user_id")


class Rejected(Exception):
    """The record is not a valid login; str() is the reason."""


#: Where the value of a dimension is, and what else than text may be there.
Dimension = collections.namedtuple("Dimension", "source default accept",
                                   defaults=(None, None, "string"))

#: A declared count: names of dimensions, and "none", "day", "hour" or "minute"; unique: whether the
#: different keys of records without one ([input] key, user_id) are counted instead of events.
Count = collections.namedtuple("Count", "by every unique", defaults=((), "none", False))

_BUCKET_CHARACTERS = {"none": 0, "day": 10, "hour": 13, "minute": 16}

_MISSING = object()  # instead of what a field holds
_NULL_HEADER = object()


class _Number(str):
    """A number as it is written."""

    @property
    def is_beyond_a_double(self):
        """Whether it has no finite value as a double."""
        return float(self) in (float("inf"), float("-inf"))


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse(value):
    """Parses value strictly as RFC 8259 JSON in UTF-8; raises ValueError if it is not."""
    return json.loads(value.decode("utf-8", "strict"), parse_constant=_refuse_constant,
                      parse_int=_Number, parse_float=_Number)


def _step(node, name):
    """What one step of a JSON Pointer leads to."""
    if isinstance(node, dict):
        return node.get(name, _MISSING)
    if isinstance(node, list) and re.fullmatch("0|[1-9][0-9]*", name, re.ASCII):
        return node[int(name)] if int(name) < len(node) else _MISSING
    return _MISSING


def _find(document, headers, source):
    """What a name, a JSON Pointer or header:NAME leads to."""
    if source.startswith("header:"):
        found = [value for name, value in headers or () if name == source[len("header:"):]]
        if not found:
            return _MISSING
        if found[-1] is None:
            return _NULL_HEADER
        return found[-1].decode("utf-8", "surrogateescape")
    if not source.startswith("/"):
        return document.get(source, _MISSING)
    node = document
    for token in source[1:].split("/"):
        node = _step(node, token.replace("~1", "/").replace("~0", "~"))
    return node


def _is_broken(found):
    """Whether it is JSON by its grammar alone: it cannot be encoded, or is no finite number."""
    if isinstance(found, _Number):
        return found.is_beyond_a_double
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError:
            return True
    return False


def _number(found):
    """The value of a whole number or of a string of digits, else None."""
    if isinstance(found, _Number):
        value = fractions.Fraction(decimal.Decimal(found))
        return int(value) if value.denominator == 1 else None
    return int(found) if isinstance(found, str) and _DIGITS.fullmatch(found) else None


def _rfc3339(text):
    """Seconds since 1970, or None."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    *fields, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = (int(field) for field in fields)
    if second > 60 or int(hours or 0) > 23 or int(minutes or 0) > 59:
        return None
    try:  # in a cycle of 400 years that datetime knows, whatever the year
        moment = datetime.datetime(year % 400 + 2000, month, day, hour, minute, min(second, 59),
                                   tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    offset = (int(hours or 0) * 60 + int(minutes or 0)) * 60 * (-1 if sign == "-" else 1)
    cycles = (year - (year % 400 + 2000)) // 400
    return int(moment.timestamp()) + cycles * 146097 * 86400 - offset


def _time(found, timestamp_ms, style, max_future_s):
    """The time as a fraction of seconds since 1970; raises Rejected."""
    last = (fractions.Fraction(timestamp_ms, 1000) + max_future_s if timestamp_ms >= 0
            else MAX_SECOND + 1)
    if isinstance(found, str) and not _is_broken(found) and len(found) < 4000:
        number = _number(found)
        if style in _UNITS:
            times = [] if number is None else [fractions.Fraction(number, _UNITS[style])]
        elif style == "auto" and number is not None:
            first = fractions.Fraction(timestamp_ms, 1000) - _DAYS_BACK * 86400
            times = [time_ for time_ in (fractions.Fraction(number, unit)
                                         for unit in _UNITS.values())
                     if timestamp_ms >= 0 and first <= time_ <= last and 0 <= time_ < MAX_SECOND + 1]
        elif isinstance(found, _Number):
            times = []
        else:
            times = [time_ for time_ in [_rfc3339(found)] if time_ is not None]
        if len(times) == 1 and 0 <= times[0] < MAX_SECOND + 1 and times[0] <= last:
            return times[0]
    raise Rejected(BAD_TIMESTAMP)


def _dimension(found, rule):
    """The value that is counted; raises Rejected. Not called for a field that is missing."""
    if rule.default is not None and (found is None or found is _NULL_HEADER or found == ""):
        return rule.default
    if rule.accept == "scalar" and isinstance(found, bool):
        found = "true" if found else "false"
    is_text = isinstance(found, str) and (rule.accept == "scalar" or not isinstance(found, _Number))
    if not is_text or _is_broken(found) or not 0 < len(found.encode()) <= MAX_VALUE_BYTES:
        raise Rejected(BAD_VALUE)
    return str(found)


def _unframed(value, framing):
    """What is judged of a value."""
    if not value:
        raise Rejected(EMPTY)
    if framing == "confluent" and value[0] == 0:
        if len(value) < 5:
            raise Rejected(NOT_JSON)
        value = value[5:]
        if not value:
            raise Rejected(EMPTY)
    return value.removeprefix(b"\xef\xbb\xbf")


def judge(value, timestamp_ms, dimensions=DIMENSIONS, max_future_s=MAX_FUTURE_S, headers=(),
          timestamp="timestamp", timestamp_format="s", key="user_id", framing="none"):
    """Returns the Login in a record, or raises Rejected with the reason.

    dimensions: names, or name -> Dimension.
    """
    if not isinstance(dimensions, dict):
        dimensions = {name: Dimension() for name in dimensions}
    try:
        document = parse(_unframed(value, framing))
    except ValueError:
        raise Rejected(NOT_JSON) from None
    if not isinstance(document, dict):
        raise Rejected(NOT_OBJECT)
    found = {name: _find(document, headers, rule.source or name)
             for name, rule in dimensions.items()}
    when = None if timestamp == "kafka" else _find(document, headers, timestamp)
    if when is _MISSING or any(found[name] is _MISSING and rule.default is None
                               for name, rule in dimensions.items()):
        raise Rejected(MISSING_FIELD)
    values = {name: rule.default if found[name] is _MISSING else _dimension(found[name], rule)
              for name, rule in dimensions.items()}
    own_key = _find(document, (), key)
    if _is_broken(own_key):
        raise Rejected(BAD_VALUE)
    if timestamp == "kafka":
        if not 0 <= timestamp_ms < (MAX_SECOND + 1) * 1000:
            raise Rejected(BAD_TIMESTAMP)
        second = timestamp_ms // 1000
    else:
        second = int(_time(when, timestamp_ms, timestamp_format, max_future_s))
    return Login(values, second, str(own_key) if isinstance(own_key, str) else None)


def verdict(record, **rules):
    """Returns the reason why record is rejected, or None if it is accepted."""
    try:
        judge(record.value, record.timestamp_ms, headers=record.headers, **rules)
    except Rejected as reason:
        return str(reason)
    return None


def minute_of(second):
    """Returns the UTC minute as "YYYY-MM-DD HH:MM"."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(second))


def bucket_of(minute, every):
    """Returns the bucket of "2024-07-10 14:36": "2024-07-10T14:36" or less of it, or ""."""
    return minute.replace(" ", "T")[:_BUCKET_CHARACTERS[every]]


def joined(values):
    """Returns the value that is counted for one or several dimensions."""
    if len(values) == 1:
        return values[0]
    return "|".join(re.sub(r"([|\\])", r"\\\1", value) for value in values)


class Expected:
    """What must be in Redis and in the output topics once all given records are processed.

    dimensions: name -> value -> logins; minutes: "YYYY-MM-DD HH:MM" -> logins; rejected: reason ->
    records; counts: name -> bucket -> value -> events, of declared counts by dimensions, and name ->
    bucket -> events of others; with unique -> set of values instead of events, or what
    hyperloglog.registers makes of them; published: partition
    -> list of Record as a reader must see them, in order; refused: partition -> list of (Record,
    reason) of the rejected ones, in order.
    """

    def __init__(self, records=(), dimensions=DIMENSIONS, threshold=THRESHOLD, counts=None,
                 **rules):
        self.threshold = threshold
        self._declared = counts or {}
        self.counts = {name: collections.defaultdict(collections.Counter) if count.by
                       else collections.Counter() for name, count in self._declared.items()}
        self._rules = {"dimensions": dimensions, **rules}
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
            login = judge(record.value, record.timestamp_ms, headers=record.headers,
                          **self._rules)
        except Rejected as reason:
            self.rejected[str(reason)] += 1
            self.refused[record.partition].append((record, str(reason)))
            return
        self._count(login.dimensions, minute_of(login.second), 1)
        for name, count in self._declared.items():
            if count.unique and login.user_id:
                bucket = bucket_of(minute_of(login.second), count.every)
                self._users_of(count, name, bucket, login.dimensions).add(login.user_id)
        if record.key is None and login.user_id is not None:
            record = record._replace(key=login.user_id.encode())
        self.published[record.partition].append(record)

    def _users_of(self, declared, name, bucket, dimensions):
        if not declared.by:
            return self.counts[name].setdefault(bucket, set())
        value = joined([dimensions[dimension] for dimension in declared.by])
        return self.counts[name].setdefault(bucket, {}).setdefault(value, set())

    def _count(self, dimensions, minute, events):
        """Counts accepted events that have all this in common."""
        for name, value in dimensions.items():
            self.dimensions[name][value] += events
        self.minutes[minute] += events
        for name, declared in self._declared.items():
            bucket = bucket_of(minute, declared.every)
            if declared.unique:
                continue
            if declared.by:
                value = joined([dimensions[dimension] for dimension in declared.by])
                self.counts[name][bucket][value] += events
            else:
                self.counts[name][bucket] += events

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

    @property
    def count_keys(self):
        """The declared counts as stored in Redis: key without prefix -> member or field -> events,
        or what is in a HyperLogLog."""
        found = collections.defaultdict(dict)
        for name, declared in self._declared.items():
            for bucket, counts in self.counts[name].items():
                key = f"count:{name}:{bucket}".rstrip(":")
                if declared.unique and declared.by:
                    found.update({f"{key}:{value}": users for value, users in counts.items()})
                elif declared.unique:
                    found[key] = counts
                elif declared.by:
                    found[key] = dict(counts)
                elif declared.every == "day":
                    found[f"count:{name}"][bucket] = counts
                else:
                    day, clock = bucket.split("T")
                    found[f"count:{name}:{day}"][clock] = counts
        return dict(found)

    def snapshot(self):
        """Returns what `rollcall snapshot` must print."""
        found = {"Logins by Device Type": dict(self.dimensions["device_type"]),
                 "Logins by Locale": dict(self.dimensions["locale"]),
                 "Logins Over Time": dict(self.minutes),
                 "Rejected": dict(self.rejected)}
        if self._declared:
            found["Counts"] = {name: self._shown(name) for name in self._declared}
        return found

    def _shown(self, name):
        counts, declared = self.counts[name], self._declared[name]
        if declared.unique and declared.by:
            counts = {bucket: {value: hyperloglog.count(users) for value, users in values.items()}
                      for bucket, values in counts.items()}
        elif declared.unique:
            shown = {bucket: hyperloglog.count(values) for bucket, values in counts.items()}
            return shown.get("", 0) if declared.every == "none" else shown
        if not declared.by:
            return dict(counts)
        if declared.every == "none":
            return dict(counts.get("", {}))
        return {bucket: dict(values) for bucket, values in counts.items()}


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
