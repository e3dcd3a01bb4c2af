"""./dev bench start: the time from process start to the first record, in an empty group."""

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
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=7)


def _rollcall(world, records):
    """Returns the seconds until the first record is counted in Redis; also checks the output."""
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
                raise SystemExit("bench: rollcall published nothing within 30 s")
            measure.end(child)
        finally:
            process.kill(child)
    contender.clean(world, group)
    return counted


def _plain(world, records):
    """Returns the seconds until a plain consumer gets its first record: the broker's share."""
    started = time.monotonic()
    consumer = Consumer({"bootstrap.servers": world.broker.address, "group.id": world.name("plain"),
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([records.topic])
    message = consumer.poll(30)
    if message is None or message.error():
        raise SystemExit("bench: the plain consumer received nothing within 30 s")
    took = time.monotonic() - started
    consumer.close()
    return took


def run(arguments):
    """Measures both in turn, prints and writes the report."""
    counted, plain = [], []
    with worlds.World() as world:
        records = worlds.Records(world, RECORDS).generate(world)
        _plain(world, records)  # for the first group, the broker creates its internal topics
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
