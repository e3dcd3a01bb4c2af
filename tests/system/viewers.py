"""Measures what viewers of the status page cost: many partitions, several viewers.

usage: viewers.py [PARTITIONS [VIEWERS [SECONDS]]]   (4096, 10, 60)

Prints the percentiles of the time for an answer, and what the instance takes with viewers and
without: CPU, that of the thread that serves them, and commands to Redis. Fails if the 99th
percentile is 50 ms or more, or if serving takes 1 % of a core or more.

The CPU of the serving thread does not depend on what else the machine does; the times do.
"""

import glob
import http.client
import os
import sys
import tempfile
import threading
import time

import kafka
import redis_server
import rollcall
import wait

EVERY_S = 2  # as the page asks
LIMIT_MS = 50
LIMIT_PERCENT = 1


def view(port, until, took):
    """Asks as a page does, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", "/status.json")
        answer = connection.getresponse()
        size = len(answer.read())
        took.append((time.monotonic() - began, answer.status, size))
        time.sleep(max(0, began + EVERY_S - time.monotonic()))


def cpu_s(instance):
    """CPU seconds that the process has used, and of these its serving thread."""
    pid = instance.pid()
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/comm", encoding="utf-8") as comm:
            if comm.read().strip() != "http":
                continue
        with open(f"{task}/schedstat", encoding="utf-8") as stat:
            serving = int(stat.read().split()[0]) / 1e9
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), serving


def measure(instance, redis, viewers, seconds):
    """Returns (CPU shares of all and of serving, Redis commands a second, all answers)."""
    took = []
    with redis.client() as client:
        commands = client.info()["total_commands_processed"]
        began, used = time.monotonic(), cpu_s(instance)
        threads = [threading.Thread(target=view, args=(instance.http_port, began + seconds, took))
                   for _ in range(viewers)]
        for n, thread in enumerate(threads):
            thread.start()
            time.sleep(EVERY_S / max(1, viewers) * (n < viewers))
        time.sleep(max(0, began + seconds - time.monotonic()))
        for thread in threads:
            thread.join()
        span, after = time.monotonic() - began, cpu_s(instance)
        commands = client.info()["total_commands_processed"] - commands
    return [(a - b) / span for a, b in zip(after, used)], commands / span, took


def main():
    """Starts everything and measures."""
    given = [int(argument) for argument in sys.argv[1:]]
    partitions, viewers, seconds = given + [4096, 10, 60][len(given):]
    with tempfile.TemporaryDirectory(prefix="rollcall-viewers-") as folder:
        broker = kafka.Kafka(os.path.join(folder, "kafka"), heap_mb=1024).start()
        redis = redis_server.RedisServer(os.path.join(folder, "redis"))
        redis.start()
        instance = None
        try:
            # A broker can take minutes to make thousands of partitions, which are to be there before
            # the start.
            wait.factor = 20
            for topic in ("user-login", "processed-user-login"):
                broker.create_topic(topic, partitions)
                assert len(broker.end_offsets(topic)) == partitions
            instance = rollcall.Instance(folder, "one", {
                "kafka.bootstrap.servers": broker.address, "redis.url": redis.url(),
                "output.rejected_topic": "", "instance.memory_mb": max(256, 2 * partitions)})
            began = time.monotonic()
            instance.wait_ready(600)
            instance.wait_assigned(partitions)
            print(f"ready within {time.monotonic() - began:.1f} s and {cpu_s(instance)[0]:.1f} "
                  f"CPU seconds", flush=True)
            time.sleep(10)
            before = measure(instance, redis, 0, seconds / 2)
            (watched, serving), commands, took = measure(instance, redis, viewers, seconds)
            after = measure(instance, redis, 0, seconds / 2)
        finally:
            for server in (instance, broker, redis):
                if server is not None:
                    server.kill()
    times = sorted(1000 * second for second, _, _ in took)
    assert {code for _, code, _ in took} == {200}
    rank = {p: times[min(len(times) - 1, len(times) * p // 100)] for p in (50, 99)}
    print(f"{partitions} partitions, {viewers} viewers, {len(took)} answers of "
          f"{took[-1][2] / 1e6:.2f} MB: p50 {rank[50]:.1f} ms, p99 {rank[99]:.1f} ms\n"
          f"serving: {100 * serving:.2f} % of a core, {1000 * serving * seconds / len(took):.2f} ms "
          f"an answer\n"
          f"all threads: {100 * before[0][0]:.2f} and {100 * after[0][0]:.2f} % of a core before and "
          f"after, {100 * watched:.2f} % with viewers\n"
          f"commands to Redis a second: {before[1]:.1f} and {after[1]:.1f} before and after, "
          f"{commands:.1f} with viewers")
    sys.exit(0 if rank[99] < LIMIT_MS and 100 * serving < LIMIT_PERCENT else 1)


if __name__ == "__main__":
    main()
