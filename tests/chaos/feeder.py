"""Writes the numbered input at an adjustable rate, and retries until Kafka has taken it."""

import ctypes
import time

from confluent_kafka import KafkaError, KafkaException, Producer

import records
import worker

_SLICE_S = 0.02
_OUTSTANDING_MAX = 100000


class Feeder:
    """The handle of the feeding process.

    sent[p] is raised before a record is passed to the producer, acknowledged[p] once Kafka has it,
    so the number of records that Kafka holds in partition p lies between the two. lost[p] of them
    are not in its log any more: the offset of those behind is so much lower than their number.
    """

    def __init__(self, address, topic, seed, partitions, per_second):
        self.sent, self.acknowledged = worker.shared_numbers(), worker.shared_numbers()
        self.lost = worker.shared_numbers()
        self._partitions = worker.shared_value(ctypes.c_int, partitions)
        self._rate = worker.shared_value(ctypes.c_double, 0)
        self._stop = worker.shared_value(ctypes.c_bool, False)
        self._rests = worker.shared_value(ctypes.c_bool, True)
        self.per_second = per_second
        self.worker = worker.Worker("feeder", _feed, address, topic, seed, self._partitions,
                                    self._rate, self._stop, self._rests, self.sent,
                                    self.acknowledged, self.lost)

    @property
    def partition_count(self):
        """The number of partitions that records go to."""
        return self._partitions.value

    def spread(self, partitions):
        """Sends records to this many partitions from now on; they must exist."""
        self._partitions.value = partitions

    def lose(self, counts):
        """Kafka has lost the newest counts[p] records of each partition. Only while idle."""
        for partition, count in counts.items():
            self.lost[partition] += count

    def offsets(self, counts):
        """Returns the offsets behind the first counts[p] records of each partition."""
        return {p: n - self.lost[p] for p, n in counts.items()}

    def go(self):
        """Starts sending records."""
        self._rests.value = False
        self._rate.value = self.per_second

    def pause(self):
        """Stops sending records; is_idle() turns true once all are acknowledged."""
        self._rate.value = 0

    def is_idle(self):
        """Whether nothing is being sent and everything sent is acknowledged."""
        self.worker.check()
        return self._rate.value == 0 and self._rests.value and \
            list(self.sent) == list(self.acknowledged)

    def counts(self):
        """Returns partition -> acknowledged records, for partitions that have any."""
        return {p: n for p, n in enumerate(self.acknowledged) if n}

    def total(self):
        """The number of records that Kafka has acknowledged."""
        return sum(self.acknowledged)

    def stop(self):
        """Stops the process cleanly."""
        self._stop.value = True
        self.worker.join()


def _feed(address, topic, seed, partitions, rate, stop, rests, sent, acknowledged, lost):
    def delivered(error, message):
        assert error is None, f"the harness's own producer failed: {error}"
        partition, offset = message.partition(), message.offset()
        assert offset == acknowledged[partition] - lost[partition], \
            f"{topic}[{partition}]: record {acknowledged[partition]} got offset {offset}"
        acknowledged[partition] += 1

    def make():
        return Producer({
            "bootstrap.servers": address, "enable.idempotence": True, "acks": "all",
            "linger.ms": 20, "compression.codec": "lz4", "message.timeout.ms": 0,
            "retry.backoff.max.ms": 500, "reconnect.backoff.max.ms": 500,
            "queue.buffering.max.messages": 2 * _OUTSTANDING_MAX,
            "topic.metadata.refresh.interval.ms": 1000, "log_level": 0, "on_delivery": delivered})

    producer, known = make(), sum(lost)
    source = records.Records(seed)
    due, last = 0.0, time.monotonic()
    while not stop.value:
        if known != sum(lost):  # the broker expects what the old one sent to be in the log
            producer, known = make(), sum(lost)
        now, speed = time.monotonic(), rate.value
        rests.value = speed == 0
        due, last = min(due + (now - last) * speed, speed), now
        producer.poll(0)
        while due >= 1 and len(producer) < _OUTSTANDING_MAX:
            count = min(int(due) // partitions.value + 1, 200)
            took = sum(_send(producer, topic, source, sent, partition, count)
                       for partition in range(partitions.value))
            due -= took
            producer.poll(0)
            if not took:
                break
        time.sleep(_SLICE_S)
    assert producer.flush(60) == 0, "records of the harness were not acknowledged"


def _send(producer, topic, source, sent, partition, count):
    """Passes the next count records of a partition to the producer; returns how many it took."""
    for done in range(count):
        number = sent[partition]
        made = source.template(partition, number)
        value = made.head
        if made.tail is not None:
            value += records.tag_of(partition, number) + made.tail
        sent[partition] = number + 1
        try:
            producer.produce(topic, value, made.key, partition, timestamp=made.timestamp_ms,
                             headers=made.headers)
        except (KafkaException, BufferError) as error:
            sent[partition] = number
            if isinstance(error, BufferError) or \
                    error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                return done  # the queue is full, or the producer does not know a new partition yet
            raise
    return count
