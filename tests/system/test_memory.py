"""Allocations that fail: the process works all the same, or ends and says that there is no memory."""

import os
import re
import signal
import subprocess

import pytest

import redis_server
import rollcall
import wait

_HERE = os.path.dirname(os.path.abspath(__file__))
#: What rollcall, the C library, hiredis and liburcu say.
_NAMED = re.compile(r"(out of|no) memory|cannot allocate memory|alloc_cds_lfht: Assert", re.IGNORECASE)


class Scarce:
    """Makes processes run out of memory; see scarce.c."""

    def __init__(self, library, told):
        self._library, self._told = library, told

    def environment(self, word, at, forever=False, later=False):
        """For `rollcall WORD`, whose allocation of number `at` fails, if `later` since SIGUSR2."""
        if os.path.exists(self._told):
            os.unlink(self._told)
        return {"LD_PRELOAD": self._library, "SCARCE_WORD": word, "SCARCE_AT": str(at),
                "SCARCE_FOREVER": str(int(forever)), "SCARCE_LATER": str(int(later)),
                "SCARCE_TOLD": self._told}

    def told(self):
        """(whether one failed, how many there were if the process came to exit)."""
        if not os.path.exists(self._told):
            return False, None
        with open(self._told) as file:
            lines = file.read().split()
        counts = [int(line) for line in lines if line.isdigit()]
        return "failed" in lines, counts[-1] if counts else None


@pytest.fixture
def scarce(tmp_path):
    library = tmp_path / "scarce.so"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library,
                    os.path.join(_HERE, "scarce.c")], check=True)
    return Scarce(str(library), str(tmp_path / "told"))


def _check_end(status, said, at):
    """Of a process that did not work: it ended by itself, and says why."""
    assert status in (1, 2, -signal.SIGABRT), (at, status, said)
    assert _NAMED.search(said), (at, status, said)


def _sweep(scarce, command, options, forever):
    """Each allocation of a command fails once: answers how many there were."""
    expected = rollcall.execute(command, options=options)
    for at in range(1, 5000):
        done = rollcall.execute(command, options=options, timeout=10,
                                env=scarce.environment(command, at, forever))
        if (done.returncode, done.stdout, done.stderr) != (
                expected.returncode, expected.stdout, expected.stderr):
            _check_end(done.returncode, done.stderr, at)
        if not scarce.told()[0]:
            return at - 1
    raise AssertionError("no end of allocations")


@pytest.mark.parametrize("forever", [False, True], ids=["one", "all_later_ones"])
def test_settings_are_judged_the_same_or_not_at_all(scarce, forever):
    """acks is an alias in librdkafka's list of properties, which nothing may be missing from."""
    assert _sweep(scarce, "check", {"producer.acks": 1}, forever) > 100


def test_a_snapshot_is_whole_or_none(scarce, tmp_path):
    """By a socket in a folder: getaddrinfo gives other reasons where it has no memory, or hangs."""
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


def test_an_instance_starts_or_says_why_not(world, scarce):
    """Past its configuration, which is the same for all commands, up to its last thread."""
    world.create_input()
    numbers = range(225, 465, 12)
    failed = [_run(world, scarce, at, later=False)[0] for at in numbers]
    assert all(failed), failed


@pytest.mark.timeout(240)
def test_counts_and_output_stay_exact(world, scarce):
    """One after the other dies of it in the middle of its work; what is left is right."""
    load = world.make_load()
    total = _run(world, scarce, 0, load)[1]
    failed = [_run(world, scarce, max(1, total * n // 15), load)[0] for n in range(12)]
    assert failed.count(True) > 8, (failed, total)
    last = world.run(instance__id="scarce")
    world.verify(load, last)
    last.stop()


def _run(world, scarce, at, load=None, later=True):
    """One instance, which ends by an allocation that fails, or works; answers scarce.told()."""
    instance = world.run(instance__id="scarce", env=scarce.environment("run", at, later=later))
    wait.until(lambda: not instance.is_running() or instance.is_ready(), 40, "ready, or ended")
    if load:
        instance.signal(signal.SIGUSR2)
        load.produce(500)
        wait.until(lambda: not instance.is_running()
                   or world.counted_total() == len(load.records), 40, "counted, or ended")
    if instance.is_running():
        for path in ("/metrics", "/counts", "/counts?scope=instance"):
            instance.get(path)
    if instance.is_running():
        instance.signal(signal.SIGTERM)
    status = instance.wait_exit(40)
    if status != 0:
        _check_end(status, instance.log(), at)
    return scarce.told()
