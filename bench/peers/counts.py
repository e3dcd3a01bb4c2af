"""Shared by the Python peers: counts logins and adds the counts to Redis."""

import collections
import time

import orjson


class Counts:
    """The counts since the last store."""

    def __init__(self):
        self.devices = collections.Counter()
        self.locales = collections.Counter()
        self.minutes = collections.Counter()

    def add(self, value):
        """Counts one login; raises if the record is not a login."""
        login = orjson.loads(value)
        self.devices[login["device_type"]] += 1
        self.locales[login["locale"]] += 1
        self.minutes[int(login["timestamp"]) // 60] += 1

    def store(self, client):
        """Adds the counts to Redis in one MULTI and one round trip, and resets them."""
        pipeline = client.pipeline(transaction=True)
        for value, count in self.devices.items():
            pipeline.zincrby("peer:device_type_counts", count, value)
        for value, count in self.locales.items():
            pipeline.zincrby("peer:locale_counts", count, value)
        for minute, count in self.minutes.items():
            day, clock = time.strftime("%Y-%m-%d %H:%M", time.gmtime(minute * 60)).split()
            pipeline.hincrby(f"peer:login_counts:{day}", clock, count)
        pipeline.execute()
        self.__init__()
