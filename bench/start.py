"""./dev bench start: from the start of a process to its first record, in a group that is empty."""

import os
import sys
import time

from confluent_kafka import Consumer

import contenders
import measure
import process
import results
import wait
import world as worlds

RECORDS = 1000
LOOK_EVERY_S = 0.002


def add_arguments(parser):
    """The arguments of this command."""
    parser.add_argument("--rounds", type=int, default=7)


def _rollcall(world, records):
    """Seconds to the first record counted in Redis, and to the first in the output."""
    output, group = world.name("processed"), world.name("start")
    world.broker.create_topic(output, records.partitions)
    world.flush_redis()
    log_path = os.path.join(world.folder, f"{group}.log")
    contender = contenders.Rollcall()
    command, _ = contender.command(world, records, group, output)
    with world.redis.client() as client, worlds.reader(world.broker, output) as reader:
        started = time.monotonic()
        child = process.spawn(command, log_path)
        try:
            wait.until(lambda: client.zcard("{user-login}:device_type_counts"), 30,
                       lambda: f"the first count: {process.tail(log_path)}", every=LOOK_EVERY_S)
            counted = time.monotonic() - started
            message = reader.poll(30)
            if message is None or message.error():
                raise SystemExit("bench: nothing came out")
            measure.end(child)
        finally:
            process.kill(child)
    contender.clean(world, group)
    return counted


def _plain(world, records):
    """Seconds to the first record that a plain consumer gets: the broker's own part."""
    started = time.monotonic()
    consumer = Consumer({"bootstrap.servers": world.broker.address, "group.id": world.name("plain"),
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([records.topic])
    message = consumer.poll(30)
    if message is None or message.error():
        raise SystemExit("bench: the plain consumer got nothing")
    took = time.monotonic() - started
    consumer.close()
    return took


def run(arguments):
    """Measures both in turn, prints and writes the report."""
    counted, plain = [], []
    with worlds.World() as world:
        records = worlds.Records(world, RECORDS).generate(world)
        _plain(world, records)  # the broker makes its own topics for the first group
        for _ in range(arguments.rounds):
            plain.append(_plain(world, records))
            counted.append(_rollcall(world, records))
    found = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "rounds": arguments.rounds, "counted": results.spread(counted),
             "plain": results.spread(plain),
             "beyond": results.spread([a - b for a, b in zip(counted, plain)])}
    results.save("start", found)
    print(results.text("start"))
    return 0
