"""Kafka in the field: re-created topics, missing rights, every codec, aborted transactions."""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType

import kafka
import oracle
import wait
from test_refusals import refused


def _sasl(world):
    return dict(kafka__bootstrap__servers=world.broker.sasl_address,
                kafka__security__protocol="SASL_PLAINTEXT", kafka__sasl__mechanism="PLAIN",
                kafka__sasl__username=kafka.SASL_USER, kafka__sasl__password=kafka.SASL_PASSWORD)


@pytest.mark.coverage
def test_a_topic_recreated_while_running_is_rejected(world):
    """The new topic is longer than the old one was, so its offsets alone look valid."""
    load = world.make_load()
    load.produce(200)
    instance = world.run().wait_ready()
    world.wait_quiet()
    before = world.place.counted()
    instance.pause()
    world.broker.delete_topic(world.topic)
    world.make_load().produce(2000)
    instance.resume()
    refused(instance, "re-created while rollcall ran", world.topic, "redis.prefix")
    assert sum(before.values()) <= 200
    refused(world.run(), "topic_id", world.prefix)


def test_offsets_that_another_program_sets(world):
    """Publishing goes on from there and counting does not notice; what is not known from then on is
    told."""
    load = world.make_load(partitions=1)
    load.produce(200)
    world.run()
    world.wait_quiet()
    world.instances[0].stop()
    assert "another program" not in world.instances[0].log()
    world.broker.commit(world.group, world.topic, {0: 150})
    load.produce(100)
    second = world.run()
    second.wait_log("Offsets that another program has committed")
    world.wait_quiet()
    assert "partitions=1 partition=0 offset=150" in second.log()
    assert world.place.counted() == {0: world.broker.end_offsets(world.topic)[0]}
    world.broker.commit(f"{world.group}-of-others", world.topic, {0: 100})  # taken over
    other = world.run(consumer__group__id=f"{world.group}-of-others", redis__prefix="{others}")
    other.wait_log("Offsets that another program has committed")


@pytest.mark.parametrize("is_lost", [False, True], ids=["set", "lost"])
def test_redis_keeps_where_the_group_began(world, is_lost):
    """When the committed offset no longer has it: so the counts can be checked and rebuilt from
    there, and Redis that is lost later, too, leaves a gap that is named."""
    load = world.make_load(partitions=1)
    load.produce(50)
    first = world.run(input__start="latest").wait_ready()
    load.produce(200)
    world.wait_quiet()
    first.stop()
    begin = int(load.records[50].offset)
    if is_lost:
        world.broker.admin().delete_consumer_groups([world.group])[world.group].result(30)
    else:
        world.broker.commit(world.group, world.topic, {0: begin + 100})
    done = world.execute("audit")
    assert "200 records counted again: 0 differences" in done.stdout, done.stdout + done.stderr
    second = world.run(input__start="latest")
    load.produce(100)
    world.wait_quiet()
    second.stop()
    done = world.execute("rebuild")
    assert "300 records counted;" in done.stdout, done.stdout + done.stderr
    world.broker.delete_records(world.topic, {0: begin + 10})
    with world.redis_server.client() as client:
        client.flushall()
    refused(world.run(), f"needs offset {begin},", "10 records are gone")


@pytest.mark.parametrize("kind, field, operation, words, shown_by_check", [
    (ResourceType.TOPIC, "topic", AclOperation.READ,
     ("may not read topic", "acl read"), "bad input topic {} cannot be read"),
    (ResourceType.TOPIC, "topic", AclOperation.DESCRIBE,
     ("may not see topic", "describe and read"), "bad input: this user may not see topic {}:"),
    (ResourceType.GROUP, "group", AclOperation.ALL,
     ("denies access", "group authorization"), "ACLs Describe and Read on the group {}"),
    (ResourceType.GROUP, "group", AclOperation.READ,
     ("denies access", "group authorization"), "bad group {} cannot be joined"),
    (ResourceType.TOPIC, "output", AclOperation.WRITE,
     ("denies access", "write and describe"), "bad output topic {} cannot be written"),
    (ResourceType.TRANSACTIONAL_ID, "transactional_id", AclOperation.WRITE,
     ("denies access", "write", "--transactional-id"),
     "ok  transactional id {} is not tried, as that would end a transaction of a running "
     "instance: it needs the ACLs Write and Describe"),
])
def test_a_missing_right_is_named(world, kind, field, operation, words, shown_by_check):
    load = world.make_load()
    load.produce(50)
    name = f"rollcall-{world.group}-one" if field == "transactional_id" else getattr(world, field)
    lift = world.broker.deny(operation, (kind, name))
    try:
        refused(world.run(instance__id="one", **_sasl(world)), *words, name)
        checked = world.execute("check", instance__id="one", **_sasl(world))
    finally:
        lift()
    assert shown_by_check.format(name) in checked.stdout, checked.stdout
    assert checked.returncode == (0 if kind == ResourceType.TRANSACTIONAL_ID else 1), checked.stdout


def test_check_sees_a_missing_right_on_a_random_transactional_id(world):
    world.make_load()
    lift = world.broker.deny(AclOperation.WRITE,
                             (ResourceType.TRANSACTIONAL_ID, f"rollcall-{world.group}-check"))
    try:
        checked = world.execute("check", **_sasl(world))
    finally:
        lift()
    assert checked.returncode == 1 and "--transactional-id" in checked.stdout, checked.stdout
    assert world.execute("check", **_sasl(world)).returncode == 0


def _send(world, load, number, **settings):
    """Sends events with a new producer; returns the producer and the records that it sent."""
    producer = Producer({"bootstrap.servers": world.broker.address, "linger.ms": 20,
                         "log_level": 0, **settings})
    if "transactional.id" in settings:
        producer.init_transactions(30)
        producer.begin_transaction()
    sent = []

    def delivered(error, message, event):
        assert error is None, error
        partition, key, value, timestamp_ms, headers = event
        sent.append(oracle.Record(partition, message.offset(), key, value, timestamp_ms, headers))

    for _ in range(number):
        event = load.make_event()
        producer.produce(world.topic, event[2], event[1], event[0], timestamp=event[3],
                         headers=event[4],
                         on_delivery=lambda error, message, e=event: delivered(error, message, e))
    assert producer.flush(30) == 0
    return producer, sent


def test_every_codec_and_aborted_transactions(world):
    """Aborted records and control records are gaps in the offsets and are not counted."""
    load = world.make_load()
    for codec in kafka.CODECS:
        load.records += _send(world, load, 60, **{"compression.type": codec})[1]
    assert world.broker.codecs(world.topic) == set(kafka.CODECS)
    producer, _ = _send(world, load, 60, **{"transactional.id": world.topic})
    producer.abort_transaction(30)
    producer, sent = _send(world, load, 60, **{"transactional.id": world.topic,
                                               "compression.type": "zstd"})
    producer.commit_transaction(30)
    load.records += sent
    # Markers are written only after the commit has returned. Wait for them, and write more records
    # behind: a marker at the end of a log is not a record, so the watermarks would stay below it.
    wait.until(lambda: world.broker.stable_offsets(world.topic) ==
               world.broker.end_offsets(world.topic), 30, "both transactions to end in the log")
    load.produce(100)
    instance = world.run()
    world.verify(load, instance)
