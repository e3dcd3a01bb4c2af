"""./dev bench idle: the cost of an instance that has nothing to do."""

import glob
import os
import sys
import time

import contenders
import measure
import process
import report
import results
import world as worlds

PARTITIONS = 8
SETTLE_S = 10


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)


class _Plain(contenders.RawTuned):
    """The idle raw loop: the cost of librdkafka's own threads and timers."""


def _threads(pid):
    """Returns (thread, name) -> (nanoseconds on a core, voluntary context switches)."""
    found = {}
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/schedstat") as stat, open(f"{task}/comm") as comm, \
                open(f"{task}/status") as status:
            switches = next(int(line.split()[1]) for line in status
                            if line.startswith("voluntary_ctxt_switches"))
            found[os.path.basename(task), comm.read().strip()] = (int(stat.read().split()[0]),
                                                                  switches)
    return found


def _measure(world, contender, seconds):
    records = worlds.Records(world, 0, PARTITIONS)
    output, group = world.name("processed"), world.name("idle")
    for topic in (records.topic, output):
        world.broker.create_topic(topic, PARTITIONS)
    command, _ = contender.command(world, records, group, output)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    child = process.spawn(command, log_path)
    try:
        if isinstance(contender, contenders.Rollcall):
            contenders.wait_assigned(log_path)
        time.sleep(SETTLE_S)
        commands = sum(world.redis_commands().values())
        before, started = _threads(child.pid), time.monotonic()
        time.sleep(seconds)
        after, took_s = _threads(child.pid), time.monotonic() - started
        commands = sum(world.redis_commands().values()) - commands
        measure.end(child)
    finally:
        process.kill(child)
    spent = {name: (ns - before.get(name, (0, 0))[0], switches - before.get(name, (0, 0))[1])
             for name, (ns, switches) in after.items()}
    return {"core_percent": sum(ns for ns, _ in spent.values()) / took_s / 1e7,
            "wakeups_per_s": sum(switches for _, switches in spent.values()) / took_s,
            "redis_per_s": commands / took_s,
            "threads": sorted(([name, ns / took_s / 1e7, switches / took_s]
                               for (_, name), (ns, switches) in spent.items()),
                              key=lambda row: -row[1])}


def run(arguments):
    """Measures both in turn, prints and writes the report."""
    both = (contenders.Rollcall(), _Plain())
    minutes = arguments.rounds * len(both) * (arguments.seconds + SETTLE_S + 3) / 60
    print(f"about {minutes:.0f} minutes", flush=True)
    rounds = {one.name: [] for one in both}
    with worlds.World() as world:
        for _ in range(arguments.rounds):
            for one in both:
                rounds[one.name].append(_measure(world, one, arguments.seconds))
    found = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "seconds": arguments.seconds, "partitions": PARTITIONS,
             "rows": [{"label": one.label, **{
                 key: results.spread([sample[key] for sample in rounds[one.name]])
                 for key in ("core_percent", "wakeups_per_s", "redis_per_s")}} for one in both],
             "threads": rounds["rollcall"][-1]["threads"]}
    results.save("idle", found)
    print(results.text("idle"))
    print(report.table(["thread", "% of a core", "wake-ups/s"],
                       [[name, f"{percent:.3f}", f"{rate:.1f}"]
                        for name, percent, rate in found["threads"]]))
    return 0
