"""Copies a topic to another cluster as it grows, as MirrorMaker does: partition, key, value,
timestamp and headers stay, and so does the order within a partition."""

import threading

from confluent_kafka import Consumer, Producer, TopicPartition

import wait


class Mirror:
    """A running copy, from the beginning of the topic."""

    def __init__(self, source, target, topic, partitions):
        self._source, self._target, self._topic = source, target, topic
        self._consumer = Consumer({
            "bootstrap.servers": source.address, "group.id": f"{topic}-mirror", "log_level": 0,
            "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        self._producer = Producer({
            "bootstrap.servers": target.address, "enable.idempotence": True, "linger.ms": 5,
            "log_level": 0, "queue.buffering.max.messages": 200000, "message.max.bytes": 2000000})
        self._stop, self._error = threading.Event(), None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                for message in self._consumer.consume(5000, 0.05):
                    assert message.error() is None, message.error()
                    self._send(message)
                self._producer.poll(0)
        except BaseException as error:  # raised again by close
            self._error = error

    def _send(self, message):
        while True:
            try:
                self._producer.produce(
                    self._topic, message.value(), message.key(), message.partition(),
                    timestamp=message.timestamp()[1], headers=message.headers())
                return
            except BufferError:
                self._producer.poll(0.1)

    def wait_complete(self, seconds=120):
        """Waits until everything that the source has now is in the target."""
        goal = self._source.end_offsets(self._topic)
        wait.until(lambda: self._error or self._target.end_offsets(self._topic) == goal, seconds,
                   lambda: f"the mirror to come to {goal}", every=0.1)

    def close(self):
        """Ends it; raises what it stumbled over."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(60)
        self._consumer.close()
        if self._error:
            raise self._error
