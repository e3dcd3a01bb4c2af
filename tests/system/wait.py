"""Waits for a condition, with a deadline. These tests never just sleep and hope."""

import os
import time

#: Multiplies all deadlines if the program under test is built with a sanitizer (see rollcall.py).
factor = float(os.environ.get("RC_TIME_FACTOR", "1"))


class TimedOut(AssertionError):
    """A condition did not become true before its deadline."""


def until(condition, seconds, what, every=0.05, alive=None):
    """Calls condition until it returns something true, and returns that.

    `what` completes "waiting for ..." in the error message; a function is called to get the text.
    `alive`, if given, is called each round and raises if further waiting is pointless.
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
            raise TimedOut(f"timed out after {seconds * factor:.0f} s waiting for {text}")
        time.sleep(every)
