"""SIGHUP: the configuration is read again, all of it or nothing."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

import kafka
import oracle
import process
import rollcall
import verify
import wait


class Configured(rollcall.Instance):
    """An instance that has all its settings in a file."""

    def __init__(self, world, path, *arguments, env=None, **options):
        self.name = f"configured-{len(world.instances)}"
        self.http_port = process.free_port()
        self.log_path = os.path.join(world.folder, f"{self.name}.log")
        self.path = path
        self.options = {"http.listen": f"127.0.0.1:{self.http_port}", **world.options, **options}
        self.write()
        self._process = process.spawn([rollcall.BINARY, "run", "-c", str(path), *arguments],
                                      self.log_path, env={**os.environ, **(env or {})})
        world.instances.append(self)

    def write(self, **changes):
        """Writes the file, changed in some keys: section__key=value, or None for none."""
        self.options.update({name.replace("__", "."): value for name, value in changes.items()})
        sections = {}
        for name, value in self.options.items():
            section, key = name.split(".", 1)
            if value is not None:
                sections.setdefault(section, []).append(f"{key} = {value}\n")
        self.path.write_text("".join(f"[{section}]\n{''.join(lines)}\n"
                                     for section, lines in sections.items()))

    def reload(self, **changes):
        """Changes the file, sends SIGHUP; returns the line that the log has about it."""
        self.write(**changes)

        def lines():
            return [line for line in self.log().splitlines() if "configuration was" in line]

        before = len(lines())
        self.signal(signal.SIGHUP)
        wait.until(lambda: len(lines()) > before, 20, "the reload to be logged",
                   alive=self.check_alive)
        return lines()[-1]


@pytest.fixture
def configured(world, tmp_path):
    """Makes a Configured that is ready."""
    return lambda *arguments, **options: Configured(
        world, tmp_path / "rollcall.ini", *arguments, **options).wait_ready()


def test_settings_change_under_load(world, configured):
    load = world.make_load()
    instance = configured(**{"anomaly.threshold": 1000000})

    def anomalies():
        with world.redis_server.client() as client:
            return client.xlen(f"{world.prefix}:anomalies")

    with load.feed(2000) as feed:
        feed.wait_for_more(4000)
        assert anomalies() == 0
        line = instance.reload(output__commit_ms=20, redis__checkpoint_ms=50,
                               aggregate__retention_days=30, anomaly__threshold=10)
        assert 'changed="output.commit_ms, aggregate.retention_days, anomaly.threshold, ' \
            'redis.checkpoint_ms"' in line
        wait.until(anomalies, 30, "anomalies")
        line = instance.reload(log__level="debug", log__format="json")
        assert json.loads(line)["changed"] == "log.level, log.format"
        feed.wait_for_more(2000)
        assert "nothing is new" in instance.reload()
    world.wait_quiet()
    with world.redis_server.client() as client:
        ages = {client.ttl(day) for day in client.keys(f"{world.prefix}:login_counts:2024*")}
    assert ages and max(ages) <= 30 * 86400, ages
    assert '"level":"debug"' in instance.log()
    expected = oracle.Expected(load.records)
    verify.check_watermarks(world.place)
    verify.check_snapshot(instance, expected)
    verify.check_output(world.place, expected)
    verify.check_rejected(world.place, expected)
    instance.stop()


def test_what_cannot_change_is_named_and_then_nothing_changes(world, configured):
    load = world.make_load()
    instance = configured()
    line = instance.reload(http__listen="127.0.0.1:1", consumer__fetch__min__bytes=2,
                           output__commit_ms=20, log__format="json")
    assert line.startswith("ts=") and "level=error" in line, line
    assert "http.listen" in line and "consumer.fetch.min.bytes" in line
    assert "commit_ms" not in line
    assert instance.get("/healthz")[0] == 200
    assert instance.metric("rollcall_config_reloads_total", result="refused") == 1
    assert instance.metric("rollcall_config_reloads_total", result="ok") == 0
    line = instance.reload(http__listen=f"127.0.0.1:{instance.http_port}",
                           consumer__fetch__min__bytes=None, output__commit_ms="soon")
    assert "rollcall.ini:" in line and "output.commit_ms" in line
    line = instance.reload(output__commit_ms=20)
    assert json.loads(line)["changed"] == "output.commit_ms, log.format"
    assert instance.metric("rollcall_config_reloads_total", result="refused") == 2
    assert instance.metric("rollcall_config_reloads_total", result="ok") == 1
    load.produce(500)
    world.verify(load, instance)
    instance.stop()


def test_check_says_what_a_reload_would_do(world, configured):
    world.create_input()
    instance = configured()

    def check():
        done = subprocess.run([rollcall.BINARY, "check", "--reload", "-c", str(instance.path)],
                              capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        return done.returncode, done.stdout

    status, text = check()
    assert status == 0 and "ok   a reload changes nothing\n" in text, text
    instance.write(output__commit_ms=20, anomaly__threshold=11)
    status, text = check()
    assert status == 0 and "a reload changes output.commit_ms, anomaly.threshold\n" in text, text
    assert "changed=\"output.commit_ms, anomaly.threshold\"" in instance.reload()
    wait.until(lambda: "a reload changes nothing\n" in check()[1], 10, "the new settings to show")
    instance.write(output__commit_ms=30, consumer__fetch__min__bytes=2, input__on_gap="continue")
    status, text = check()
    assert status == 1 and "a reload changes" not in text, text
    assert "a reload is refused: input.on_gap, consumer.fetch.min.bytes cannot change" in text, text
    assert "level=error" in instance.reload()
    instance.stop()
    status, text = check()
    assert status == 1 and "does not show its settings" in text and "refused" in text, text


def test_a_reload_keeps_what_wins_over_the_file(world, configured):
    world.create_input()
    instance = configured("-X", "output.commit_ms=30", env={"ROLLCALL_LOG_LEVEL": "info"})
    assert "nothing is new" in instance.reload(output__commit_ms=50, log__level="debug")
    assert "changed=redis.checkpoint_ms" in instance.reload(redis__checkpoint_ms=77)


@pytest.mark.redis(password="old-secret-1")
def test_the_password_of_redis_changes_without_a_restart(world, configured):
    load = world.make_load()
    instance = configured()
    with load.feed(1000) as feed:
        feed.wait_for_more(1000)
        with world.redis_server.client() as client:
            client.config_set("requirepass", "new-secret-2")
            world.redis_server.password = "new-secret-2"
            assert "changed=redis.url" in instance.reload(redis__url=world.redis_server.url())
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        feed.wait_for_more(2000)
    world.verify(load, instance)
    assert not re.search("NOAUTH|WRONGPASS|secret", instance.log()), instance.log()
    line = instance.reload(redis__url=world.redis_server.url().replace("/0", "/1"))
    assert "level=error" in line and "redis.url" in line and "secret" not in line
    instance.stop()


@pytest.mark.timeout(180)
def test_the_password_of_kafka_changes_without_a_restart(world, configured):
    """The broker knows one password: the wrong one that a reload brings is used, then put right."""
    load = world.make_load()
    instance = configured(**{
        "kafka.bootstrap.servers": world.broker.sasl_address,
        "kafka.security.protocol": "SASL_PLAINTEXT", "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.username": kafka.SASL_USER, "kafka.sasl.password": kafka.SASL_PASSWORD,
        "kafka.reconnect.backoff.max.ms": 500})
    load.produce(500)
    world.wait_quiet()
    assert "changed=kafka.sasl.password" in instance.reload(kafka__sasl__password="wrong-secret")
    instance.wait_log("sasl.password has changed")
    time.sleep(6)  # each client takes it within 5 s, and says so once
    world.broker.stop()
    world.broker.start()
    instance.wait_log("uthentication")
    instance.reload(kafka__sasl__password=kafka.SASL_PASSWORD)
    load.produce(500)
    world.verify(load, instance)
    assert not re.search(f"wrong-secret|{kafka.SASL_PASSWORD}", instance.log())
    instance.stop()
