"""Quix Streams: exactly-once into Kafka, and a custom sink that adds counts to Redis."""

import sys

import redis
from quixstreams import Application
from quixstreams.sinks import BaseSink

from counts import Counts


class RedisCounts(BaseSink):
    """Counts records as they arrive, and stores the counts when Quix makes a checkpoint."""

    def __init__(self, port):
        super().__init__()
        self._client = redis.Redis(port=port)
        self._counts = Counts()

    def add(self, value, key, timestamp, headers, topic, partition, offset):
        """Counts one record."""
        self._counts.add(value)

    def flush(self):
        """Stores the counts."""
        self._counts.store(self._client)


def main(brokers, group, input_topic, output_topic, redis_port):
    """Runs until SIGTERM."""
    app = Application(broker_address=brokers, consumer_group=group, auto_offset_reset="earliest",
                      processing_guarantee="exactly-once", commit_interval=1.0,
                      auto_create_topics=False, use_changelog_topics=False, loglevel="WARNING",
                      consumer_extra_config={"fetch.queue.backoff.ms": 10})
    output = app.topic(output_topic, value_serializer="bytes")
    logins = app.dataframe(app.topic(input_topic, value_deserializer="bytes"))
    logins.to_topic(output)
    logins.sink(RedisCounts(int(redis_port)))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
