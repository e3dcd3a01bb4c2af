"""Bytewax: its Kafka source and sink, batches of 10,000, a custom sink that adds counts to Redis.

It has no recovery store, which at-least-once would need. This favours Bytewax.
"""

import os

import bytewax.operators as op
import redis
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from counts import Counts

BROKERS = [os.environ["PEER_BROKERS"]]


class RedisPartition(StatelessSinkPartition):
    """Stores the counts of a batch at once."""

    def __init__(self):
        self._client = redis.Redis(port=int(os.environ["PEER_REDIS_PORT"]))

    def write_batch(self, items):
        """Stores the counts that have arrived."""
        for counts in items:
            counts.store(self._client)


class RedisSink(DynamicSink):
    """One connection for each worker."""

    def build(self, step_id, worker_index, worker_count):
        """Opens the connection."""
        return RedisPartition()


def count(messages):
    """Counts a batch."""
    counts = Counts()
    for message in messages:
        counts.add(message.value)
    return [counts] if messages else []


def to_sink(messages):
    """Converts messages for the sink, with unchanged bytes."""
    return [KafkaSinkMessage(message.key, message.value) for message in messages]


flow = Dataflow("peer")
logins = op.input("logins", flow,
                  KafkaSource(BROKERS, [os.environ["PEER_INPUT"]], batch_size=10000,
                              add_config={"fetch.queue.backoff.ms": "10"}))
op.output("counts", op.flat_map_batch("count", logins, count), RedisSink())
op.output("processed", op.flat_map_batch("to_sink", logins, to_sink),
          KafkaSink(BROKERS, os.environ["PEER_OUTPUT"]))
