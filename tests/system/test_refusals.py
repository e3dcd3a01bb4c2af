"""What makes rollcall refuse to start: the messages and the exit status."""

import time

import pytest

import kafka
import process
import rollcall
import wait

pytestmark = pytest.mark.coverage


def last_line(instance):
    """Returns the last line of an instance's log, which gives the reason for its exit."""
    lines = instance.log().splitlines()
    return lines[-1] if lines else ""


def refused(instance, *words, seconds=30):
    """Waits for an exit with status 1 whose last log line contains all the words."""
    assert instance.wait_exit(seconds) == 1, instance.log()
    for word in words:
        assert word.lower() in last_line(instance).lower(), (word, last_line(instance))


@pytest.mark.timeout(180)
def test_kafka_unreachable_waits_and_becomes_ready(world):
    load = world.make_load()
    load.produce(500)
    world.broker.stop()
    instance = world.run()
    wait.until(lambda: instance.get("/readyz")[0] == 503, 20, "/readyz to return 503",
               alive=instance.check_alive)
    instance.wait_log(world.broker.address)
    wait.until(lambda: "kafka" in instance.log().lower(), 20, "Kafka in the log")
    instance.check_alive()
    assert not instance.is_ready()
    world.broker.start()
    instance.wait_ready()
    world.verify(load, instance)
    instance.stop()


def test_kafka_unreachable_can_be_stopped(world):
    instance = world.run(kafka__bootstrap__servers=f"127.0.0.1:{process.free_port()}")
    wait.until(lambda: instance.get("/readyz")[0] == 503, 20, "/readyz to return 503",
               alive=instance.check_alive)
    instance.stop()


def test_input_topic_missing(world):
    refused(world.run(), world.topic)


def test_output_topic_missing_and_not_creatable(world):
    world.create_input()
    lift = world.broker.deny_create(world.output)
    try:
        instance = world.run(kafka__bootstrap__servers=world.broker.sasl_address,
                             kafka__security__protocol="SASL_PLAINTEXT",
                             kafka__sasl__mechanism="PLAIN", kafka__sasl__username=kafka.SASL_USER,
                             kafka__sasl__password=kafka.SASL_PASSWORD)
        refused(instance, world.output)
    finally:
        lift()
    assert kafka.SASL_PASSWORD not in instance.log()


def test_output_topics_are_created_with_the_inputs_partition_count(world):
    world.create_input(3)
    world.run().wait_ready()
    assert world.broker.partition_count(world.output) == 3
    assert world.broker.partition_count(world.rejected) == 3


def test_kafka_password_from_a_file_works_and_is_not_logged(world, tmp_path):
    load = world.make_load()
    load.produce(200)
    secret = tmp_path / "password"
    secret.write_text(kafka.SASL_PASSWORD + "\n")
    instance = world.run(kafka__bootstrap__servers=world.broker.sasl_address, log__level="debug",
                         kafka__debug="all", kafka__security__protocol="SASL_PLAINTEXT",
                         kafka__sasl__mechanism="PLAIN", kafka__sasl__username=kafka.SASL_USER,
                         **{"kafka__sasl__password_file": str(secret)})
    world.verify(load, instance)
    instance.stop()
    assert kafka.SASL_PASSWORD not in instance.log()


def test_redis_unreachable(world):
    world.create_input()
    world.redis_server.kill()
    started = time.monotonic()
    instance = world.run(redis__timeout_ms=1500)
    refused(instance, "redis")
    assert time.monotonic() - started >= 1.5
    assert str(world.redis_server.port) in instance.log()


def test_redis_that_does_not_answer(world):
    world.create_input()
    world.redis_server.pause()
    refused(world.run(redis__timeout_ms=500), "did not answer within 500 ms", "redis.url")


def test_redis_comes_within_the_timeout(world):
    load = world.make_load()
    load.produce(200)
    world.redis_server.kill()
    instance = world.run(redis__timeout_ms=20000)
    wait.until(lambda: "redis" in instance.log().lower(), 20, "Redis in the log",
               alive=instance.check_alive)
    world.redis_server.start()
    world.verify(load, instance)
    instance.stop()


@pytest.mark.redis(password="right-secret-1")
def test_redis_wrong_password(world):
    world.create_input()
    instance = world.run(redis__url=world.redis_server.url("wrong-secret-2"), log__level="debug")
    refused(instance, "redis")
    assert "wrong-secret-2" not in instance.log()


@pytest.mark.redis(password="right-secret-1")
def test_redis_no_password(world):
    world.create_input()
    refused(world.run(redis__url=f"redis://127.0.0.1:{world.redis_server.port}/0"), "redis")


@pytest.mark.redis(password="right-secret-1")
@pytest.mark.parametrize("source", ["option", "environment", "file"])
def test_redis_password_works_and_is_not_logged(world, tmp_path, source):
    load = world.make_load()
    load.produce(200)
    url, env, options = world.options.pop("redis.url"), {}, {}
    if source == "option":
        options["redis__url"] = url
    elif source == "environment":
        env["ROLLCALL_REDIS_URL"] = url
    else:
        (tmp_path / "url").write_text(url + "\n")
        options["redis__url_file"] = str(tmp_path / "url")
    instance = world.run(env=env, log__level="debug", **options)
    world.wait_quiet()
    checked = world.execute("check", "-v", env=env, **options)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    counts = world.execute("snapshot", "-v", env=env, **options)
    instance.stop()
    for text in (instance.log(), checked.stdout, checked.stderr, counts.stderr):
        assert "right-secret-1" not in text


