"""The input of a chaos run: record n of partition p is a pure function of (seed, p, n).

So the harness need not remember what it sent. Most records come from a bank of templates, which
each partition cycles through. The system tests' generator makes the templates and their oracle
judges them. Every FRESH_EVERYth record is a login in a minute that advances, so that throughout a
run minutes cross the threshold, with logins from several partitions.
"""

import collections
import hashlib
import os
import random
import re
import time

import load
import oracle
import users

#: Templates in the bank, a whole number of FRESH_EVERY.
BANK = 5000
FRESH_EVERY, FRESH_AT = 1000, 500
#: A minute lasts for this many fresh records of a partition. Each of them falls into the minute
#: with a probability of FRESH_CHANCES / 256.
FRESH_A_MINUTE = 4
FRESH_CHANCES = (40, 80, 120, 160, 200, 240)
#: 2024-01-01: fresh minutes start here, far from the days that the load uses.
FRESH_SECOND = 1704067200
#: The Kafka timestamp of most records, the same in all processes of a run. It is recent because a
#: restarted broker forgets an idempotent producer whose last records are older than a day, and
#: would then accept duplicates.
BASE_MS = int(os.environ.setdefault("RC_CHAOS_BASE_MS", str(int(time.time() * 1000))))
#: The counts that the instances declare.
COUNTS = {"locale_by_hour": oracle.Count(("locale",), "hour"),
          "pairs": oracle.Count(("locale", "device_type")),
          "users_by_day": oracle.Count((), "day", unique=True),
          "users_by_device": oracle.Count(("device_type",), unique=True)}
_DISTINCT = {name: count for name, count in COUNTS.items() if count.unique}
#: Minutes that the templates share.
HOT_MINUTES = 80

#: A template record. The value is head + tag + tail, or only head if tail is None. out_key is the
#: key in the output topic, or TAG if the key is the record's own tag. names_user: whether the tag is
#: its user_id, too.
Template = collections.namedtuple(
    "Template", "reason key out_key head tail timestamp_ms headers login names_user")
TAG = object()

_USER_ID = re.compile(rb'[0-9a-f]{16}-[0-9]{4}')
_DEVICE_ID = re.compile(rb'(?<="device_id":")[0-9a-f]{12}')


def tag_of(partition, number):
    """Returns the tag that makes a record unique; it is in the value, the key or both."""
    return b"%d-%d" % (partition, number)


def _make_template(rng, refused_percent, odd_percent):
    second = load.DAY_0 + rng.randrange(HOT_MINUTES) * 3600 + rng.randrange(60)
    drawn = rng.random() * 100
    if drawn < refused_percent:
        value, ahead_s = load.refused(second, rng)
    elif drawn < refused_percent + odd_percent:
        value, ahead_s = load.odd(second, rng)
    else:
        value, ahead_s = load.spelled(load.plain(second, rng), rng), 0
    timestamp_ms = (second - ahead_s) * 1000 if ahead_s else BASE_MS + rng.randrange(3000)
    hole = value and (_USER_ID.search(value) or _DEVICE_ID.search(value))
    head, tail = (value[:hole.start()], value[hole.end():]) if hole else (value, None)
    key = None if hole and rng.random() < 0.6 else f"key-{rng.randrange(1000)}".encode()
    headers = rng.choice(load.HEADERS) if rng.random() < 0.3 else None
    verdicts = [_judge(head, tail, tag, timestamp_ms) for tag in (b"0-7", b"63-1234567890")]
    assert verdicts[0][:2] == verdicts[1][:2], "the tag must not change the verdict"
    reason, login, names_user = verdicts[0]
    out_key = TAG if names_user and key is None else key
    return Template(reason, key, out_key, head, tail, timestamp_ms, headers, login, names_user)


def _judge(head, tail, tag, timestamp_ms):
    """Returns (reason or None, counted fields or None, whether the user_id is the tag)."""
    try:
        login = oracle.judge(head if tail is None else head + tag + tail, timestamp_ms)
    except oracle.Rejected as reason:
        return str(reason), None, False
    assert login.user_id is None or login.user_id == tag.decode(), login
    counted = (*login.dimensions.values(), oracle.minute_of(login.second))
    return None, counted, login.user_id is not None


