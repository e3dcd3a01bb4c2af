"""The fastest plain Python: large batches, orjson, transactions, Redis in one round trip.

The output is exactly once; a crash between commit and store can lose a second of counts.
"""

import signal
import sys
import time

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from counts import Counts

BATCH = 10000
CHECKPOINT_S = 1.0


class Checkpoint:
    """The records read since the last checkpoint, and how to commit them."""

    def __init__(self, consumer, producer, client):
        self._consumer, self._producer, self._client = consumer, producer, client
        self.counts = Counts()
        self.offsets = {}
        self.due = 0.0

    def commit(self):
        """Ends the transaction and stores the counts."""
        self._producer.send_offsets_to_transaction(
            [TopicPartition(topic, partition, offset)
             for (topic, partition), offset in self.offsets.items()],
            self._consumer.consumer_group_metadata())
        self._producer.commit_transaction()
        self.counts.store(self._client)
        self.offsets.clear()


def produce(producer, topic, message):
    """Sends the record's bytes unchanged; waits while the queue is full."""
    while True:
        try:
            producer.produce(topic, message.value(), message.key(), message.partition())
            return
        except BufferError:
            producer.poll(0.01)


def main(brokers, group, input_topic, output_topic, redis_port):
    """Runs until SIGTERM."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "fetch.queue.backoff.ms": 10})
    consumer.subscribe([input_topic])
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": group})
    producer.init_transactions()
    checkpoint = Checkpoint(consumer, producer, redis.Redis(port=int(redis_port)))
    try:
        while True:
            messages = consumer.consume(BATCH, 0.05)
            if messages and not checkpoint.offsets:
                producer.begin_transaction()
                checkpoint.due = time.monotonic() + CHECKPOINT_S
            for message in messages:
                checkpoint.counts.add(message.value())
                produce(producer, output_topic, message)
                checkpoint.offsets[message.topic(), message.partition()] = message.offset() + 1
            producer.poll(0)
            if checkpoint.offsets and time.monotonic() >= checkpoint.due:
                checkpoint.commit()
    finally:
        if checkpoint.offsets:
            checkpoint.commit()
        consumer.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(*sys.argv[1:])