def test_redis_key_of_another_type(world):
    world.create_input()
    key = f"{world.prefix}:device_type_counts"
    with world.redis_server.client() as client:
        client.set(key, "a string")
        refused(world.run(), key)
        assert client.keys("*") == [key.encode()], "something was written to Redis"


def test_redis_that_evicts(world):
    world.create_input()
    with world.redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    refused(world.run(), "maxmemory-policy", "allkeys-lru", "noeviction")


def test_redis_that_lost_a_part_of_its_keys(world):
    load = world.make_load()
    load.produce(200)
    first = world.run()
    world.wait_quiet()
    first.stop()
    with world.redis_server.client() as client:
        client.delete(f"{world.prefix}:offsets")
    refused(world.run(), f"{world.prefix}:offsets")


def test_redis_that_read_half_of_a_checkpoint(world):
    load = world.make_load()
    load.produce(200)
    instance = world.run()
    world.verify(load, instance)
    with world.redis_server.client() as client:
        # The effect of an append-only file that was cut within a checkpoint, at the second start.
        client.hincrby(f"{world.prefix}:meta", "checkpoints", 1)
    refused(instance, "append-only file had been cut", "restore a copy", world.prefix)


@pytest.mark.redis(append_only=True)
def test_redis_whose_file_was_cut_in_a_checkpoint_is_exact_or_refused(world):
    """Redis 7.0 executes the first part of the cut checkpoint at its second start; later versions
    may not."""
    load = world.make_load()
    load.produce(2000)
    instance = world.run()
    world.wait_quiet()
    world.redis_server.kill()
    world.redis_server.cut_file_in_transaction()
    world.redis_server.start()
    world.wait_quiet()
    world.redis_server.kill()
    world.redis_server.start()
    with world.redis_server.client() as client:
        count, seal = client.hmget(f"{world.prefix}:meta", "checkpoints", "seal")
    if count == seal:
        world.verify(load, instance)
        return
    refused(instance, "append-only file had been cut")


def test_prefix_of_another_group(world):
    load = world.make_load()
    load.produce(10)
    first = world.run()
    world.wait_quiet()
    first.stop()
    refused(world.run(consumer__group__id="someone-else"), world.group, "someone-else")


def test_prefix_of_another_topic(world):
    load = world.make_load()
    load.produce(10)
    first = world.run()
    world.wait_quiet()
    first.stop()
    other = world.topic + "-other"
    world.broker.create_topic(other, 4)
    refused(world.run(input__topic=other), world.topic, other)


def _misconfigured(done, *words):
    assert done.returncode == 2, (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)


def test_unknown_key_as_an_option():
    _misconfigured(rollcall.execute("run", options={"redis.prefx": "{x}"}),
                   "redis.prefx", "redis.prefix")


def test_unknown_key_in_the_environment():
    _misconfigured(rollcall.execute("run", env={"ROLLCALL_REDIS_PREFX": "{x}"}),
                   "ROLLCALL_REDIS_PREFX", "prefix")


def test_unknown_key_in_the_file(tmp_path):
    file = tmp_path / "rollcall.ini"
    file.write_text("[redis]\nprefix = {x}\ncheckpont_ms = 5\n")
    _misconfigured(rollcall.execute("run", "-c", str(file)),
                   f"{file}:3", "checkpont_ms", "checkpoint_ms")


def test_unknown_section(tmp_path):
    file = tmp_path / "rollcall.ini"
    file.write_text("\n[agregate]\ndimensions = locale\n")
    _misconfigured(rollcall.execute("run", "-c", str(file)), "agregate", "aggregate")


def test_missing_file(tmp_path):
    _misconfigured(rollcall.execute("run", "-c", str(tmp_path / "none.ini")), "none.ini")


@pytest.mark.parametrize("key, value", [
    ("output.commit_ms", "-1"), ("redis.checkpoint_ms", "soon"), ("input.start", "middle"),
    ("input.on_gap", "ignore"), ("output.guarantee", "exactly_twice"), ("redis.url", "http://x"),
    ("instance.shards", "0"), ("anomaly.threshold", "1.5"), ("log.format", "xml"),
    ("aggregate.dimensions", ""), ("kafka.no.such.property", "1"),
    ("consumer.session.timeout.ms", "never"),
])
def test_bad_value(key, value):
    _misconfigured(rollcall.execute("run", options={key: value}), key)


@pytest.mark.parametrize("key, value", [("consumer.enable.auto.commit", "true"),
                                        ("consumer.auto.offset.reset", "latest"),
                                        ("producer.transactional.id", "mine")])
def test_properties_that_are_rollcalls_own(key, value):
    _misconfigured(rollcall.execute("run", options={key: value}), key)


@pytest.mark.parametrize("arguments", [("rum",), ("run", "--no-such-option"), ("run", "-X", "x"),
                                       ("run", "surplus"), ()])
def test_wrong_usage(arguments):
    command, *rest = arguments or [""]
    done = rollcall.execute(command, *rest)
    assert done.returncode == 2 and done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"),
                                       ("help", "demo"), ("help", "settings")])
def test_help_and_version(arguments):
    done = rollcall.execute(*arguments)
    assert done.returncode == 0 and "rollcall" in done.stdout
