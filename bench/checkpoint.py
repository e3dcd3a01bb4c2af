"""./dev bench checkpoint: what a checkpoint costs Redis, and what a partition costs an instance."""

import os
import subprocess
import sys
import time

import contenders
import measure
import process
import report
import results
import rollcall
import world as worlds

#: Partitions of one instance, and events a second for each of them.
POINTS = ((4, 1000), (16, 1000), (64, 250), (64, 1000))
SETTLE_S = 3


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--seconds", type=int, default=20)


def _redis_so_far(world):
    """Calls and microseconds of checkpoints, all commands, and bytes in and out."""
    with world.redis.client() as client:
        script = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        stats = client.info("stats")
    return {"checkpoints": script["calls"], "us": script["usec"],
            "commands": sum(world.redis_commands().values()),
            "bytes": stats["total_net_input_bytes"] + stats["total_net_output_bytes"]}


def _measure(world, partitions, rate, seconds):
    records = worlds.Records(world, partitions * rate * seconds, partitions)
    output, group = world.name("processed"), world.name("checkpoint")
    for topic in (records.topic, output):
        world.broker.create_topic(topic, partitions)
    contender = contenders.Rollcall()
    command, _ = contender.command(world, records, group, output)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    child = process.spawn(command, log_path)
    try:
        contenders.wait_assigned(log_path)
        time.sleep(SETTLE_S)
        before, cpu_s = _redis_so_far(world), measure.cpu_so_far(child.pid)
        subprocess.run([rollcall.BINARY, "generate", "-q", "--invalid", "0",
                        "--rate", str(partitions * rate), "--count", str(records.count),
                        *rollcall.flags({"kafka.bootstrap.servers": world.broker.address,
                                         "input.topic": records.topic})],
                       check=True, timeout=seconds + 60)
        cpu_s = measure.cpu_so_far(child.pid) - cpu_s
        after = _redis_so_far(world)
        rss_mb = measure.peak_rss_mb(child.pid)
        measure.end(child)
    finally:
        process.kill(child)
    contender.clean(world, group)
    used = {name: after[name] - before[name] for name in after}
    count = used["checkpoints"]
    point = {"partitions": partitions, "rate": partitions * rate,
             "checkpoints_per_s": count / seconds, "commands": used["commands"] / count,
             "us": used["us"] / count, "bytes": used["bytes"] / count, "cores": cpu_s / seconds,
             "rss_mb": rss_mb}
    print(report.checkpoint_line(point), flush=True)
    return point


def run(arguments):
    """Measures all points, prints and writes the report."""
    print(f"about {len(POINTS) * (arguments.seconds + 10) / 60:.0f} minutes", flush=True)
    with worlds.World() as world:
        points = [_measure(world, *point, arguments.seconds) for point in POINTS]
    results.save("checkpoint", {"command": "./dev bench " + " ".join(sys.argv[1:]),
                                "machine": results.machine(), "points": points})
    print(results.text("checkpoint"))
    return 0
