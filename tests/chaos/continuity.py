"""Measures what a reader and a user notice of faults: how long publishing stood still, how soon
counting caught up with a new master, and how far the visible counts stepped back."""

import collections
import json
import statistics
import threading
import time

import redis

import fault

#: Faults with one of these resources are followed.
FOLLOWED = {fault.SENTINEL, fault.CLUSTER}

_SAMPLE_S, _ASK_S = 0.05, 0.2
_RECENT_S = 1.0  # counting has caught up when it lags less than this
_CATCH_UP_S = 20


class Noticed:
    """What was noticed of one fault."""

    def __init__(self):
        self.still_s, self.still_at = 0.0, ""  # without a published record: worst partition, when
        self.caught_up_s = []  # from each new master on, until counting lagged less than a second
        self.back, self.back_s = 0, 0.0  # the visible counts, in records, and for how long
        self.own_back = 0  # what the instances say they have counted
        self.late_s = 0.0  # how much later than it wanted the harness itself got a processor

    def __str__(self):
        took = ", ".join(f"{seconds:.1f}" for seconds in self.caught_up_s)
        return (f"published with no gap longer than {self.still_s:.1f} s{self.still_at}; counting "
                f"lagged less than 1 s again {took or '-'} s after a new master; visible counts "
                f"stepped back by {self.back} records for {self.back_s:.1f} s, the instances' own "
                f"by {self.own_back}; the harness waited up to {self.late_s:.1f} s for a processor")


class _Step:
    """How far a number steps back behind its highest value, and for how long."""

    def __init__(self):
        self._highest, self._since = 0, None
        self.most, self.longest_s = 0, 0.0

    def look(self, value, now):
        """Takes the number's present value."""
        if value >= self._highest:
            self._highest, self._since = value, None
            return
        self._since = self._since or now
        self.most = max(self.most, self._highest - value)
        self.longest_s = max(self.longest_s, now - self._since)


class _Servers:
    """Reads the counted offsets of all servers by connections that stay open."""

    def __init__(self, servers):
        self._clients = {server: redis.Redis(port=server.port, socket_timeout=0.3, retry=None)
                         for server in servers}
        self.offsets = {}  # server -> partition -> offset, when it last answered

    def look(self, key):
        """Asks all."""
        for server, client in self._clients.items():
            pipe = client.pipeline(transaction=False)
            pipe.execute_command("READONLY")  # a replica in a cluster needs it; others mind not
            pipe.hgetall(key)
            try:
                found = pipe.execute(raise_on_error=False)[1]
            except (redis.exceptions.RedisError, OSError):
                continue
            if isinstance(found, dict):
                self.offsets[server] = {int(p): int(offset) for p, offset in found.items()}


class Episode:
    """One fault, from its start until counting has caught up. Its samplers run at the same time: a
    server that does not answer must not delay the look at the output."""

    def __init__(self, world):
        self._world, self._begun = world, time.monotonic()
        self._servers = _Servers(world.redis.all_servers())
        self._key = f"{world.place.prefix}:offsets"
        self._sent = collections.deque()  # (time, acknowledged by partition)
        self._moved = {}  # partition -> (published, since)
        self._back, self._own_back = _Step(), _Step()
        self._master, self._new_since = None, None
        self.lag_s = None  # of counting, once known
        self._noticed = Noticed()

    def samplers(self):
        """Returns (function, seconds between its calls)."""
        return ((self.look_at_output, _SAMPLE_S), (self.look_at_counts, _SAMPLE_S),
                (self.look_at_master, _ASK_S))

    def look_at_output(self):
        """Takes a sample of what is sent and published."""
        now = time.monotonic()
        feeder, reader = self._world.feeder, self._world.reader
        self._sent.append((now, list(feeder.acknowledged)[:feeder.partition_count]))
        for partition in range(feeder.partition_count):
            found = max(reader.accepted[partition], reader.rejected[partition])
            before, since = self._moved.get(partition, (found, now))
            if now - since > self._noticed.still_s:
                self._noticed.still_s = now - since
                self._noticed.still_at = \
                    f" (partition {partition}, after {since - self._begun:.1f} s)"
            if found != before or partition not in self._moved:
                self._moved[partition] = found, now

    def look_at_master(self):
        """Takes a sample of which server is the master, and of what the instances say."""
        try:
            master = self._world.redis.master
        except redis.exceptions.RedisError:
            return  # nobody knows one
        if self._master not in (None, master) and self._new_since is None:
            self._new_since = time.monotonic()
        self._master = master
        own = _own_counted(self._world)
        if own is not None:
            self._own_back.look(own, time.monotonic())

    def look_at_counts(self):
        """Takes a sample of the counts that a user of the master sees."""
        self._servers.look(self._key)
        now, new_since = time.monotonic(), self._new_since
        offsets = self._servers.offsets.get(self._master)
        if offsets is None or not self._sent:
            return
        self._back.look(sum(offsets.values()), now)
        while len(self._sent) > 1 and _covers(offsets, self._sent[1][1]):
            self._sent.popleft()
        self.lag_s = now - self._sent[0][0] if _covers(offsets, self._sent[0][1]) else float("inf")
        if new_since is not None and self.lag_s < _RECENT_S:
            self._noticed.caught_up_s.append(max(now - new_since, 0))
            self._new_since = None

    def is_over(self):
        """Whether counting keeps up, with the present master."""
        return self.lag_s is not None and self.lag_s < _RECENT_S and self._new_since is None

    def late(self, seconds):
        """A sample was taken so much later than intended."""
        self._noticed.late_s = max(self._noticed.late_s, seconds)

    def noticed(self):
        """Returns the Noticed."""
        found = self._noticed
        found.back, found.back_s = self._back.most, self._back.longest_s
        found.own_back = self._own_back.most
        if self._new_since is not None:  # it never has
            found.caught_up_s.append(float("inf"))
        return found


