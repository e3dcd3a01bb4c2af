"""./dev bench latency: the time from when a record was due until a reader and Redis have it."""

import json
import os
import subprocess
import sys

import contenders
import measure
import process
import results
import world as worlds

PROBE = os.path.join(worlds.REPO, "build", "bench", "bench_probe")
PARTITIONS = 4


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rates", default="1000,10000,50000", help="records per second")
    parser.add_argument("--seconds", type=int, default=30, help="per rate, after a warm-up")


def run(arguments):
    """Measures each rate once, prints and writes the report."""
    rates = [int(rate) for rate in arguments.rates.split(",")]
    print(f"{len(rates)} rates, about {len(rates) * (arguments.seconds + 12) / 60:.0f} minutes",
          flush=True)
    with worlds.World() as world:
        points = [_measure(world, rate, arguments.seconds) for rate in rates]
    results.save("latency", {"command": "./dev bench " + " ".join(sys.argv[1:]),
                             "machine": results.machine(), "seconds": arguments.seconds,
                             "partitions": PARTITIONS, "points": points})
    print(results.text("latency"))
    return 0


def _measure(world, rate, seconds):
    records = worlds.Records(world, 0, PARTITIONS)
    output, group = world.name("processed"), world.name("latency")
    for topic in (records.topic, output):
        world.broker.create_topic(topic, PARTITIONS)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    command, _ = contenders.Rollcall().command(world, records, group, output)
    child = process.spawn(command, log_path)
    try:
        contenders.wait_assigned(log_path)
        before = measure.cpu_so_far(child.pid)
        probe = subprocess.Popen(
            [PROBE, world.broker.address, records.topic, output, str(PARTITIONS), str(rate),
             str(seconds), str(world.redis.port), "{user-login}:offsets"],
            stdout=subprocess.PIPE, text=True)
        text = probe.stdout.read()
        _, status, usage = os.wait4(probe.pid, 0)
        probe.returncode = os.waitstatus_to_exitcode(status)
        if probe.returncode != 0:
            raise SystemExit(f"bench: the probe failed at {rate} records/s")
        found = json.loads(text)
        found["cpu_s"] = measure.cpu_so_far(child.pid) - before
        measure.end(child)
    finally:
        process.kill(child)
    found.update(rate=rate, probe_cpu_s=usage.ru_utime + usage.ru_stime)
    print(json.dumps(found), flush=True)
    return found
