"""Seeded login events of every kind, written to Kafka and recorded exactly."""

import json
import random
import threading
import time

from confluent_kafka import Producer

import oracle
import wait

#: 2024-07-10 00:00 UTC, the first day of the load.
DAY_0 = 1720569600
TODAY_MS = int(time.time() * 1000)
#: Number of days over which ordinary logins spread.
SPREAD_DAYS = 10
#: Bursts use minutes of their own, on the days before DAY_0.
BURST_SIZES = (2, 9, 10, 11, 12, 25)

_DEVICES = ["android"] * 6 + ["iOS"] * 5 + ["web"] * 3 + [
    "smart tv", "täblet", "電話", "a:b", "__proto__", 'quo"te', "back\\slash", "tab\there", "📱",
    "x" * 128, "é" * 64]
_LOCALES = [a + b for a in "ABCDEFGHIJKLMNO" for b in "PRSTUVW"] + ["zh-Hans-CN", "no/where", " "]
HEADERS = [None, None, None, [("trace", b"4bf92f35")],
           [("a", b""), ("a", None), ("ü", b"\xff\0")]]


def spelled(document, rng):
    """Returns a document as JSON bytes in one of many equally valid spellings."""
    items = list(document.items())
    if rng.random() < 0.3:
        rng.shuffle(items)
    if rng.random() < 0.8:
        return json.dumps(dict(items), separators=(",", ":"),
                          ensure_ascii=rng.random() < 0.5).encode()
    text = json.dumps(dict(items), indent=rng.choice([None, 1, "\t"]),
                      ensure_ascii=rng.random() < 0.5)
    return (rng.choice(["", " ", "\r\n"]) + text + rng.choice(["", "\n", " \t"])).encode()


def plain(second, rng):
    """Returns an ordinary login as a document."""
    return {"user_id": f"{rng.getrandbits(64):016x}-{rng.randrange(500):04d}",
            "app_version": rng.choice(["2.3.0", "2.2.9", "3.0.0-rc1"]),
            "ip": f"{rng.randrange(1, 224)}.{rng.randrange(256)}.3.2",
            "locale": rng.choice(_LOCALES), "device_id": f"{rng.getrandbits(48):012x}",
            "timestamp": second, "device_type": rng.choice(_DEVICES)}


def _insert(text, extra, at_end):
    """Returns the JSON text of an object with extra members before the first or after the last."""
    if at_end:
        return text[:text.rindex(b"}")] + b"," + extra + b"}"
    start = text.index(b"{")
    return text[:start + 1] + extra + b"," + text[start + 1:]


def odd(second, rng):
    """Returns an accepted login in an unusual form: (value, seconds Kafka's time is behind)."""
    login = plain(second, rng)
    kind = rng.randrange(12)
    if kind == 0:
        login["timestamp"] = str(second)
    elif kind == 1:
        return spelled(login, rng).replace(b"%d" % second, b"%d.0" % second), 0
    elif kind == 2:
        spelling = rng.choice([b"%d0E-1" % second, b"%d.%09de+9" % divmod(second, 10**9)])
        return spelled(login, rng).replace(b"%d" % second, spelling), 0
    elif kind == 3:
        return _insert(spelled(login, rng), b'"locale":5,"timestamp":"x"', at_end=False), 0
    elif kind == 4:
        login["more"] = {"deep": [[[{"locale": 1, "timestamp": []}]]], "n": [0.5e-3, -0, None]}
    elif kind == 5:
        del login["user_id"]
    elif kind == 6:
        return spelled(login, rng), 3600
    elif kind == 7:
        text = spelled(login, rng)
        return text.replace(b'"device_type"', b'"\\u0064evice_typ\\u0065"'), 0
    elif kind == 8:
        return _insert(spelled(login, rng), b'"locale":"\\ud83d\\ude00 last"', at_end=True), 0
    elif kind == 9:
        return b"\xef\xbb\xbf" + spelled(login, rng), 0
    elif kind == 10:
        return _insert(spelled(login, rng), b'"\\ud800":["\\udfff",-1e999]', at_end=True), 0
    else:
        login["timestamp"] = "000" + str(second)
    return spelled(login, rng), 0


def refused(second, rng):
    """Returns a record to be rejected, for any reason: (value, seconds Kafka's time is behind)."""
    login = plain(second, rng)
    text = spelled(login, rng)
    reason = rng.choice(oracle.REASONS)
    if reason == oracle.EMPTY:
        return rng.choice([None, b""]), 0
    if reason == oracle.NOT_JSON:
        return rng.choice([
            b" ", b"{", b"login", text[:rng.randrange(1, text.rindex(b"}"))], text + b"x",
            text + text, _insert(text, b'"x":NaN', True), _insert(text, b'"x":01', True),
            _insert(text, b'"x":-Infinity', False), _insert(text, b'"x":"\x01"', True),
            _insert(text, b'"x":"\xff"', True), _insert(text, b'"x":"\xed\xa0\x80"', True),
            _insert(text, b'"x":"\\x41"', True), _insert(text, b"", True), b" \xef\xbb\xbf" + text,
            text.replace(b'"', b"'"), b"\0\0", text + b"\0", _insert(text, b'"x":"\xc0\xaf"', True)
        ]), 0
    if reason == oracle.NOT_OBJECT:
        return rng.choice([b"[]", b"42", b'"text"', b"null", b"true", b" -1.5e3",
                           b"[" + text + b"]"]), 0
    if reason == oracle.MISSING_FIELD:
        missing = rng.choice(["locale", "device_type", "timestamp"])
        if rng.random() < 0.5:
            login[missing.upper()] = login[missing]
        if rng.random() < 0.3:
            login["locale"] = ""
        del login[missing]
    elif reason == oracle.BAD_VALUE:
        login[rng.choice(["locale", "device_type"])] = rng.choice(
            [None, 5, 1.5, True, [], {}, "", "y" * 129, "é" * 65])
        if rng.random() < 0.2:
            login["timestamp"] = "soon"
    else:
        login["timestamp"] = rng.choice(
            [None, True, [], {}, "", "soon", f"{second}.0", f" {second}", "-5", "+5", -5,
             second + 0.5, second * 1000, "9" * 30, "1e9", "１７"])
        if rng.random() < 0.2:
            login["timestamp"] = second
            return spelled(login, rng), 3601
    return spelled(login, rng), 0