def _covers(offsets, sent):
    return all(offsets.get(partition, 0) >= count for partition, count in enumerate(sent))


def _own_counted(world):
    """Returns the sum of the counted offsets as the instances show them, None if one is silent."""
    total = 0
    for slot in world.fleet.running():
        status, text = slot.instance.get("/status.json")
        if status != 200:
            return None
        counted = [part["counted"] for part in json.loads(text)["partitions"]]
        if None in counted:
            return None
        total += sum(counted)
    return total


class Continuity:
    """Follows the faults of Redis."""

    def __init__(self, world, say):
        self._world, self._say = world, say
        self.all = []  # (kind of fault, Noticed)

    def follow(self, name, kind, act):
        """Runs a fault while measuring; returns when counting has caught up."""
        episode, is_done = Episode(self._world), threading.Event()
        threads = [threading.Thread(target=_sample, args=(episode, is_done, *each), daemon=True)
                   for each in episode.samplers()]
        for thread in threads:
            thread.start()
        try:
            act()
            deadline = time.monotonic() + _CATCH_UP_S
            while not episode.is_over() and time.monotonic() < deadline:
                time.sleep(_SAMPLE_S)
        finally:
            is_done.set()
            for thread in threads:
                thread.join()
        found = episode.noticed()
        self._say(f"{name}: {found}")
        self.all.append((kind, found))


def summaries(found):
    """Returns a line for each kind of fault and one for all, (median / worst)."""
    lines = [_summary(kind, [noticed for name, noticed in found if name == kind])
             for kind in sorted({kind for kind, _ in found})]
    return lines + [_summary("all", [noticed for _, noticed in found])] if found else []


def _summary(kind, noticed):
    def figure(values):
        values = list(values)
        return f"{statistics.median(values):.1f} / {max(values):.1f}" if values else "-"

    took = [seconds for each in noticed for seconds in each.caught_up_s]
    return (f"{kind}: {len(noticed)}, new masters: {len(took)}; median / worst: no record "
            f"published for {figure(n.still_s for n in noticed)} s; counting lagged less than 1 s "
            f"{figure(took)} s after a new master; visible counts stepped back by "
            f"{figure(n.back for n in noticed)} records for {figure(n.back_s for n in noticed)} s, "
            f"the instances' own by {figure(n.own_back for n in noticed)}; the harness waited "
            f"{figure(n.late_s for n in noticed)} s for a processor")


def _sample(episode, is_done, look, every_s):
    due = time.monotonic()
    while not is_done.wait(max(due - time.monotonic(), 0)):
        if look == episode.look_at_output:  # the others wait for servers
            episode.late(time.monotonic() - due)
        look()
        due = max(due, time.monotonic()) + every_s
