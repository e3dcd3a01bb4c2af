"""What Redis must hold for a set of values, by another implementation than the program's."""

import base64
import functools
import math

REGISTERS = 1 << 14
_RANK_MAX, _FACTOR, _WORD = 51, 0xc6a4a7935bd1e995, (1 << 64) - 1
_HEADER = 16

_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = bytes.maketrans(_DIGITS, bytes(range(64)))


def _hash(data):
    """MurmurHash64A with the seed of Redis."""
    found = 0xadc83b19 ^ (len(data) * _FACTOR & _WORD)
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        word = int.from_bytes(data[at:at + 8], "little") * _FACTOR & _WORD
        word = (word ^ word >> 47) * _FACTOR & _WORD
        found = (found ^ word) * _FACTOR & _WORD
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _WORD
    found = (found ^ found >> 47) * _FACTOR & _WORD
    return found ^ found >> 47


def place(data):
    """The register of a value, and the rank that the value gives it."""
    number = _hash(data)
    rest = number >> 14 | 1 << _RANK_MAX - 1
    return number % REGISTERS, (rest & -rest).bit_length()


def _ranks(values):
    """The ranks of the registers that texts leave, by register."""
    found = {}
    for value in values:
        register, rank = place(value.encode())
        found[register] = max(found.get(register, 0), rank)
    return found


def registers(values):
    """The ranks of all registers that texts leave, as bytes."""
    found = bytearray(REGISTERS)
    for register, rank in _ranks(values).items():
        found[register] = rank
    return bytes(found)


def stored(text):
    """The ranks of all registers of a HyperLogLog as Redis holds it; raises if it is none."""
    head, body = text[:_HEADER], text[_HEADER:]
    if head[:5] == b"HYLL\0" and len(body) == REGISTERS * 6 // 8:
        # 6 bits each, the lowest first: from behind, they are the digits of base64
        return base64.b64encode(body[::-1])[::-1].translate(_VALUES)
    if head[:5] != b"HYLL\1":
        raise ValueError(f"not a HyperLogLog: {head!r}, {len(text)} bytes")
    found, at = bytearray(), 0
    while at < len(body):
        byte = body[at]
        if byte & 0x80:
            found += bytes([(byte >> 2 & 31) + 1]) * ((byte & 3) + 1)
        elif byte & 0x40:
            at += 1
            found += bytes(((byte & 0x3f) << 8 | body[at]) + 1)
        else:
            found += bytes((byte & 0x3f) + 1)
        at += 1
    if len(found) != REGISTERS:
        raise ValueError(f"a HyperLogLog of {len(found)} registers")
    return bytes(found)


def count(values):
    """The number that PFCOUNT answers, for different texts or for the ranks of all registers."""
    if isinstance(values, bytes):
        return _estimate(tuple(values.count(rank) for rank in range(_RANK_MAX + 1)))
    have = [0] * (_RANK_MAX + 1)
    for rank in _ranks(values).values():
        have[rank] += 1
    have[0] = REGISTERS - sum(have)
    return _estimate(tuple(have))


@functools.lru_cache(100000)
def _estimate(have):
    """By how many registers have each rank (O. Ertl, arXiv:1702.01284)."""
    assert have[_RANK_MAX] == 0, "too many values for this short version"
    if have[0] == REGISTERS:
        return 0
    z = 0.0
    for rank in range(_RANK_MAX - 1, 0, -1):
        z = (z + have[rank]) * 0.5
    x, weight, before = have[0] / REGISTERS, 1.0, None
    total = x
    while total != before:
        before, x = total, x * x
        total, weight = total + x * weight, weight * 2
    z += REGISTERS * total
    return int(0.5 / math.log(2) * REGISTERS * REGISTERS / z + 0.5)
