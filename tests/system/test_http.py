"""The pages of an instance always answer, whatever other clients, Redis or Kafka do."""

import contextlib
import datetime
import hashlib
import http.client
import json
import socket
import threading
import time

import pytest

import wait

PROBED = ("/healthz", "/readyz", "/metrics")
WITHIN_S = 0.1
PLACES = 64


def _connect(instance):
    return socket.create_connection(("127.0.0.1", instance.http_port), timeout=60)


def _ask(instance, path, method="GET", host=None, timeout=30):
    """Returns (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.http_port, timeout=timeout)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"localhost:{instance.http_port}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def _probe(instance, rounds=10):
    """Every probe is answered, nearly all within 100 ms: this machine has other things to do."""
    took = []
    for _ in range(rounds):
        for path in PROBED:
            started = time.monotonic()
            status, _, body = _ask(instance, path, timeout=5)
            took.append(time.monotonic() - started)
            assert status in (200, 503) and body, (path, status, body)
    late = [seconds for seconds in took if seconds > WITHIN_S * wait.factor]
    assert len(late) <= len(took) // 10, sorted(took)


@contextlib.contextmanager
def _pollers(instance, path, count):
    """Clients that ask for a page again and again; yields the list of answers' statuses."""
    stop, statuses = threading.Event(), []

    def poll():
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses.append(_ask(instance, path)[0])

    threads = [threading.Thread(target=poll) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield statuses
    stop.set()
    for thread in threads:
        thread.join(120)


def test_probes_are_answered_while_redis_hangs_and_counts_are_polled(world):
    world.create_input()
    instance = world.run(redis__timeout_ms=3000).wait_ready()
    world.redis_server.pause()
    try:
        with _pollers(instance, "/counts", 40) as statuses:
            time.sleep(1)
            _probe(instance)
            status, _, body = _ask(instance, "/counts?scope=instance", timeout=5)
            assert status == 200 and "Rejected" in json.loads(body)
            wait.until(lambda: len(statuses) > 50, 60, lambda: f"answers: {statuses}")
            assert set(statuses) == {503}
    finally:
        world.redis_server.resume()
    wait.until(lambda: _ask(instance, "/counts")[0] == 200, 30, "/counts to come back")
    instance.stop()


def test_probes_are_answered_while_others_hold_connections(world):
    """Silent clients, and clients that send a byte from time to time, are ended for new ones."""
    world.create_input()
    instance = world.run().wait_ready()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(_connect(instance)) for _ in range(2 * PLACES)]
        _probe(instance, 5)
        started = time.monotonic()
        open_ones = held[PLACES:]
        while time.monotonic() < started + 12:
            for one in list(open_ones):
                try:
                    one.send(b"x")
                except OSError:
                    open_ones.remove(one)
            _probe(instance, 2)
            time.sleep(0.5)
        assert not open_ones, f"{len(open_ones)} unfinished requests are still open"
    instance.stop()


def test_what_is_answered_and_what_is_refused(world):
    world.create_input()
    instance = world.run().wait_ready()
    port = instance.http_port
    for path in (*PROBED, "/", "/counts", "/counts?scope=instance", "/no-such-page"):
        for method in ("GET", "HEAD"):
            status, headers, body = _ask(instance, path, method)
            assert status == (404 if path == "/no-such-page" else 200)
            assert headers["X-Content-Type-Options"] == "nosniff"
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert "unsafe-" not in policy
            assert not [name for name in headers if name.lower().startswith("access-control")]
            assert bool(body) == (method == "GET")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            status, headers, _ = _ask(instance, path, method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
        for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example"):
            assert _ask(instance, path, host=host)[0] == 403
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]:1"):
            assert _ask(instance, path, host=host)[0] != 403
    instance.stop()


MEMORY_MB = 256
DIMENSIONS = [f"d{n}" for n in range(8)]


def _fill_days(client, prefix, count):
    """Writes the newest `count` days before 2024-07-10 with a login in each minute."""
    first = datetime.date(2024, 7, 10) - datetime.timedelta(days=count)
    for n in range(count):
        day = (first + datetime.timedelta(days=n)).isoformat()
        client.eval("""
            local words = {}
            for m = 0, 1439 do
                words[2 * m + 1] = string.format('%02d:%02d', math.floor(m / 60), m % 60)
                words[2 * m + 2] = 1
            end
            redis.call('HSET', KEYS[1], unpack(words))
            redis.call('ZADD', KEYS[2], 9999999999, ARGV[1])""",
                    2, f"{prefix}:login_counts:{day}", f"{prefix}:login_days", day)


def _digest(instance, answers):
    """Reads /counts without parsing it, which would keep other threads from reading."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.http_port, timeout=200)
    with contextlib.closing(connection):
        connection.request("GET", "/counts")
        response, digest = connection.getresponse(), hashlib.sha256()
        while piece := response.read(1 << 20):
            digest.update(piece)
        answers.append((response.status, digest.hexdigest()))


@pytest.mark.timeout(400)
def test_memory_holds_whatever_is_configured_sent_and_asked(world):
    """64 shards, 8 dimensions, two million values, 4,000 days and ten requests at once."""
    count, days, at_ms = 250_000, 4000, 1720622216000
    world.create_input()
    with world.redis_server.client() as client:
        _fill_days(client, world.prefix, days)
    load = world.make_load()
    for n in range(count):
        values = ",".join(f'"{name}":"{name}-of-login-{n}"' for name in DIMENSIONS)
        load.send(n % 4, b"k", b'{%s,"timestamp":1720622216}' % values.encode(), at_ms)
        load.poll()
    load.flush()
    instance = world.run(aggregate__dimensions=",".join(DIMENSIONS), instance__shards=64,
                         instance__memory_mb=MEMORY_MB, aggregate__max_days=days + 1)
    world.wait_quiet(seconds=200)
    own = json.loads(_ask(instance, "/counts?scope=instance", timeout=5)[2])
    for name in DIMENSIONS:
        values = own[f"Logins by {name.title()}"]
        assert sum(values.values()) == count and len(values) == 10001
    assert own["Logins Over Time"] == {"2024-07-10 14:36": count}
    body = _ask(instance, "/counts", timeout=60)[2]
    expected = (200, hashlib.sha256(body.encode()).hexdigest())
    minutes = json.loads(body)["Logins Over Time"]
    assert len(minutes) == days * 1440 + 1
    assert [list(minutes)[n][:10] for n in (0, 1, -1)] == ["2024-07-10", "2024-07-09", "2013-07-28"]
    answers = []
    threads = [threading.Thread(target=_digest, args=(instance, answers)) for _ in range(10)]
    for thread in threads:
        thread.start()
    _probe(instance, 20)
    for thread in threads:
        thread.join(200)
    assert answers == [expected] * 10, answers
    held = {dict(labels)["module"]: value for (name, labels), value in instance.metrics().items()
            if name == "rollcall_memory_bytes"}
    assert held["totals"] > 1e6 and sum(held.values()) < MEMORY_MB * 2**20 / 2, held
    assert instance.peak_memory_mb() <= 1.25 * MEMORY_MB
    instance.stop()
