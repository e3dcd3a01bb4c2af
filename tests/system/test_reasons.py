"""What /readyz and commands say is missing: what it is, why, and what to do."""

import signal

import pytest

import kafka
import process
import rollcall
import wait


def wait_reason(instance, seconds, *words):
    """Waits until /readyz answers 503 with all the words."""
    found = []

    def is_named():
        found[:] = instance.get("/readyz")
        return found[0] == 503 and all(word in found[1] for word in words)

    wait.until(is_named, seconds, lambda: f"{words} in {found}", alive=instance.check_alive)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_broker_that_hangs(world, protocol):
    if protocol == "consumer" and not rollcall.has_consumer_protocol():
        pytest.skip(rollcall.NO_CONSUMER_PROTOCOL)
    load = world.make_load()
    load.produce(1000)
    instance = world.run(**(rollcall.CONSUMER_PROTOCOL if protocol == "consumer" else {}))
    instance.wait_ready().wait_assigned(4)
    world.broker.signal(signal.SIGSTOP)
    try:
        wait_reason(instance, 30, f"; Kafka at {world.broker.address} does not answer (",
                    "kafka.bootstrap.servers")
    finally:
        world.broker.signal(signal.SIGCONT)
    instance.wait_ready(60)
    instance.stop()


def test_an_input_topic_that_is_deleted(world):
    world.create_input()
    instance = world.run().wait_ready()
    instance.wait_assigned(4)
    world.broker.delete_topic(world.topic)
    wait_reason(instance, 40, f"not joined: the input topic {world.topic} no longer exists",
                "create it again", "redis.prefix")
    instance.wait_log(f"the input topic {world.topic} no longer exists")
    instance.stop()


@pytest.mark.timeout(180)
def test_brokers_that_cannot_be_reached_where_they_advertise(world, tmp_path_factory):
    with kafka.running(tmp_path_factory, advertise=lambda _: process.free_port()) as broker:
        address = f"127.0.0.1:{broker.proxied_port}"
        broker.create_topic(world.topic, 4)
        words = (f"Kafka at {address} answers, but a broker that it advertises cannot be reached",
                 f"(broker 1 at {broker.proxied_address}: ", "advertised.listeners")
        instance = world.run(kafka__bootstrap__servers=address)
        wait_reason(instance, 20, "not started: waiting for Kafka: ", *words)
        for command in ("check", "audit", "rebuild"):
            done = world.execute(command, kafka__bootstrap__servers=address, timeout=20)
            last = (done.stdout + done.stderr.splitlines()[-1] if command == "check" else
                    done.stderr.splitlines()[-1])
            assert done.returncode == 1 and all(word in last for word in words), last
        instance.stop()
