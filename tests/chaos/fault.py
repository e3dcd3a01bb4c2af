"""A fault is a function with a weight, the resources it needs, and ranges for its parameters.

A fault breaks something, keeps it broken for a while, and repairs it. Its keyword arguments are
drawn from the seed: (low, high) is a number between the two, of the same type; a list is a choice
of its members. Two faults that need the same resource never run at the same time.
"""

import random

FLEET, BROKER, REDIS, NET_KAFKA, NET_REDIS = "fleet", "broker", "redis", "net-kafka", "net-redis"
SENTINEL, CLUSTER = "sentinel", "cluster"

#: resource -> the only topology of Redis that has it.
_TOPOLOGIES = {REDIS: "single", NET_REDIS: "single", SENTINEL: "sentinel", CLUSTER: "cluster"}

#: name -> Fault, in the order in which they are defined.
table = {}


class Fault:
    """One kind of fault."""

    def __init__(self, function, weight, resources, brokers, parameters):
        self.name = function.__name__
        self.function = function
        self.weight = weight
        self.resources = frozenset(resources)
        self.brokers = brokers  # the number of brokers it applies to, None for any
        self.parameters = parameters

    def suits(self, brokers, topology):
        """Whether it applies to this number of brokers and topology of Redis."""
        return self.brokers in (None, brokers) and \
            all(_TOPOLOGIES.get(each, topology) == topology for each in self.resources)

    def draw(self, rng):
        """Draws values for the parameters."""
        return {name: _draw(rng, choice) for name, choice in self.parameters.items()}


def _draw(rng, choice):
    if isinstance(choice, list):
        return rng.choice(choice)
    low, high = choice
    return rng.randint(low, high) if isinstance(low, int) else round(rng.uniform(low, high), 2)


def fault(weight, *resources, brokers=None, **parameters):
    """Decorator that registers a function (chaos, **parameters) as a fault in the table."""
    def enter(function):
        table[function.__name__] = Fault(function, weight, resources, brokers, parameters)
        return function
    return enter


def select(names, brokers, topology="single"):
    """Returns the faults that match a list of names, resources or prefixes; all if it is empty."""
    found = []
    for name in names:
        chosen = [f for f in table.values()
                  if f.name == name or name in f.resources or f.name.startswith(name + "_")]
        if not chosen:
            raise ValueError(f"no fault is named {name}; choose from {', '.join(table)}, or a "
                             f"resource: {FLEET}, {BROKER}, {NET_KAFKA}, {', '.join(_TOPOLOGIES)}")
        found += [f for f in chosen if f not in found]
    chosen = [f for f in found or table.values() if f.suits(brokers, topology)]
    if names and not chosen:
        raise ValueError(f"none of {', '.join(names)} is for the topology {topology}")
    return chosen


class Schedule:
    """An endless series of (number, gap in seconds, Fault, parameters), determined by the seed."""

    def __init__(self, seed, faults, every_s):
        self._seed = seed
        self._faults = faults
        self._every_s = every_s
        self._number = 0

    def next(self):
        """Returns the next entry."""
        self._number += 1
        rng = random.Random(f"{self._seed} fault {self._number}")
        chosen = rng.choices(self._faults, [f.weight for f in self._faults])[0]
        return self._number, rng.uniform(0, 2 * self._every_s), chosen, chosen.draw(rng)
