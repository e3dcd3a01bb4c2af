#!/usr/bin/env python3
"""The load harness: see README.md in this directory. `./dev bench` sets it up and starts it."""

import argparse
import importlib
import sys

import world  # noqa: F401  (puts tests/system on the path)

COMMANDS = {"compare": "compare all contenders",
            "latency": "time from produce to visible in Kafka and in Redis",
            "scaling": "effect of partitions, values, shards, instances, sizes and rates",
            "idle": "cost of an instance that has nothing to do",
            "start": "time from start to the first counted record",
            "watched": "cost of a scrape a second and five open status pages",
            "paths": "nested events compared with flat ones of the same size",
            "flood": "only bad records compared with only good ones",
            "checkpoint": "what a checkpoint costs Redis, and what a partition costs an instance",
            "memory": "peak memory with servers down or slow, and with large records"}


def main():
    """Runs the requested command."""
    parser = argparse.ArgumentParser(prog="./dev bench")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, description in COMMANDS.items():
        module = importlib.import_module(name)
        command = commands.add_parser(name, help=description)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
