"""KEDA's own Kafka scaler beside rollcall, with the trigger of deploy/kubernetes: `./dev pods`
builds the scaler, and runs these tests."""

import json
import os
import subprocess

import pytest
from confluent_kafka import Producer

import oracle
import wait

SCALED = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "kubernetes", "components",
                      "keda", "scaledobject.yaml")
PARTITIONS = 4


def ask(world, threshold=1000):
    """What KEDA would do now: (records of lag, whether it is active, replicas)."""
    done = subprocess.run(
        [os.environ["RC_KEDA"], SCALED, f"bootstrapServers={world.broker.address}",
         f"consumerGroup={world.group}", f"topic={world.topic}", f"lagThreshold={threshold}"],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["metric"], answer["is_active"], answer["replicas"]


def send(world, load, count, transactional, aborts=False):
    """Writes logins, as a transaction if asked to; one that is aborted leaves no records."""
    if not transactional:
        load.produce(count)
        return
    producer = Producer({"bootstrap.servers": world.broker.address,
                         "transactional.id": world.topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    sent = []
    for _ in range(count):
        partition, key, value, timestamp_ms, *_ = load.make_event()

        def delivered(error, message, key=key, value=value, timestamp_ms=timestamp_ms):
            assert error is None, error
            sent.append(oracle.Record(message.partition(), message.offset(), key, value,
                                      timestamp_ms, None))

        producer.produce(world.topic, value, key, partition, timestamp=timestamp_ms,
                         on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0
    if aborts:
        producer.abort_transaction(30)
    else:
        producer.commit_transaction(30)
        load.records += sent


def test_scales_with_the_lag_up_to_the_partitions(world):
    """Also where the group has committed nothing yet: offsetResetPolicy is that of rollcall."""
    load = world.make_load()
    load.produce(6000)
    assert ask(world, threshold=5000) == (6000, True, 2)
    assert ask(world, threshold=2000) == (6000, True, 3)
    metric, is_active, replicas = ask(world, threshold=500)
    assert is_active and replicas == PARTITIONS, f"{replicas} replicas for a metric of {metric}"


@pytest.mark.parametrize("transactional", [False, True], ids=["plain", "transactional"])
def test_reaches_zero_after_a_drain(world, transactional):
    """The markers at the end of transactions, and records of aborted ones, are no lag."""
    load = world.make_load()
    send(world, load, 3000, transactional)
    assert ask(world)[1]
    instance = world.run()
    world.verify(load, instance)
    wait.until(lambda: ask(world) == (0, False, 0), 30, lambda: f"no lag, now {ask(world)}")
    if transactional:
        send(world, load, 200, transactional, aborts=True)
        wait.until(lambda: ask(world) == (0, False, 0), 30, lambda: f"no lag, now {ask(world)}")
    instance.stop()
    assert ask(world) == (0, False, 0), "an instance that ended left lag behind"
    send(world, load, 100, transactional)
    assert ask(world)[1], "nothing would wake an instance up"
