"""The pages of an instance always answer, whatever other clients, Redis or Kafka do."""

import contextlib
import http.client
import json
import socket
import threading
import time

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
