"""The rollcall instances: starts, kills and stops them, and watches them through their metrics."""

import collections
import datetime
import os
import re
import signal
import threading
import time

import process
import rollcall
import wait

#: The metrics that are added up over all instances of a round.
_SUMMED = ("rollcall_records_consumed_total", "rollcall_records_published_total",
           "rollcall_records_counted_total", "rollcall_rewinds_total",
           "rollcall_transactions_aborted_total", "rollcall_checkpoint_failures_total",
           "rollcall_records_lost_total", "rollcall_records_truncated_total")


def _read(instance):
    """Returns the current summed metrics of one instance; empty if it does not respond."""
    found = collections.Counter()
    for (name, labels), value in instance.metrics().items():
        if name in _SUMMED:
            found[name] += value
            if name == "rollcall_rewinds_total":
                found[f"rewinds {dict(labels).get('cause')}"] += value
    return found


class Slot:
    """A place for one instance, which may be replaced over time."""

    def __init__(self, name, options, is_stable):
        self.name = name
        self.is_stable = is_stable  # its instance.id stays the same
        self.options = options
        self.instance = None
        self.serial = 0
        self.started = 0.0
        self.was_ready = False
        self.is_paused = False
        self.may_exit = False  # a fault that makes it exit is active, and looks at it itself
        self.totals = {}


class Fleet:
    """Slots with instances; the first `stable` slots have a stable instance.id."""

    def __init__(self, folder, prefix, options, size, stable, say, is_disturbed,
                 options_of):
        self._folder, self._prefix = folder, prefix  # where the logs are, and their name prefix
        self._say = say
        self._is_disturbed = is_disturbed  # (since) -> whether Redis may have been unavailable
        self._lock = threading.RLock()
        self._past = collections.Counter()
        self.refused_starts = 0
        self.slots = []
        for n in range(size):
            own = {"instance.id": f"chaos-{n}"} if n < stable else {}
            own["instance.shards"] = 1 + n % 2
            self.slots.append(Slot(f"r{n}", {**options, **own, **options_of(n)}, n < stable))

    def running(self):
        """The slots whose instance runs and is not suspended."""
        return [slot for slot in self.slots if slot.instance and not slot.is_paused]

    def empty(self):
        """The slots without an instance."""
        return [slot for slot in self.slots if not slot.instance]

    def start(self, slot, env=None):
        """Starts an instance without waiting for it."""
        with self._lock:
            assert slot.instance is None
            slot.serial += 1
            slot.was_ready, slot.is_paused = False, False
            slot.started = time.monotonic()
            name = f"{self._prefix}-{slot.name}-{slot.serial}"
            slot.instance = rollcall.Instance(self._folder, name, slot.options, env)

    def _take(self, slot):
        """Empties the slot, so that its instance may exit; returns (instance, its last metrics)."""
        with self._lock:
            self._scrape(slot)
            instance, slot.instance = slot.instance, None
            totals, slot.totals = slot.totals, {}
            return instance, totals

    def kill(self, slot):
        """Kills the instance with SIGKILL."""
        instance, totals = self._take(slot)
        instance.kill()
        self._add(totals)
        self._look_at_log(instance)

    def stop(self, slot, seconds=45):
        """Stops the instance with SIGTERM; it must exit in time, with status 0.

        Its metrics are read until it exits.
        """
        instance, totals = self._take(slot)
        begun = time.monotonic()
        instance.signal(signal.SIGTERM)
        while instance.is_running() and time.monotonic() < begun + seconds * wait.factor:
            totals = _read(instance) or totals
            time.sleep(0.02)
        self._add(totals)
        try:
            status = instance.wait_exit(0)
        except wait.TimedOut:
            instance.kill()
            raise
        self._look_at_log(instance)
        took_s = time.monotonic() - begun
        is_newborn = status == -signal.SIGTERM and not os.path.getsize(instance.log_path)
        if status != 0 and not is_newborn:  # SIGTERM may come before its handler is installed
            text = f"{instance.name}: status {status} {took_s:.1f} s after SIGTERM: " \
                   f"{process.tail(instance.log_path, 3)}"
            assert self._is_disturbed(begun - 5), text
            self._say(text)
        return took_s

    def clock_of(self, slot, seconds=20):
        """Returns the time, in seconds, of the first line that the instance logged."""
        form = re.compile(r"^ts=(\S+)Z ", re.M)
        found = wait.until(lambda: form.search(slot.instance.log()), seconds,
                           f"{slot.instance.name} to log something")
        logged = datetime.datetime.fromisoformat(found[1] + "+00:00")
        return logged.timestamp()

    def pause(self, slot):
        """Suspends the instance with SIGSTOP."""
        with self._lock:
            self._scrape(slot)
            slot.is_paused = True
            slot.instance.pause()

    def resume(self, slot):
        """Resumes the instance with SIGCONT."""
        with self._lock:
            slot.instance.resume()
            slot.is_paused = False

    def double(self, slot):
        """Starts a second instance with the id of a suspended one; returns the suspended one."""
        ghost, totals = self._take(slot)
        self._add(totals)
        slot.may_exit = True  # of two with the same id, the group keeps only one, either of them
        self.start(slot)
        return ghost

    def undouble(self, slot, ghost):
        """Leaves one instance in the slot, restarted if need be; returns what became of the two."""
        fates = []
        for instance in (ghost, slot.instance):
            status = None if instance.is_running() else instance.wait_exit(0)
            assert status in (None, 1), \
                f"{instance.name}: status {status}:\n{process.tail(instance.log_path)}"
            fates.append(f"{instance.name} {'still runs' if status is None else 'has exited'}")
        ghost.kill()
        self._look_at_log(ghost)
        if not slot.instance.is_running():
            self.kill(slot)
            self.start(slot)
        slot.may_exit = False
        return ", ".join(fates)

    def _add(self, totals):
        with self._lock:
            for name, value in totals.items():
                self._past[name] += value

    def _look_at_log(self, instance):
        found = rollcall.sanitizer_findings(instance.log())
        assert not found, f"{instance.name}: {found[0]}"

    def check(self):
        """Raises if an instance has exited by itself; restarts one that could not reach Redis."""
        for slot in self.slots:
            with self._lock:
                instance = slot.instance
                if instance is None or instance.is_running() or slot.may_exit:
                    continue
                if not slot.was_ready and self._is_disturbed(slot.started):
                    self._add(self._take(slot)[1])
                    self.refused_starts += 1
                    self._look_at_log(instance)
                    self._say(f"{instance.name} could not start without Redis: restarting it")
                    self.start(slot)
                    continue
            self._look_at_log(instance)
            instance.check_alive()

    def scrape(self):
        """Records the metrics of all running instances."""
        for slot in self.slots:
            with self._lock:
                self._scrape(slot)

    def _scrape(self, slot):
        if slot.instance is None or slot.is_paused:
            return
        found = _read(slot.instance)
        if found:
            slot.totals = found
        slot.was_ready = slot.was_ready or slot.instance.is_ready()

    def totals(self):
        """The metrics added up over all instances so far."""
        found = collections.Counter(self._past)
        for slot in self.slots:
            found.update(slot.totals)
        return found

    def close(self):
        """Kills all instances; raises if a sanitizer reported anything."""
        for slot in self.slots:
            if slot.instance:
                slot.instance.kill()
                self._look_at_log(slot.instance)
