#!/usr/bin/env python3
"""The load harness: see README.md beside this file. `./dev bench` sets up and starts it."""

import argparse
import importlib
import sys

import world  # noqa: F401  (puts tests/system on the path)

COMMANDS = {"compare": "the contenders side by side",
            "latency": "from produce to visible, in Kafka and in Redis",
            "scaling": "partitions, values, shards, instances, sizes, rates",
            "idle": "what an instance costs that has nothing to do",
            "start": "from start to the first record counted",
            "flood": "nothing but bad records, beside good ones",
            "memory": "peak memory, with whatever is away, slow or large"}


def main():
    """Runs the command that is asked for."""
    parser = argparse.ArgumentParser(prog="./dev bench")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in COMMANDS.items():
        module = importlib.import_module(name)
        command = commands.add_parser(name, help=told)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
