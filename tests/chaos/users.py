"""The HyperLogLogs that the users of the first records of each partition leave, at any place.

What a record adds depends on nothing but the records before it in its partition. So of each
partition it is enough to remember which records raised the rank of a register, and these are few:
the state at a later place is made from the one before.
"""

import array
import threading

import hyperloglog

#: States that are kept, the least recently used is made again where none can be continued: one for
#: what was sent, one for what was counted.
STATES = 2
_RANK_BITS, _REGISTER_BITS, _KEY_BITS = 6, 14, 12
_KEY_SHIFT = _RANK_BITS + _REGISTER_BITS
_NUMBER_SHIFT = _KEY_SHIFT + _KEY_BITS


class _News:
    """Of one partition, without some of its records: all that raised the rank of a register."""

    def __init__(self, keys_and_user):
        self._keys_and_user = keys_and_user  # of a record's number; None: it adds nothing
        self._registers = {}
        self.known = 0
        self.words = array.array("Q")

    def learn(self, count):
        """Looks at the records up to the first `count`."""
        for number in range(self.known, count):
            found = self._keys_and_user(number)
            if found is None:
                continue
            keys, user = found
            register, rank = hyperloglog.place(user)
            for key in keys:
                ranks = self._registers.setdefault(key, bytearray(hyperloglog.REGISTERS))
                if rank > ranks[register]:
                    ranks[register] = rank
                    self.words.append(number << _NUMBER_SHIFT | key << _KEY_SHIFT |
                                      register << _RANK_BITS | rank)
        self.known = max(self.known, count)


class State:
    """The registers of all partitions together."""

    def __init__(self):
        self.numbers = {}  # of each source: how many records
        self._read = {}  # how many of its words
        self.registers = {}

    def can_become(self, wanted):
        """Whether all that it has is wanted."""
        return all(count <= wanted.get(source, -1) for source, count in self.numbers.items())

    def advance(self, wanted, news):
        """Adds what is wanted besides."""
        for source, count in wanted.items():
            words, at = news[source].words, self._read.get(source, 0)
            while at < len(words) and words[at] >> _NUMBER_SHIFT < count:
                word = words[at]
                key = word >> _KEY_SHIFT & (1 << _KEY_BITS) - 1
                register = word >> _RANK_BITS & (1 << _REGISTER_BITS) - 1
                rank = word & (1 << _RANK_BITS) - 1
                ranks = self.registers.setdefault(key, bytearray(hyperloglog.REGISTERS))
                ranks[register] = max(ranks[register], rank)
                at += 1
            self._read[source] = at
        self.numbers = dict(wanted)


class Users:
    """The distinct counts, as a function of how many records of each partition are counted.

    keys_and_user(partition, number) says what a record adds: the names of the HyperLogLogs, and the
    value as bytes; or None. Any thread may ask.
    """

    def __init__(self, keys_and_user):
        self._keys_and_user = keys_and_user
        self._keys = {}  # name -> index
        self._news = {}
        self._lock = threading.Lock()
        self._states = [State() for _ in range(STATES)]  # the least recently used first

    def _of(self, partition, left_out):
        def found(number):
            if number in left_out:
                return None
            made = self._keys_and_user(partition, number)
            if made is None:
                return None
            names, user = made
            return [self._keys.setdefault(name, len(self._keys)) for name in names], user
        return _News(found)

    def registers(self, counts, without):
        """name -> ranks of all registers, for the first counts[p] records of each p but those in
        without[p]."""
        with self._lock:
            return self._registers(counts, without)

    def _registers(self, counts, without):
        wanted = {}
        for partition, count in counts.items():
            left_out = without.get(partition, range(0))
            source = partition, left_out if left_out.start < count else range(0)
            wanted[source] = count
            self._news.setdefault(source, self._of(*source)).learn(count)
        able = [state for state in self._states if state.can_become(wanted)]
        state = max(able, key=lambda each: sum(each.numbers.values()), default=None)
        self._states.remove(state or self._states[0])
        state = state or State()
        self._states.append(state)
        state.advance(wanted, self._news)
        return {name: bytes(state.registers[key]) for name, key in self._keys.items()
                if key in state.registers}