class Events:
    """An endless series of events, determined by the seed."""

    def __init__(self, seed, partitions=4, refused_percent=10, odd_percent=10, tagged=False):
        self._rng = random.Random(seed)
        self._partitions = partitions
        self._refused = refused_percent / 100
        self._odd = odd_percent / 100
        self._tagged = tagged
        self._serial = 0
        self._burst_minute = DAY_0
        self._pending = []  # timestamps that bursts still have to send

    def _second(self):
        rng = self._rng
        if not self._pending and rng.random() < 0.01:
            for _ in range(rng.randrange(1, 4)):
                self._burst_minute -= 60
                self._pending += [self._burst_minute + rng.randrange(60)
                                  for _ in range(rng.choice(BURST_SIZES))]
            rng.shuffle(self._pending)
        if self._pending and rng.random() < 0.5:
            return self._pending.pop()
        return DAY_0 + rng.randrange(SPREAD_DAYS * 86400)

    def make(self):
        """Returns the next event: (partition, key, value, timestamp_ms, headers).

        With `tagged` its headers contain a unique number, `test.serial`.
        """
        rng = self._rng
        second = self._second()
        drawn = rng.random()
        if drawn < self._refused:
            value, ahead_s = refused(second, rng)
        elif drawn < self._refused + self._odd:
            value, ahead_s = odd(second, rng)
        else:
            value, ahead_s = spelled(plain(second, rng), rng), 0
        # Kafka's timestamp is today unless the login must be in its future: a restarted broker
        # forgets an idempotent producer whose last records are older than a day.
        timestamp_ms = (second - ahead_s) * 1000 if ahead_s else TODAY_MS + rng.randrange(3000)
        key = None if rng.random() < 0.6 else f"key-{rng.randrange(1000)}".encode()
        headers = rng.choice(HEADERS)
        self._serial += 1
        if self._tagged:
            headers = [*(headers or []), ("test.serial", str(self._serial).encode())]
        return rng.randrange(self._partitions), key, value, timestamp_ms, headers


class Load:
    """Writes events into one topic, and lists in `records` what Kafka acknowledged."""

    def __init__(self, broker, topic, events):
        self.topic = topic
        self.records = []
        self._events = events
        self._producer = Producer({
            "bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 5,
            "reconnect.backoff.max.ms": 500, "message.timeout.ms": 120000, "log_level": 0,
            "queue.buffering.max.messages": 200000, "message.max.bytes": 2000000})

    def make_event(self):
        """Returns the next event without sending it; see Events.make."""
        return self._events.make()

    def send(self, partition, key, value, timestamp_ms, headers=None):
        """Sends one record made by the caller."""
        def delivered(error, message):
            assert error is None, f"the load's own producer failed: {error}"
            self.records.append(oracle.Record(partition, message.offset(), key, value,
                                              timestamp_ms, headers))

        while True:
            try:
                self._producer.produce(self.topic, value, key, partition, on_delivery=delivered,
                                       timestamp=timestamp_ms, headers=headers)
                return
            except BufferError:
                self._producer.poll(0.1)

    def produce(self, count):
        """Sends count events and waits until all are acknowledged."""
        for n in range(count):
            self.send_next()
            if n % 500 == 0:
                self.poll()
        self.flush()

    def send_next(self):
        """Sends the next event."""
        self.send(*self._events.make())

    def poll(self):
        """Records what has been acknowledged meanwhile."""
        self._producer.poll(0)

    def flush(self):
        """Waits until everything sent is acknowledged."""
        left = self._producer.flush(120)
        assert left == 0, f"{left} records of the load were not acknowledged"

    def feed(self, per_second):
        """Returns a context in which a thread sends events at about this rate."""
        return _Feed(self, per_second)


class _Feed:
    def __init__(self, load, per_second):
        self._load = load
        self._per_second = per_second
        self._stop = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            started, sent = time.monotonic(), 0
            while not self._stop.is_set():
                due = int((time.monotonic() - started) * self._per_second)
                while sent < due and not self._stop.is_set():
                    self._load.send_next()
                    sent += 1
                self._load.poll()
                self._stop.wait(0.02)
            self._load.flush()
        except BaseException as error:  # raised again in the test's thread
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def wait_for_more(self, count, seconds=60):
        """Waits until count more records are acknowledged."""
        goal = len(self._load.records) + count
        wait.until(lambda: self._error or len(self._load.records) >= goal, seconds,
                   lambda: f"{goal} records to be acknowledged, now {len(self._load.records)}")
        if self._error:
            raise self._error
