"""Fills a topic with logins that `rollcall generate` cannot make: many values, other sizes."""

from confluent_kafka import Producer

import world as worlds

_LOGIN = ('{"user_id": "u%07d", "locale": "%s", "timestamp": %d, "device_type": "%s"%s}')
_PAD = ', "note": "%s"'
DEVICES = ("android", "iOS", "web")
PER_SECOND = 1000  # records per second of event time


def _padding(size):
    """Returns the padding for a record of size bytes; empty if it is already that large."""
    if size is None:
        return ""
    plain = len(_LOGIN % (0, f"L{0:06d}", worlds.START, "iOS", ""))
    room = size - plain - len(_PAD % "")
    return _PAD % ("x" * room) if room >= 0 else ""


def fill(records, world, values=50, size=None):
    """Writes records.count logins with this many locales, of about size bytes each."""
    world.broker.create_topic(records.topic, records.partitions)
    producer = Producer({"bootstrap.servers": world.broker.address, "enable.idempotence": True,
                         "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    padding = _padding(size)
    for number in range(records.count):
        second = worlds.START + number // PER_SECOND
        value = _LOGIN % (number, f"L{number * 7919 % values:06d}", second, DEVICES[number % 3],
                          padding)
        while True:
            try:
                producer.produce(records.topic, value, partition=number % records.partitions,
                                 timestamp=second * 1000)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        raise RuntimeError("the broker did not acknowledge all records within 60 s")
    records.learn(world)
    return records
