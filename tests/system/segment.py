"""Rewrites log segments of a stopped broker in formats older than Kafka 0.11, or damages them."""

import glob
import gzip
import os
import struct
import zlib

_GZIP = 1


def _bytes(value):
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def message(magic, offset, key, value, timestamp_ms, attributes=0):
    """Returns one message of format 1, or of format 0, which has no timestamp."""
    body = struct.pack(">bb", magic, attributes)
    if magic == 1:
        body += struct.pack(">q", timestamp_ms)
    body += _bytes(key) + _bytes(value)
    return struct.pack(">qiI", offset, 4 + len(body), zlib.crc32(body)) + body


def wrapper(magic, records):
    """Returns records as a gzipped message set in one message, with the offset of the last one."""
    base = records[0].offset if magic == 1 else 0  # inner offsets are relative in format 1 only
    inner = b"".join(message(magic, r.offset - base, r.key, r.value, r.timestamp_ms)
                     for r in records)
    return message(magic, records[-1].offset, None, gzip.compress(inner),
                   max(r.timestamp_ms for r in records), _GZIP)


def _path(broker, topic, partition):
    return os.path.join(broker.folder, "data", f"{topic}-{partition}", "0" * 20 + ".log")


def replace(broker, topic, partition, log):
    """Replaces the only segment of a partition. The broker must be stopped."""
    segment = _path(broker, topic, partition)
    with open(segment, "wb") as out:
        out.write(log)
    for path in glob.glob(os.path.join(os.path.dirname(segment), "0*")):
        if path != segment:  # indexes and the like: the broker checks the log and rebuilds them
            os.unlink(path)


def positions(broker, topic, partition):
    """Returns where each batch, or message of an old format, begins in the first segment."""
    found, at = [], 0
    with open(_path(broker, topic, partition), "rb") as segment:
        log = segment.read()
    while at + 12 <= len(log):
        found.append(at)
        at += 12 + struct.unpack_from(">i", log, at + 8)[0]
    return found


def flip(broker, topic, partition, position):
    """Flips one bit of the first segment, or flips it back. The broker must be stopped."""
    with open(_path(broker, topic, partition), "r+b") as segment:
        segment.seek(position)
        byte = segment.read(1)[0]
        segment.seek(position)
        segment.write(bytes([byte ^ 1]))
