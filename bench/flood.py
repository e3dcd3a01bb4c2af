"""./dev bench flood: a backlog of only bad records, compared with one of good records."""

import collections
import sys
import zlib

import contenders
import measure
import oracle
import report
import results
import world as worlds


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=500_000)


class _Bad(worlds.Records):
    """A topic without a single valid login."""

    reasons = None

    def learn(self, world):
        """Reads the topic and counts the reasons with the oracle of the tests."""
        self.reasons = collections.Counter()
        for messages in worlds.read(world.broker, self.topic, self.count):
            for message in messages:
                self.bytes += len(message.value() or b"")
                self.checksum += zlib.crc32(message.value() or b"")
                self.reasons[_reason(message)] += 1


def _reason(message):
    try:
        oracle.judge(message.value(), message.timestamp()[1])
    except oracle.Rejected as reason:
        return str(reason)
    raise RuntimeError("the generator made a good record among the bad ones")


class _Flooded(contenders.Rollcall):
    """rollcall, with its rejected records checked as the output."""

    name, label, counts = "flooded", "bad records", False

    def command(self, world, records, group, output):
        self.options = {"output.topic": f"{output}-rejected", "output.rejected_topic": output}
        return super().command(world, records, group, output)

    def is_counted(self, world, records):
        return sum(_rejected(world).values()) >= records.count

    def check(self, world, records, group, output):
        super().check(world, records, group, output)
        if _rejected(world) != records.reasons:
            raise measure.Failed(f"rollcall rejected {_rejected(world)} instead of "
                                 f"{records.reasons}")


def _rejected(world):
    with world.redis.client() as client:
        found = client.hgetall("{user-login}:rejected_counts")
    return {reason.decode(): int(count) for reason, count in found.items()}


def run(arguments):
    """Measures both in turn, prints and writes the report."""
    print(f"about {(20 + arguments.rounds * 14 * arguments.records / 5e5) / 60:.0f} minutes",
          flush=True)
    good, bad = [], []
    with worlds.World() as world:
        logins = worlds.Records(world, arguments.records).generate(world)
        others = _Bad(world, arguments.records).generate(world, "--invalid", "100")
        for _ in range(arguments.rounds):
            good.append(measure.run(world, contenders.Rollcall(), logins))
            bad.append(measure.run(world, _Flooded(), others))
            print(f"good {good[-1].rate:9.0f}, bad {bad[-1].rate:9.0f} records/s", flush=True)
    found = {"command": "./dev bench " + " ".join(sys.argv[1:]), "machine": results.machine(),
             "rounds": arguments.rounds, "records": arguments.records,
             "rows": [{"label": label, "mean_bytes": records.bytes / records.count,
                       "rate": results.spread([sample.rate for sample in samples]),
                       "cpu_per_million": results.spread([s.cpu_per_million for s in samples]),
                       "rss_mb": results.spread([sample.rss_mb for sample in samples])}
                      for label, records, samples in (("good records", logins, good),
                                                      ("bad records", others, bad))],
             "ratio": results.spread([b.rate / g.rate for g, b in zip(good, bad)])}
    results.save("flood", found)
    print(results.text("flood"))
    return 0
