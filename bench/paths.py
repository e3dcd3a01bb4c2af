"""./dev bench paths: four nested paths and RFC 3339, compared with the same values at the top level.

Both topics hold the same events, in records of the same size. The defaults read the flat ones, whose
name of the time and its seconds are shorter than what the nested ones have: a member that nobody
asks for fills them up. In the nested ones the user, the device, the locale and the time are two or
three levels deep, and the time is RFC 3339.
"""

import json
import sys
import time
import zlib

from confluent_kafka import Producer

import contenders
import measure
import results
import world as worlds

OPTIONS = {"input.timestamp": "/context/time", "input.timestamp_format": "rfc3339",
           "input.key": "/context/user/id", "dimension.device_type.from": "/context/device/type",
           "dimension.locale.from": "/context/locale"}


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=1_000_000)


def _nested(login):
    """The event of a flat record, nested."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(login["timestamp"])))
    return json.dumps({"version": login["app_version"], "context": {
        "user": {"id": login["user_id"]}, "ip": login["ip"], "locale": login["locale"],
        "device": {"id": login["device_id"], "type": login["device_type"]}, "time": at}})


def _padded(value, size):
    """A flat record with a member more, so that it has this many bytes."""
    padding = size - len(value) - len(', "n": ""')
    assert padding >= 0
    return value[:-1] + ', "n": "' + "x" * padding + '"}'


class _Copy(worlds.Records):
    """The events of another topic, in another form."""

    def copy(self, world, origin, form):
        """Fills the topic with form(value) of each record; the counts stay the same."""
        world.broker.create_topic(self.topic, self.partitions)
        producer = Producer({"bootstrap.servers": world.broker.address, "enable.idempotence": True,
                             "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
        for messages in worlds.read(world.broker, origin.topic, origin.count):
            for message in messages:
                value = form(message.value().decode()).encode()
                self.bytes += len(value)
                self.checksum += zlib.crc32(value)
                while True:
                    try:
                        producer.produce(self.topic, value, partition=message.partition(),
                                         timestamp=message.timestamp()[1])
                        break
                    except BufferError:
                        producer.poll(0.1)
        if producer.flush(60):
            raise RuntimeError("the broker did not acknowledge all records within 60 s")
        self.counts, self.minutes = origin.counts, origin.minutes
        return self


class _Nested(contenders.Rollcall):
    """rollcall with the paths of nested events."""

    name, label = "nested", "four nested paths and RFC 3339"
    options = OPTIONS


def _ratio(samples, figure):
    pairs = zip(samples["nested"], samples["flat"])
    return results.spread([getattr(a, figure) / getattr(b, figure) for a, b in pairs])


def run(arguments):
    """Measures both in turn, prints and writes the report."""
    print(f"about {(60 + arguments.rounds * 24) * arguments.records / 1e6 / 60:.0f} minutes",
          flush=True)
    samples = {"flat": [], "nested": []}
    with worlds.World() as world:
        origin = worlds.Records(world, arguments.records).generate(world)
        nested = _Copy(world, origin.count).copy(
            world, origin, lambda value: _nested(json.loads(value)))
        flat = _Copy(world, origin.count).copy(
            world, origin, lambda value: _padded(value, len(_nested(json.loads(value)))))
        assert flat.bytes == nested.bytes
        runs = [("flat", contenders.Rollcall(), flat), ("nested", _Nested(), nested)]
        for number in range(arguments.rounds):
            for name, contender, records in runs[::-1 if number % 2 else 1]:
                samples[name].append(measure.run(world, contender, records))
            print(", ".join(f"{name} {samples[name][-1].cpu_per_million:.3f}" for name in samples),
                  "CPU-s a million", flush=True)
    found = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "rounds": arguments.rounds, "records": arguments.records,
             "rows": [{"label": label, "mean_bytes": records.bytes / records.count,
                       "cpu_per_million": results.spread([s.cpu_per_million for s in taken]),
                       "warm_cpu_s": results.spread([s.warm_cpu_s for s in taken])}
                      for label, records, taken in (
                          ("flat, the defaults", flat, samples["flat"]),
                          (_Nested.label, nested, samples["nested"]))],
             "ratio": _ratio(samples, "cpu_per_million"),
             "warm_ratio": _ratio(samples, "warm_cpu_s"),
             "of_bests": min(s.cpu_per_million for s in samples["nested"]) /
             min(s.cpu_per_million for s in samples["flat"])}
    results.save("paths", found)
    print(results.text("paths"))
    return 0
