#!/usr/bin/env python3
"""What rollcall, Redis and Kafka need for 1,000 to 100 million events a second, as Markdown.

usage: scale.py

Computed from the costs in COSTS, which were measured, and the choices in PLAN and LIMITS. The end of
docs/scale.md is what this prints, which a test checks.
"""

import math

RATES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)

#: name -> (value, what it is, words of bench/README.md by which one finds where it was measured).
COSTS = {
    "event_us": (1.6, "CPU of rollcall for an event, in us", "| rollcall | 1.59 (1.53-1.67)"),
    "instance_cores": (0.13, "CPU of an instance, whatever comes, in cores",
                       "| 1,000: 134 / 508 |"),
    "partition_cores": (0.0015, "CPU of a partition, whatever comes, in cores",
                        "0.0015 cores a partition"),
    "instance_mb": (50, "memory of an instance without partitions, in MB",
                    "50 MB and 2.8 MB a partition"),
    "partition_mb": (2.8, "memory of a partition with a backlog, in MB",
                     "50 MB and 2.8 MB a partition"),
    "checkpoint_us": (330, "CPU of Redis for a checkpoint, in us", "330 us of Redis"),
    "checkpoint_commands": (78, "commands of a checkpoint, those in the script included",
                            "78 commands"),
    "checkpoint_bytes": (1950, "bytes of a checkpoint, both ways", "1,950 bytes"),
    "in_bytes": (228, "bytes of an event in the input topic", "228 in the broker's log"),
    "out_bytes": (264, "bytes of an event in the output topic",
                  "91 bytes a record instead of 264"),
}

#: What one would choose, and the default of rollcall where there is one.
PLAN = {
    "partition_events": (25_000, "events a second for a partition"),
    "partitions_min": (4, "partitions at least"),
    "instance_events": (200_000, "events a second for an instance: half of what one can do on two "
                        "cores, so that it catches up after a stop"),
    "instances_min": (2, "instances at least, so that one can be missing"),
    "replicas": (3, "replicas of every topic"),
    "broker_bytes": (100e6, "bytes a second that a broker writes, replicas included"),
    "checkpoint_ms": (500, "redis.checkpoint_ms"),
    "commit_ms": (100, "output.commit_ms"),
}

#: name -> (value, what it is).
LIMITS = {
    "partitions": (4096, "partitions that rollcall takes"),
    "redis_cores": (0.7, "of the one core on which a Redis runs its commands"),
    "memory_mb": (256, "instance.memory_mb by default; 2 a partition of the topic are needed"),
}


def cost(name):
    """A measured cost."""
    return COSTS[name][0]


def need(rate, **changes):
    """What a rate of events a second needs, under PLAN with changes."""
    plan = {name: changes.get(name, value) for name, (value, _) in PLAN.items()}
    partitions = max(plan["partitions_min"], math.ceil(rate / plan["partition_events"]))
    instances = max(plan["instances_min"], math.ceil(rate / plan["instance_events"]))
    # At most: a partition without events has one every few seconds.
    checkpoints = partitions * 1000 / plan["checkpoint_ms"]
    written = rate * cost("out_bytes") * plan["replicas"]
    return {
        "rate": rate,
        "partitions": partitions,
        "instances": instances,
        "cores": instances * cost("instance_cores") + partitions * cost("partition_cores") +
        rate * cost("event_us") / 1e6,
        # An instance may have to take all partitions of the topic.
        "memory_mb": 2 * partitions,
        "used_mb": instances * cost("instance_mb") + partitions * cost("partition_mb"),
        "checkpoints": checkpoints,
        "redis_commands": checkpoints * cost("checkpoint_commands"),
        "redis_cores": checkpoints * cost("checkpoint_us") / 1e6,
        "redis_bytes": checkpoints * cost("checkpoint_bytes"),
        "kafka_read": rate * cost("in_bytes"),
        "kafka_written": written,
        "transactions": instances * 1000 / plan["commit_ms"],
        "brokers": max(plan["replicas"], math.ceil(written / plan["broker_bytes"])),
    }


def shares(found):
    """How much of each limit is used."""
    return {name: found[name] / limit for name, (limit, _) in LIMITS.items()}


def over(found):
    """What is over its limit, the worst first."""
    worst = sorted(((share, name) for name, share in shares(found).items() if share > 1),
                   reverse=True)
    return ", ".join(name for _, name in worst) or "-"


def number(value):
    """Two digits that count, and a unit's prefix."""
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return number(value / size) + prefix
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main():
    """Prints all tables."""
    print("### What was measured\n")
    print(table(["cost", ""], [[what, f"{value:g}"] for value, what, _ in COSTS.values()]))
    print("\n### What is chosen\n")
    print(table(["choice", ""], [[what, f"{value:,.0f}"] for value, what in PLAN.values()]))
    print("\n### rollcall\n")
    found = [need(rate) for rate in RATES]
    print(table(["events/s", "partitions", "instances", "cores, all", "memory in use, all",
                 "`instance.memory_mb`"],
                [[f"{one['rate']:,}", f"{one['partitions']:,}", one["instances"],
                  number(one["cores"]), number(one["used_mb"] * 1e6) + "B",
                  f"{max(LIMITS['memory_mb'][0], one['memory_mb']):,}"] for one in found]))
    print("\n### Redis\n")
    slower = [need(rate, checkpoint_ms=2000) for rate in RATES]
    print(table(["events/s", "checkpoints/s", "commands/s", "bytes/s", "cores",
                 "cores with `redis.checkpoint_ms = 2000`"],
                [[f"{one['rate']:,}", number(one["checkpoints"]), number(one["redis_commands"]),
                  number(one["redis_bytes"]) + "B", f"{one['redis_cores']:.3f}",
                  f"{other['redis_cores']:.3f}"] for one, other in zip(found, slower)]))
    print("\n### Kafka\n")
    print(table(["events/s", "read by rollcall, bytes/s", "written, replicas included, bytes/s",
                 "brokers", "transactions/s"],
                [[f"{one['rate']:,}", number(one["kafka_read"]) + "B",
                  number(one["kafka_written"]) + "B", one["brokers"],
                  f"{one['transactions']:,.0f}"] for one in found]))
    print("\n### Limits\n")
    print(table(["limit", ""],
                [[name, f"{limit:g} {what}"] for name, (limit, what) in LIMITS.items()]))
    print()
    print(table(["events/s", *LIMITS, "over"],
                [[f"{one['rate']:,}", *(f"{100 * share:.0f} %" for share in shares(one).values()),
                  over(one)] for one in found]))


if __name__ == "__main__":
    main()
