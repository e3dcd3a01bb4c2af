"""Failing allocations: the process still works, or exits and reports that it is out of memory."""

import os
import re
import signal
import subprocess

import pytest

import redis_server
import rollcall
import wait

_HERE = os.path.dirname(os.path.abspath(__file__))
#: The messages of rollcall, the C library, hiredis and liburcu.
_NAMED = re.compile(r"(out of|no) memory|cannot allocate memory|alloc_cds_lfht: Assert",
                    re.IGNORECASE)


class Scarce:
    """Makes processes run out of memory; see scarce.c."""

    def __init__(self, library, report):
        self._library, self._report = library, report

    def environment(self, word, at, forever=False, later=False):
        """Returns an environment in which allocation number `at` of `rollcall WORD` fails.

        With `later`, allocations are counted only from SIGUSR2 on.
        """
        if os.path.exists(self._report):
            os.unlink(self._report)
        return {"LD_PRELOAD": self._library, "SCARCE_WORD": word, "SCARCE_AT": str(at),
                "SCARCE_FOREVER": str(int(forever)), "SCARCE_LATER": str(int(later)),
                "SCARCE_REPORT": self._report}

    def report(self):
        """Returns (whether an allocation failed, number of allocations if the process exited)."""
        if not os.path.exists(self._report):
            return False, None
        with open(self._report) as file:
            lines = file.read().split()
        counts = [int(line) for line in lines if line.isdigit()]
        return "failed" in lines, counts[-1] if counts else None


@pytest.fixture
def scarce(tmp_path):
    library = tmp_path / "scarce.so"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library,
                    os.path.join(_HERE, "scarce.c")], check=True)
    return Scarce(str(library), str(tmp_path / "report"))


def _check_end(status, output, at):
    """Checks that a failed process exited by itself and reported the reason."""
    assert status in (1, 2, -signal.SIGABRT), (at, status, output)
    assert _NAMED.search(output), (at, status, output)


def _sweep(scarce, command, options, forever):
    """Makes each allocation of a command fail once; returns the number of allocations."""
    expected = rollcall.execute(command, options=options)
    for at in range(1, 5000):
        done = rollcall.execute(command, options=options, timeout=10,
                                env=scarce.environment(command, at, forever))
        if (done.returncode, done.stdout, done.stderr) != (
                expected.returncode, expected.stdout, expected.stderr):
            _check_end(done.returncode, done.stderr, at)
        if not scarce.report()[0]:
            return at - 1
    raise AssertionError(f"{command} makes too many allocations for this test")


@pytest.mark.parametrize("forever", [False, True], ids=["one", "all_later_ones"])
def test_settings_are_judged_the_same_or_not_at_all(scarce, forever):
    """acks is an alias in librdkafka's list of properties, which must never be incomplete."""
    assert _sweep(scarce, "check", {"producer.acks": 1}, forever) > 100


def test_a_snapshot_is_whole_or_none(scarce, tmp_path):
    """Uses a Unix socket, because getaddrinfo without memory hangs or reports other reasons."""
    path = tmp_path / "socket"
    server = redis_server.RedisServer(str(tmp_path / "redis"), extra=["--unixsocket", str(path)])
    server.start()
    try:
        client = server.client()
        client.zadd("{user-login}:device_type_counts", {"android": 3, "ios": 4})
        client.zadd("{user-login}:locale_counts", {f"L{n}": n for n in range(1, 40)})
        client.hset("{user-login}:rejected_counts", "empty", 2)
        client.hset("{user-login}:login_counts:2024-07-10", "15:30", 7)
        client.zadd("{user-login}:login_days", {"2024-07-10": 1})
        assert _sweep(scarce, "snapshot", {"redis.url": f"unix://{path}"}, False) > 200
    finally:
        server.kill()


def test_an_instance_starts_or_reports_why_not(world, scarce):
    """Covers the start after the configuration, which all commands share, up to the last thread."""
    world.create_input()
    numbers = range(225, 465, 12)
    failed = [_run(world, scarce, at, later=False)[0] for at in numbers]
    assert all(failed), failed


@pytest.mark.timeout(240)
def test_counts_and_output_stay_exact(world, scarce):
    """Several instances in turn run out of memory while working; the results are still exact."""
    load = world.make_load()
    total = _run(world, scarce, 0, load)[1]
    failed = [_run(world, scarce, max(1, total * n // 15), load)[0] for n in range(12)]
    assert failed.count(True) > 8, (failed, total)
    last = world.run(instance__id="scarce")
    world.verify(load, last)
    last.stop()


def _run(world, scarce, at, load=None, later=True):
    """Runs one instance until it fails or has done its work; returns scarce.report()."""
    instance = world.run(instance__id="scarce", env=scarce.environment("run", at, later=later))
    wait.until(lambda: not instance.is_running() or instance.is_ready(), 40,
               "the instance to be ready or to exit")
    if load:
        instance.signal(signal.SIGUSR2)
        load.produce(500)
        wait.until(lambda: not instance.is_running()
                   or world.counted_total() == len(load.records), 40,
                   "all records to be counted, or the instance to exit")
    if instance.is_running():
        for path in ("/metrics", "/counts", "/counts?scope=instance"):
            instance.get(path)
    if instance.is_running():
        instance.signal(signal.SIGTERM)
    status = instance.wait_exit(40)
    if status != 0:
        _check_end(status, instance.log(), at)
    return scarce.report()