def _distinct_of(login):
    """The HyperLogLogs that a login's user is in, as (count, bucket, value)."""
    values, minute = dict(zip(oracle.DIMENSIONS, login)), login[-1]
    return [(name, oracle.bucket_of(minute, count.every),
             oracle.joined([values[dimension] for dimension in count.by]) if count.by else "")
            for name, count in _DISTINCT.items()]


class Records:
    """All records of a seed, computed on demand."""

    def __init__(self, seed, refused_percent=10, odd_percent=10):
        rng = random.Random(f"bank {seed}")
        self._bank = [_make_template(rng, refused_percent, odd_percent) for _ in range(BANK)]
        found = collections.Counter(template.reason for template in self._bank)
        assert set(found) == {None, *oracle.REASONS}, found
        self._seed = seed
        self._distinct = [template.names_user and _distinct_of(template.login)
                          for template in self._bank]
        self._users = users.Users(self._user)

    def _fresh_second(self, partition, number):
        turn = number // FRESH_EVERY
        minute = turn // FRESH_A_MINUTE
        text = f"{partition}/{turn}/{self._seed}".encode()
        drawn = hashlib.blake2b(text, digest_size=1).digest()[0]
        if drawn >= FRESH_CHANCES[minute % len(FRESH_CHANCES)]:
            return load.DAY_0
        return FRESH_SECOND + minute * 60

    def _fresh(self, partition, number):
        second = self._fresh_second(partition, number)
        value = b'"locale":"PA","timestamp":%d,"device_type":"android"}' % second
        return Template(None, None, TAG, b'{"user_id":"', b'",' + value, BASE_MS, None,
                        ("android", "PA", oracle.minute_of(second)), True)

    def _user(self, partition, number):
        if number % FRESH_EVERY == FRESH_AT:
            distinct = _distinct_of(self._fresh(partition, number).login)
        else:
            distinct = self._distinct[(number + partition * FRESH_EVERY) % BANK]
        return (distinct, tag_of(partition, number)) if distinct else None

    def template(self, partition, number):
        """Returns the Template of the record with this number in a partition."""
        if number % FRESH_EVERY == FRESH_AT:
            return self._fresh(partition, number)
        return self._bank[(number + partition * FRESH_EVERY) % BANK]

    def expected(self, counts, without=None):
        """Returns what Redis must hold once the first counts[p] records of each p are counted, but
        for those in without: partition -> range."""
        uses, fresh = [0] * BANK, collections.Counter()
        for partition, count in counts.items():
            rounds, rest = divmod(count, BANK)
            shift = partition * FRESH_EVERY
            for at in range(rest):
                uses[(at + shift) % BANK] += 1
            if rounds:
                uses = [n + rounds for n in uses]
            fresh.update(self._fresh_second(partition, number)
                         for number in range(FRESH_AT, count, FRESH_EVERY))
        for partition, numbers in (without or {}).items():
            for number in numbers:
                if number % FRESH_EVERY == FRESH_AT:
                    fresh[self._fresh_second(partition, number)] -= 1
                else:
                    uses[(number + partition * FRESH_EVERY) % BANK] -= 1
        fresh = +fresh
        for at in range(FRESH_AT, BANK, FRESH_EVERY):
            uses[at] = 0
        return Expected(self._bank, uses, fresh, self._users.registers(counts, without or {}))


class Expected(oracle.Expected):
    """The oracle's counts, computed from how often each template was used."""

    def __init__(self, bank, uses, fresh, distinct):
        super().__init__(counts=COUNTS)
        self._accepted_count = sum(fresh.values())
        for template, count in zip(bank, uses):
            if not count:
                continue
            if template.reason:
                self.rejected[template.reason] += count
            else:
                self._add(template.login, count)
        for second, count in fresh.items():
            self._add(("android", "PA", oracle.minute_of(second)), count)
        self._accepted_count = sum(self.minutes.values())
        for (name, bucket, value), registers in distinct.items():
            if COUNTS[name].by:
                self.counts[name].setdefault(bucket, {})[value] = registers
            else:
                self.counts[name][bucket] = registers

    def _add(self, login, count):
        device_type, locale, minute = login
        self._count({"device_type": device_type, "locale": locale}, minute, count)

    @property
    def accepted_count(self):
        return self._accepted_count
