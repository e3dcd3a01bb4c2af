"""What PFCOUNT must answer for a set of values, by another implementation than the program's."""

import math

_REGISTERS, _RANK_MAX, _FACTOR, _WORD = 1 << 14, 51, 0xc6a4a7935bd1e995, (1 << 64) - 1


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


def registers(values):
    """The ranks of the registers that texts leave, by register."""
    found = {}
    for value in values:
        number = _hash(value.encode())
        rest = number >> 14 | 1 << _RANK_MAX - 1
        rank = (rest & -rest).bit_length()
        register = number % _REGISTERS
        found[register] = max(found.get(register, 0), rank)
    return found


def count(values):
    """The estimate (O. Ertl, arXiv:1702.01284) for different texts."""
    ranks = list(registers(values).values())
    have = [ranks.count(rank) for rank in range(_RANK_MAX + 1)]
    assert have[_RANK_MAX] == 0, "too many values for this short version"
    z = 0.0
    for rank in range(_RANK_MAX - 1, 0, -1):
        z = (z + have[rank]) * 0.5
    x, weight, before = (_REGISTERS - len(ranks)) / _REGISTERS, 1.0, None
    total = x
    while total != before:
        before, x = total, x * x
        total, weight = total + x * weight, weight * 2
    z += _REGISTERS * total
    return int(0.5 / math.log(2) * _REGISTERS * _REGISTERS / z + 0.5) if ranks else 0
