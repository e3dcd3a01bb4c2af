"""What a fault is: a function, how often it is drawn, what it needs, and from where it draws.

A fault does harm, holds it for a while, and mends what it did. What its function takes by name is
drawn from the seed: (low, high) is a number between the two, of their kind; a list, one of its
members. Two faults that need the same resource never run at the same time.
"""

import random

FLEET, BROKER, REDIS, NET_KAFKA, NET_REDIS = "fleet", "broker", "redis", "net-kafka", "net-redis"

#: name -> Fault, in the order in which they are defined.
table = {}


class Fault:
    """One kind of fault."""

    def __init__(self, function, weight, resources, brokers, parameters):
        self.name = function.__name__
        self.function = function
        self.weight = weight
        self.resources = frozenset(resources)
        self.brokers = brokers  # for how many brokers it makes sense, None: any
        self.parameters = parameters

    def draw(self, rng):
        """Values for the parameters."""
        return {name: _draw(rng, choice) for name, choice in self.parameters.items()}


def _draw(rng, choice):
    if isinstance(choice, list):
        return rng.choice(choice)
    low, high = choice
    return rng.randint(low, high) if isinstance(low, int) else round(rng.uniform(low, high), 2)


def fault(weight, *resources, brokers=None, **parameters):
    """Makes a function (chaos, parameters by name) a fault of the table."""
    def enter(function):
        table[function.__name__] = Fault(function, weight, resources, brokers, parameters)
        return function
    return enter


def select(names, broker_count):
    """The faults that a list of names, resources or prefixes asks for; all for an empty list."""
    found = []
    for name in names:
        chosen = [f for f in table.values()
                  if f.name == name or name in f.resources or f.name.startswith(name + "_")]
        if not chosen:
            raise ValueError(f"no fault {name}; there are {', '.join(table)}, and all that need "
                             f"{FLEET}, {BROKER}, {REDIS}, {NET_KAFKA} or {NET_REDIS}")
        found += [f for f in chosen if f not in found]
    return [f for f in found or table.values() if f.brokers in (None, broker_count)]


class Schedule:
    """An endless row of (number, gap in seconds, Fault, parameters), the same for the same seed."""

    def __init__(self, seed, faults, every_s):
        self._seed = seed
        self._faults = faults
        self._every_s = every_s
        self._number = 0

    def next(self):
        """The next one."""
        self._number += 1
        rng = random.Random(f"{self._seed} fault {self._number}")
        chosen = rng.choices(self._faults, [f.weight for f in self._faults])[0]
        return self._number, rng.uniform(0, 2 * self._every_s), chosen, chosen.draw(rng)
