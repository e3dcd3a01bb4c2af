"""Reads the record batch headers in the broker's log folders.

They give figures that no client reports: stored bytes, batches, and transactions. Each transaction
leaves one commit marker in the partition of __consumer_offsets that its offsets went to.
"""

import collections
import dataclasses
import os
import re
import struct

#: Record batch, version 2: base offset, length, leader epoch, magic, checksum, attributes, last
#: offset delta, two timestamps, producer, epoch, sequence, records.
_BATCH = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH_COUNTS = 12
_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_COMMIT_KEY = struct.pack(">hh", 0, 1)

_FOLDER = re.compile(r"(.+)-(\d+)")


@dataclasses.dataclass
class Stored:
    """Totals over batches: bytes, records that are committed or not transactional, aborted records,
    and the markers of both. Records of open transactions only count as bytes."""
    bytes: int = 0
    batches: int = 0
    records: int = 0
    aborted: int = 0
    commits: int = 0
    aborts: int = 0

    def __iadd__(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


def _segments(data, only=None):
    """Yields (topic, path, size) for every segment of one topic or of all."""
    with os.scandir(data) as folders:
        for folder in folders:
            match = _FOLDER.fullmatch(folder.name)
            if not match or (only and match.group(1) != only):
                continue
            try:
                for name in os.listdir(folder.path):
                    path = os.path.join(folder.path, name)
                    if name.endswith(".log"):
                        yield match.group(1), path, os.path.getsize(path)
            except FileNotFoundError:
                continue  # the partition is being deleted


def sizes(data):
    """Returns path -> current bytes, as the starting point for since()."""
    return {path: size for _, path, size in _segments(data)}


def _walk(path, start, end):
    found = Stored()
    pending = collections.Counter()  # producer -> records of its open transaction
    with open(path, "rb") as segment:
        at = start
        while at + _BATCH.size <= end:
            segment.seek(at)
            header = segment.read(_BATCH.size + 16)
            fields = _BATCH.unpack_from(header)
            length, attributes, producer, count = fields[1], fields[5], fields[9], fields[12]
            if length <= 0:
                break
            found.batches += 1
            if attributes & _CONTROL:
                # One record: length, attributes, two deltas and the key length, one byte each.
                is_commit = header[_BATCH.size + 5:_BATCH.size + 9] == _COMMIT_KEY
                ended = pending.pop(producer, 0)
                if is_commit:
                    found.commits += 1
                    found.records += ended
                else:
                    found.aborts += 1
                    found.aborted += ended
            elif attributes & _TRANSACTIONAL:
                pending[producer] += count
            else:
                found.records += count
            at += _BEFORE_LENGTH_COUNTS + length
    found.bytes = at - start
    return found


def since(data, before, only=None):
    """Returns topic -> Stored for everything written after `before`, a result of sizes()."""
    found = {}
    for topic, path, size in _segments(data, only):
        start = before.get(path, 0)
        if size > start:
            found.setdefault(topic, Stored()).__iadd__(_walk(path, start, size))
    return found
