"""The concurrent read_committed reader of both output topics.

It knows which record each partition must deliver next and accepts nothing else. A duplicate,
missing, reordered or changed record ends the run at once.
"""

import ctypes

from confluent_kafka import Consumer, KafkaError, TopicPartition

import records
import worker

_ERRORS = "__rollcall.errors."
_HEADERS = {"reason", "detail", "topic", "partition", "offset"}


class Reader:
    """The handle of the reading process.

    accepted[p] and rejected[p] are the numbers of partition p's next record in each topic: all
    records below were seen once, in order and unchanged. seen counts the records seen in each
    topic. ends[0][p] and ends[1][p] are the offsets at which their logs were last found to end.
    """

    def __init__(self, address, topic, output, rejected, seed, partitions):
        self.accepted, self.rejected = worker.shared_numbers(), worker.shared_numbers()
        self.seen = worker.shared_numbers(2)
        self.lost = worker.shared_numbers()  # see Feeder
        self.ends = worker.shared_numbers(), worker.shared_numbers()
        self._partitions = worker.shared_value(ctypes.c_int, partitions)
        self._stop = worker.shared_value(ctypes.c_bool, False)
        self.worker = worker.Worker("reader", _read, address, topic, output, rejected, seed,
                                    self._partitions, self._stop, self.accepted, self.rejected,
                                    self.seen, self.ends, self.lost)

    def spread(self, partitions):
        """Reads this many partitions from now on; they must exist."""
        self._partitions.value = partitions

    def has_all(self, counts):
        """Whether the output of the first counts[p] records of each partition has been seen."""
        self.worker.check()
        return all(self.accepted[p] >= n and self.rejected[p] >= n for p, n in counts.items())

    def has_reached(self, ends_accepted, ends_rejected):
        """Whether both topics have been read up to these offsets (partition -> offset)."""
        self.worker.check()
        return all(self.ends[which][p] >= end
                   for which, ends in enumerate((ends_accepted, ends_rejected))
                   for p, end in ends.items())

    def stop(self):
        """Stops the process."""
        self._stop.value = True
        self.worker.join()


class _Row:
    """The records of one input partition that one topic must hold."""

    def __init__(self, source, partition, wants_rejected, topic, positions, lost):
        self._source = source
        self._partition = partition
        self._wants_rejected = wants_rejected
        self._topic = topic
        self._positions = positions
        self._lost = lost
        self._seek(0)

    def _seek(self, number):
        template = self._source.template
        made = template(self._partition, number)
        while (made.reason is not None) != self._wants_rejected:
            number += 1
            made = template(self._partition, number)
        self._number, self._made = number, made
        self._positions[self._partition] = number

    def take(self, message):
        """Compares the next message with the expected record."""
        made, number = self._made, self._number
        value, key = made.head, made.out_key
        if made.tail is not None:
            tag = records.tag_of(self._partition, number)
            value += tag + made.tail
            if key is records.TAG:
                key = tag
        headers = message.headers()
        if self._wants_rejected:
            headers = self._take_reason(headers or [], made, number)
        if message.key() != key or message.value() != value or \
                message.timestamp()[1] != made.timestamp_ms or (headers or None) != made.headers:
            self._wrong(message, (key, value, made.timestamp_ms, made.headers), headers)
        self._seek(number + 1)

    def _take_reason(self, headers, made, number):
        """Checks the headers that rollcall added to a rejected record; returns the others."""
        found = {n.removeprefix(_ERRORS): v for n, v in headers if n.startswith(_ERRORS)}
        rest = [(n, v) for n, v in headers if not n.startswith(_ERRORS)]
        right = {"reason": made.reason.encode(), "topic": self._topic.encode(),
                 "partition": b"%d" % self._partition,
                 "offset": b"%d" % (number - self._lost[self._partition])}
        if found.keys() != _HEADERS or len(found) + len(rest) != len(headers) \
                or not found["detail"] or any(found[name] != value
                                              for name, value in right.items()):
            offset = int(found.get("offset", -1))
            raise AssertionError(
                f"{_name_disorder(offset, number)}: rejected record {number} of partition "
                f"{self._partition}: expected headers {right}, found {found}")
        return rest

    def _wrong(self, message, expected, headers):
        offset = self._number_in(message)
        raise AssertionError(
            f"{_name_disorder(offset, self._number)}: {message.topic()}[{message.partition()}] at "
            f"offset {message.offset()}: expected record {self._number}: {expected}, found "
            f"{message.key(), message.value(), message.timestamp()[1], headers}")

    def _number_in(self, message):
        """Guesses the number of the record in a message; None if it has no tag."""
        prefix = records.tag_of(self._partition, 0)[:-1]
        for text in (message.value() or b"", message.key() or b""):
            for quoted in text.split(b'"'):
                if quoted.startswith(prefix) and quoted[len(prefix):].isdigit():
                    return int(quoted[len(prefix):])
        return None


def _name_disorder(found, expected):
    """Names the error of finding record `found` where `expected` should be."""
    if found is None or found == expected:
        return "a record changed"
    return "a record seen twice or late" if found < expected else "a record missing or early"


def _read(address, topic, output, rejected, seed, partitions, stop, accepted, refused, seen,
          ends, lost):
    source = records.Records(seed)
    consumer = Consumer({
        "bootstrap.servers": address, "group.id": "chaos-reader", "enable.auto.commit": False,
        "isolation.level": "read_committed", "auto.offset.reset": "error", "log_level": 0,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 200, "fetch.queue.backoff.ms": 10, "check.crcs": True,
        "queued.max.messages.kbytes": 16384, "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 1000})
    rows = {}
    while not stop.value:
        count = partitions.value
        if len(rows) < 2 * count:
            added = []
            for p in range(len(rows) // 2, count):
                rows[output, p] = _Row(source, p, False, topic, accepted, lost)
                rows[rejected, p] = _Row(source, p, True, topic, refused, lost)
                added += [TopicPartition(output, p, 0), TopicPartition(rejected, p, 0)]
            consumer.incremental_assign(added)
        for message in consumer.consume(2000, 0.2):
            error = message.error()
            if error is None:
                seen[message.topic() == rejected] += 1
                rows[message.topic(), message.partition()].take(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[message.topic() == rejected][message.partition()] = message.offset()
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise AssertionError(f"reading {message.topic()}[{message.partition()}]: "
                                     f"{error.str()}")
    consumer.close()
