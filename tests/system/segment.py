"""Segments of a stopped broker: rewritten in formats of before Kafka 0.11, or damaged."""

import glob
import gzip
import os
import struct
import zlib

_GZIP = 1


def _bytes(value):
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def message(magic, offset, key, value, timestamp_ms, attributes=0):
    """One message of format 0, which has no time, or 1."""
    body = struct.pack(">bb", magic, attributes)
    if magic == 1:
        body += struct.pack(">q", timestamp_ms)
    body += _bytes(key) + _bytes(value)
    return struct.pack(">qiI", offset, 4 + len(body), zlib.crc32(body)) + body


def wrapper(magic, records):
    """Records as a gzipped message set in one message, whose offset is the last one's."""
    base = records[0].offset if magic == 1 else 0  # only format 1 counts from the first
    inner = b"".join(message(magic, r.offset - base, r.key, r.value, r.timestamp_ms)
                     for r in records)
    return message(magic, records[-1].offset, None, gzip.compress(inner),
                   max(r.timestamp_ms for r in records), _GZIP)


def _path(broker, topic, partition):
    return os.path.join(broker.folder, "data", f"{topic}-{partition}", "0" * 20 + ".log")


def replace(broker, topic, partition, log):
    """Puts another log in the place of a partition's only segment. The broker does not run."""
    segment = _path(broker, topic, partition)
    with open(segment, "wb") as out:
        out.write(log)
    for path in glob.glob(os.path.join(os.path.dirname(segment), "0*")):
        if path != segment:  # indexes and the like: made anew from the log, which is checked too
            os.unlink(path)


def positions(broker, topic, partition):
    """Where each batch, or message of an old format, begins in the first segment."""
    found, at = [], 0
    with open(_path(broker, topic, partition), "rb") as segment:
        log = segment.read()
    while at + 12 <= len(log):
        found.append(at)
        at += 12 + struct.unpack_from(">i", log, at + 8)[0]
    return found


def flip(broker, topic, partition, position):
    """Turns one bit of the first segment over, or back. The broker does not run."""
    with open(_path(broker, topic, partition), "r+b") as segment:
        segment.seek(position)
        byte = segment.read(1)[0]
        segment.seek(position)
        segment.write(bytes([byte ^ 1]))
