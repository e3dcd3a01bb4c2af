"""./dev bench scaling: what the cost per record depends on, and what it does not depend on."""

import os
import subprocess
import sys
import time

import contenders
import filler
import measure
import process
import results
import rollcall
import world as worlds

#: The points of each curve.
PARTITIONS = (1, 2, 4, 8, 16, 32, 64, 128)
VALUES = (10, 100, 1000, 10_000, 100_000)
SIZES = (100, 230, 1000, 3000, 10_000)
RATES = (100, 1000, 10_000, 50_000)
RATE_S = 10
SETTLE_S = 2


class _Scaled(contenders.Rollcall):
    """rollcall with special options, as one or more instances."""

    def __init__(self, options=None, instances=1):
        self.options = options or {}
        self.instances = instances

    def command(self, world, records, group, output):
        command, environment = super().command(world, records, group, output)
        if self.instances == 1:
            return command, environment
        # A shell starts them, passes on SIGTERM, and waits, so its CPU usage includes theirs.
        script = ("n=$1; shift; while [ $n -gt 0 ]; do \"$@\" & pids=\"$pids $!\"; n=$((n - 1)); "
                  "done; trap 'kill $pids' TERM; wait; wait")
        return ["sh", "-c", script, "sh", str(self.instances), *command], environment


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--only", help="comma-separated names of curves")


def _point(world, at, label, records, contender, rounds):
    """Measures the best of several runs over a backlog."""
    samples = [measure.run(world, contender, records) for _ in range(rounds)]
    best = min(samples, key=lambda sample: sample.cpu_s)
    point = {"at": at, "label": label, "records": records.count,
             "cpu_per_million": best.cpu_per_million, "rate": best.rate, "rss_mb": best.rss_mb,
             "redis_per_s": best.redis_commands / best.seconds}
    print(f"  {label}: {point['cpu_per_million']:.2f} CPU-s/M, {point['rate']:.0f} records/s, "
          f"{point['redis_per_s']:.0f} Redis commands/s", flush=True)
    return point


def _partitions(world, count, rounds):
    for partitions in PARTITIONS:
        records = worlds.Records(world, count, partitions).generate(world)
        yield _point(world, partitions, str(partitions), records, _Scaled(), rounds)
        world.broker.delete_topic(records.topic)


def _values(world, count, rounds):
    for values in VALUES:
        records = filler.fill(worlds.Records(world, count), world, values=values)
        contender = _Scaled({"aggregate.max_values": max(10_000, values + 10)})
        yield _point(world, values, f"{values:,}", records, contender, rounds)
        world.broker.delete_topic(records.topic)


def _shards(world, count, rounds):
    records = worlds.Records(world, count).generate(world)
    for shards in (1, 2, 3, 4):
        contender = _Scaled({"instance.shards": shards})
        yield _point(world, shards, str(shards), records, contender, rounds)
    world.broker.delete_topic(records.topic)


def _instances(world, count, rounds):
    records = worlds.Records(world, count, 8).generate(world)
    for instances in (1, 2, 3, 4):
        yield _point(world, instances, str(instances), records, _Scaled(instances=instances),
                     rounds)
    world.broker.delete_topic(records.topic)


def _sizes(world, count, rounds):
    for size in SIZES:
        few = min(count, int(500e6 / size))
        records = filler.fill(worlds.Records(world, few), world, size=size)
        yield _point(world, size, f"{size:,}", records, _Scaled(), rounds)
        world.broker.delete_topic(records.topic)


def _rates(world, count, rounds):
    del rounds
    for rate in RATES:
        yield _at_rate(world, rate)
    records = worlds.Records(world, count).generate(world)
    point = _point(world, 1, "backlog", records, _Scaled(), 1)
    point["at"] = point["rate"]
    yield point
    world.broker.delete_topic(records.topic)


def _at_rate(world, rate):
    """Measures a steady stream from `rollcall generate --rate` instead of a backlog."""
    records = worlds.Records(world, rate * RATE_S)
    output, group = world.name("processed"), world.name("rate")
    for topic in (records.topic, output):
        world.broker.create_topic(topic, records.partitions)
    contender = _Scaled()
    command, _ = contender.command(world, records, group, output)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    child = process.spawn(command, log_path)
    try:
        contenders.wait_assigned(log_path)
        time.sleep(SETTLE_S)
        cpu_s, commands = measure.cpu_so_far(child.pid), sum(world.redis_commands().values())
        subprocess.run([rollcall.BINARY, "generate", "-q", "--invalid", "0", "--rate", str(rate),
                        "--count", str(records.count), *rollcall.flags({
                            "kafka.bootstrap.servers": world.broker.address,
                            "input.topic": records.topic})], check=True, timeout=120)
        cpu_s = measure.cpu_so_far(child.pid) - cpu_s
        commands = sum(world.redis_commands().values()) - commands
        rss_mb = measure.peak_rss_mb(child.pid)
        measure.end(child)
    finally:
        process.kill(child)
    contender.clean(world, group)
    point = {"at": rate, "label": f"{rate:,}", "records": records.count, "rate": rate,
             "cpu_per_million": cpu_s / records.count * 1e6, "rss_mb": rss_mb,
             "redis_per_s": commands / RATE_S}
    print(f"  {rate}/s: {point['cpu_per_million']:.2f} CPU-s/M, "
          f"{100 * cpu_s / RATE_S:.1f} % of a core, {point['redis_per_s']:.0f} Redis commands/s",
          flush=True)
    return point


CURVES = {
    "partitions": (_partitions, "Partitions", "partitions", ""),
    "values": (_values, "Distinct values", "values", "of the locale, all equally frequent"),
    "shards": (_shards, "Shards", "shards", "4 partitions"),
    "instances": (_instances, "Instances", "instances", "8 partitions; all share two cores"),
    "sizes": (_sizes, "Record size", "bytes", ""),
    "rates": (_rates, "From idle to full backlog", "records/s",
              f"{RATE_S} s each; CPU includes the cost of an idle process"),
}


def run(arguments):
    """Measures the curves, prints and writes the report."""
    names = arguments.only.split(",") if arguments.only else list(CURVES)
    points = sum({"partitions": 8, "values": 5, "sizes": 5}.get(name, 4) for name in names)
    per_run_s = 4 + arguments.records / 100_000
    print(f"about {points * (per_run_s * arguments.rounds + 5) / 60:.0f} minutes", flush=True)
    curves = []
    with worlds.World() as world:
        for name in names:
            measured, title, axis, note = CURVES[name]
            print(title, flush=True)
            curves.append({"name": name, "title": title, "axis": axis, "note": note,
                           "points": list(measured(world, arguments.records, arguments.rounds))})
    results.save("scaling", {"command": "./dev bench " + " ".join(sys.argv[1:]),
                             "machine": results.machine(), "rounds": arguments.rounds,
                             "curves": curves})
    print(results.text("scaling"))
    return 0
