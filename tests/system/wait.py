"""Waiting for a condition, with a deadline: nothing in these tests sleeps and hopes."""

import os
import time

#: Deadlines grow by this when the program under test is built with a sanitizer (see rollcall.py).
factor = float(os.environ.get("RC_TIME_FACTOR", "1"))


class TimedOut(AssertionError):
    """A condition did not come true before its deadline."""


def until(condition, seconds, what, every=0.05, alive=None):
    """Calls condition until it answers something true, and returns that.

    `what` names the condition in the error; where it is a function, it is called for a fresh text.
    `alive`, if given, is called each round and raises when waiting on has no point.
    """
    deadline = time.monotonic() + seconds * factor
    while True:
        answer = condition()
        if answer:
            return answer
        if alive:
            alive()
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise TimedOut(f"not within {seconds * factor:.0f} s: {text}")
        time.sleep(every)
