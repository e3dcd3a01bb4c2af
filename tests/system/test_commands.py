"""The commands other than `run`: generate, snapshot, check, demo."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

import oracle
import process
import rollcall
import verify
import wait

pytestmark = pytest.mark.coverage


def _generated(world, topic, count, *arguments):
    world.broker.create_topic(topic, 2)
    done = world.execute("generate", "--count", str(count), *arguments, input__topic=topic)
    assert done.returncode == 0, done.stderr
    return verify.read_committed(world.broker, topic)


def _spread(reads):
    return {p: [(r.key, r.value, r.headers) for r in found]
            for p, found in verify.by_partition(reads).items()}


START = ("--start", "1720622216")


def test_generate_is_reproducible(world):
    common = ("--rate", "0", "--invalid", "5", *START)
    first = _generated(world, world.topic + "-a", 3000, "--seed", "7", *common)
    second = _generated(world, world.topic + "-b", 3000, "--seed", "7", *common)
    third = _generated(world, world.topic + "-c", 3000, "--seed", "8", *common)
    assert len(first) == len(second) == len(third) == 3000
    assert _spread(first) == _spread(second)
    assert _spread(first) != _spread(third)


def test_generate_makes_as_many_invalid_ones_as_requested(world):
    for percent, low, high in ((0, 0, 0), (20, 500, 700), (100, 3000, 3000)):
        reads = _generated(world, f"{world.topic}-{percent}", 3000, "--seed", "3", "--rate", "0",
                           "--invalid", str(percent), *START)
        assert len(reads) == 3000
        rejected = sum(oracle.verdict(read) is not None for read in reads)
        assert low <= rejected <= high, (percent, rejected)


def test_generate_then_run(world):
    world.create_input()
    done = world.execute("generate", "--count", "5000", "--rate", "0", "--invalid", "3",
                         "--seed", "5", *START)
    assert done.returncode == 0, done.stderr
    reads = verify.read_committed(world.broker, world.topic)
    records = [oracle.Record(*read) for read in reads]
    instance = world.run()
    world.wait_quiet()
    verify.check_all(world.place, records, instance)
    instance.stop()


@pytest.mark.parametrize("arguments", [("--count", "-1"), ("--invalid", "101"), ("--count", "x"),
                                       ("--no-such",)])
def test_generate_wrong_usage(arguments):
    done = rollcall.execute("generate", *arguments)
    assert done.returncode == 2 and done.stderr


def test_snapshot_of_nothing(world):
    done = world.execute("snapshot")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == oracle.Expected().snapshot()


def test_snapshot_of_some_days(world):
    with world.redis_server.client() as client:
        for day in ("2024-07-10", "2024-07-11", "2024-07-12"):
            client.zadd(f"{world.prefix}:login_days", {day: 9999999999})
            client.hset(f"{world.prefix}:login_counts:{day}", "14:36", 3)
    minutes = [f"2024-07-{day} 14:36" for day in (12, 11, 10)]
    for arguments, expected in (([], minutes), (["--from", "2024-07-11"], minutes[:2]),
                                (["--to", "2024-07-11"], minutes[1:]),
                                (["--from", "2024-07-11", "--to", "2024-07-11"], minutes[1:2])):
        done = world.execute("snapshot", *arguments)
        assert done.returncode == 0, done.stderr
        assert list(json.loads(done.stdout)["Logins Over Time"]) == expected
    for arguments in (["--from", "2024-02-30"], ["--from", "2024-07-12", "--to", "2024-07-11"]):
        done = world.execute("snapshot", *arguments)
        assert done.returncode == 2 and "2024-" in done.stderr and not done.stdout


_TO_STANDARD_OUTPUT = [["snapshot"], ["check"], ["check", "--sample", "5"], ["audit"], ["rebuild"],
                       ["generate", "--count", "1", "--help"], ["help", "settings"],
                       ["help", "rollcall.1"], ["help", "bash"], ["--help"], ["--version"]]


@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_an_output_that_takes_nothing_is_an_error(world, output):
    """A closed one must not become a connection, either, which what is printed would go to."""
    load_ = world.make_load()
    for n in range(5):
        load_.send(0, None, b"{}", 1720622216000)
    load_.flush()
    instance = world.run()
    world.wait_quiet()
    instance.stop()
    for words in _TO_STANDARD_OUTPUT:
        options = [] if words[0][0] == "-" or words[0] == "help" else rollcall.flags(world.options)
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {output}', rollcall.BINARY, *words,
                               *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, timeout=60 * wait.factor)
        assert done.returncode == 1, (words, done.stderr)
        assert "rollcall: cannot write to the standard output\n" in done.stderr, (words, done.stderr)
        assert "cannot be read" not in done.stderr, (words, done.stderr)


def test_closed_standard_descriptors_do_no_harm(world):
    """Else the first connections would have their numbers, and would get the log."""
    world.create_input(1)
    child = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', rollcall.BINARY, "run",
                              *rollcall.flags({**world.options, "http.listen": ""})])
    held = [f"/proc/{child.pid}/fd/{fd}" for fd in range(3)]
    wait.until(lambda: all(os.path.lexists(fd) and os.readlink(fd) == "/dev/null" for fd in held),
               10, "the descriptors to be held")
    with world.redis_server.client() as client:
        wait.until(lambda: client.exists(f"{world.prefix}:meta"), 20, "it to run")
    child.terminate()
    assert child.wait(20 * wait.factor) == 0


def test_snapshot_without_redis(world):
    world.redis_server.kill()
    done = world.execute("snapshot", redis__timeout_ms=500)
    assert done.returncode == 1 and "redis" in done.stderr.lower() and not done.stdout


def test_precedence_of_the_four_sources(world, tmp_path):
    """The environment overrides the file, and an option overrides the environment."""
    prefixes = {"file": "{in-file}", "environment": "{in-env}", "option": "{in-option}"}
    with world.redis_server.client() as client:
        for name, prefix in prefixes.items():
            client.hset(f"{prefix}:rejected_counts", name, 1)
    file = tmp_path / "rollcall.ini"
    file.write_text(f"[redis]\nurl = {world.redis_server.url()}\nprefix = {prefixes['file']}\n")
    env = {"ROLLCALL_REDIS_PREFIX": prefixes["environment"]}
    option = {"redis.prefix": prefixes["option"]}

    def seen(**given):
        done = rollcall.execute("snapshot", "-c", str(file), **given)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout)["Rejected"])

    assert seen() == ["file"]
    assert seen(env=env) == ["environment"]
    assert seen(env=env, options=option) == ["option"]


def test_dotted_keys_from_the_environment(world):
    load = world.make_load()
    load.produce(100)
    address = world.options.pop("kafka.bootstrap.servers")
    group = world.options.pop("consumer.group.id")
    instance = world.run(env={"ROLLCALL_KAFKA_BOOTSTRAP_SERVERS": address,
                              "ROLLCALL_CONSUMER_GROUP_ID": group})
    world.wait_quiet()
    instance.stop()


def test_ready_asks_the_instance(world):
    """A health check by the configuration alone: ready, not ready with the reason, dead, none."""
    load = world.make_load()
    load.produce(10)
    instance = world.run()
    instance.wait_ready()
    listen = {"http__listen": instance.options["http.listen"]}
    assert world.execute("ready", **listen).returncode == 0
    assert world.execute("ready", "--alive", **listen).returncode == 0
    by_environment = world.execute("ready", env={"ROLLCALL_HTTP_LISTEN": listen["http__listen"]})
    assert by_environment.returncode == 0
    world.redis_server.kill()
    wait.until(lambda: not instance.is_ready(), 20, "the instance not to be ready")
    unready = world.execute("ready", **listen)
    assert unready.returncode == 1 and "503" in unready.stderr and "Redis" in unready.stderr
    assert world.execute("ready", "--alive", **listen).returncode == 0
    instance.kill()
    dead = world.execute("ready", **listen)
    assert dead.returncode == 1 and "does not answer" in dead.stderr
    none = world.execute("ready", http__listen="")
    assert none.returncode == 0 and "http.listen is empty" in none.stdout


def test_check_finds_nothing_wrong_and_changes_nothing(world):
    world.create_input()
    world.execute("check")
    assert world.broker.partition_count(world.output) == 0
    with world.redis_server.client() as client:
        assert client.keys("*") == []
    instance = world.run()
    instance.wait_ready()
    instance.stop()
    done = world.execute("check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_verbose_settings_are_for_check_alone(world):
    """Logs are one line per event, also with -v: the other commands only log more."""
    world.create_input()
    checked = world.execute("check", "-v")
    assert "[kafka]\nbootstrap.servers = " in checked.stdout
    assert f"prefix = {world.prefix}" in checked.stdout
    for done in (checked, world.execute("snapshot", "-v", kafka__debug="conf")):
        assert all(line.startswith("ts=") for line in done.stderr.splitlines()), done.stderr


def test_check_without_kafka(world):
    done = world.execute("check", kafka__bootstrap__servers=f"127.0.0.1:{process.free_port()}")
    assert done.returncode == 1 and "kafka" in (done.stdout + done.stderr).lower()


def test_check_that_is_stopped_says_so(world):
    """At once, though it waits for Kafka; what was found before is shown."""
    world.create_input()
    world.options["kafka.bootstrap.servers"] = f"127.0.0.1:{process.free_port()}"
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with subprocess.Popen([rollcall.BINARY, "check", *rollcall.flags(world.options)],
                              stdout=subprocess.PIPE, text=True) as check:
            lines = [check.stdout.readline(), check.stdout.readline()]
            began = time.monotonic()
            check.send_signal(name)
            lines += check.stdout.readlines()
        assert time.monotonic() - began < 5
        assert check.returncode == 1
        assert lines[0] == "ok  the configuration is valid\n", lines
        assert lines[1].startswith("ok  librdkafka "), lines
        assert lines[-1] == "bad stopped by a signal: not all was looked at\n", lines


def test_check_without_the_input_topic(world):
    done = world.execute("check")
    assert done.returncode == 1 and world.topic in done.stdout + done.stderr


def test_check_without_redis(world):
    world.create_input()
    world.redis_server.kill()
    done = world.execute("check", redis__timeout_ms=500)
    assert done.returncode == 1 and "redis" in (done.stdout + done.stderr).lower()


def test_check_names_another_group(world):
    world.create_input()
    instance = world.run()
    instance.wait_ready()
    instance.stop()
    done = world.execute("check", consumer__group__id="someone-else")
    assert done.returncode == 1
    assert world.group in done.stdout + done.stderr
    assert "someone-else" in done.stdout + done.stderr


def test_check_of_a_wrong_configuration():
    assert rollcall.execute("check", options={"redis.prefx": "x"}).returncode == 2


def test_sigint_ends_like_sigterm(world):
    load = world.make_load()
    load.produce(500)
    instance = world.run()
    world.wait_quiet()
    instance.signal(signal.SIGHUP)  # reads the configuration again
    instance.signal(signal.SIGINT)
    instance.wait_log("SIGINT")
    instance.signal(signal.SIGHUP)  # is never the second of two
    assert instance.wait_exit() == 0
    verify.check_all(world.place, load.records)


def test_two_signals_end_at_once(world):
    load = world.make_load()
    load.produce(500)
    instance = world.run(log__format="json")
    world.wait_quiet()
    world.redis_server.pause()
    load.produce(500)
    wait.until(lambda: instance.metric("rollcall_records_consumed_total") > 500, 20,
               "more records to be consumed")
    instance.signal(signal.SIGTERM)
    instance.wait_log("SIGTERM")
    instance.signal(signal.SIGTERM)
    assert instance.wait_exit(5) == 1
    assert "second signal" in json.loads(instance.log().splitlines()[-1])["msg"]


@pytest.mark.timeout(180)
def test_demo(tmp_path):
    """The demo succeeds, and the commands that it prints to read counts and clean up can be run."""
    done = subprocess.run([rollcall.BINARY, "demo", "--rate", "13000"], stdin=subprocess.DEVNULL,
                          cwd=tmp_path, capture_output=True, text=True, timeout=150 * wait.factor)
    lines = re.findall(r"^  (\S.* -p .*|\S+ snapshot .*)$", done.stdout, re.MULTILINE)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
        answers = [_paste(line) for line in lines[:-1]]
        assert len(answers) == 6 and all(answers), (lines, answers)
        assert sum(json.loads(answers[5])["Rejected"].values()) > 0
    finally:
        if lines:
            _paste(lines[-1])
    folder = lines[-1].rpartition(" ")[2].strip("'")
    assert folder.startswith("/") and not os.path.exists(folder)


def _paste(line):
    """Runs a line of the demo's output in a shell; returns what it prints."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout
