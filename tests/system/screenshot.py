"""Makes the picture of the status page for the README: a real Kafka, Redis and browser.

usage: screenshot.py OUT.png
"""

import os
import subprocess
import sys
import tempfile
import time

import browser
import kafka
import process
import redis_server
import rollcall
import wait


def main():
    """Starts everything, waits until there is something to see, and takes the picture."""
    with tempfile.TemporaryDirectory(prefix="rollcall-screenshot-") as folder:
        broker = kafka.Kafka(os.path.join(folder, "kafka")).start()
        redis = redis_server.RedisServer(os.path.join(folder, "redis"))
        redis.start()
        started = [broker, redis]
        try:
            broker.create_topic("user-login", 4)
            options = {"kafka.bootstrap.servers": broker.address, "redis.url": redis.url()}
            instance = rollcall.Instance(folder, "one", {**options, "instance.id": "one",
                                                         "anomaly.threshold": 600})
            started.insert(0, instance)
            instance.wait_ready()
            # Logins of the last hour, with two minutes that have too many; then some at a rate.
            now = int(time.time()) // 60 * 60
            for minute in range(60, 0, -1):
                count = 900 if minute in (17, 41) else 320 + minute * 37 % 130
                generate(options, "--count", count, "--start", now - 60 * minute, "--seed", minute,
                         "--rate", 0, "--invalid", 1)
            live = process.spawn([rollcall.BINARY, "generate", *rollcall.flags(options), "--rate",
                                  "8", "--count", "0", "--invalid", "2"],
                                 os.path.join(folder, "generate.log"))
            with browser.running(os.path.join(folder, "browser")) as chromium, \
                    chromium.tab(f"http://127.0.0.1:{instance.http_port}/") as tab:
                tab.wait_text("#state", "All is well")
                wait.until(lambda: tab.run("last.minutes.length") >= 55 and
                           tab.run("last.rates.counted") > 5, 60, "the minutes to be counted")
                tab.resize(1280, 1180)
                tab.screenshot(sys.argv[1])
            process.kill(live)
        finally:
            for server in started:
                server.kill()


def generate(options, *arguments):
    """Runs `rollcall generate`."""
    subprocess.run([rollcall.BINARY, "generate", *rollcall.flags(options), *map(str, arguments)],
                   check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    main()
