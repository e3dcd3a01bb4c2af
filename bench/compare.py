"""./dev bench compare: measures the contenders in turn on the same records, in several rounds."""

import math
import sys
import time

import contenders
import measure
import peers
import results
import world as worlds

#: (contender, its share of the records, seconds per run). Slow contenders get fewer records.
PLAN = [
    (contenders.Raw(), 1, 8),
    (contenders.RawTuned(), 1, 8),
    (contenders.RawWhole(), 1, 8),
    (contenders.Rollcall(), 1, 9),
    *peers.PLAN,
]
FILL_S = 60


def add_arguments(parser):
    """Adds the arguments of this command."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=2_000_000,
                        help="records for the fastest contenders; slow ones get a fixed share")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--only", help="comma-separated names of contenders")
    parser.add_argument("--variant", action="append", default=[], type=contenders.Variant,
                        metavar="NAME=[VAR=VALUE ...] PROGRAM [--OPTION=VALUE ...]",
                        help="add another build of rollcall as a contender, or this build "
                             "(PROGRAM -) with other settings; can be repeated")


def _chosen(only, variants):
    names = [contender.name for contender, _, _ in PLAN]
    wanted = only.split(",") if only else names
    for name in wanted:
        if name not in names:
            raise SystemExit(f"bench: no contender is named {name}; choose from "
                             f"{', '.join(names)}")
    return [entry for entry in PLAN if entry[0].name in wanted] + [
        (variant, 1, 9) for variant in variants]


def run(arguments):
    """Measures, prints and writes the report; returns 1 if a contender failed."""
    plan = _chosen(arguments.only, arguments.variant)
    size = arguments.records / 2_000_000
    estimate = FILL_S * size + arguments.rounds * sum(3 + seconds * size for _, _, seconds in plan)
    print(f"{len(plan)} contenders, {arguments.rounds} rounds, about {estimate / 60:.0f} minutes",
          flush=True)
    samples = {contender.name: [] for contender, _, _ in plan}
    failures = {}
    with worlds.World() as world:
        records = _fill(world, arguments.records, arguments.partitions, plan)
        for number in range(arguments.rounds):
            for place in range(len(plan)):
                # Each round starts with another contender, so their positions change.
                contender, share, _ = plan[(place + number) % len(plan)]
                if contender.name not in failures:
                    _measure(world, contender, records[share], number, samples, failures)
    found = {
        "command": "./dev bench " + " ".join(sys.argv[2:]),
        "machine": results.machine(),
        "contenders": [_described(contender, records[share], samples[contender.name],
                                  failures.get(contender.name))
                       for contender, share, _ in plan],
        "ratios": [_ratio(samples, "rollcall", other) for other in samples if other != "rollcall"],
    }
    results.save("compare", found)
    print(results.text("compare"))
    return 1 if failures else 0


def _fill(world, count, partitions, plan):
    shares = sorted({share for _, share, _ in plan}, reverse=True)
    found = {}
    for share in shares:
        started = time.monotonic()
        found[share] = worlds.Records(world, max(1000, int(count * share)),
                                      partitions).generate(world)
        mean_bytes = found[share].bytes / found[share].count
        print(f"{found[share].count} records of {mean_bytes:.0f} bytes written and counted in "
              f"{time.monotonic() - started:.0f} s", flush=True)
    return found


def _measure(world, contender, records, number, samples, failures):
    try:
        sample = measure.run(world, contender, records)
    except Exception as error:  # one failing contender must not end the run of the others
        failures[contender.name] = str(error)
        print(f"round {number + 1}  {contender.name} FAILED: {error}", flush=True)
        return
    samples[contender.name].append(sample)
    print(f"round {number + 1}  {contender.name:14} {sample.cpu_per_million:8.2f} CPU-s/M "
          f"{sample.rate:9.0f} records/s {sample.rss_mb:5.0f} MB", flush=True)


def _described(contender, records, samples, failure):
    columns = {}
    if samples:
        for name in ("cpu_per_million", "warm_cpu_s", "rate", "rss_mb"):
            columns[name] = results.spread([getattr(sample, name) for sample in samples])
        for name in ("kafka_bytes", "transactions", "redis_commands"):
            columns[name] = results.spread(
                [getattr(sample, name) / records.count * 1e6 for sample in samples])
    return {"name": contender.name, "label": contender.label, "note": contender.note,
            "records": records.count, "failure": failure, "rounds": len(samples), **columns}


def _ratio(samples, one, other):
    """CPU of one contender relative to another, paired by round: whole run and when warm."""
    pairs = list(zip(samples.get(one, []), samples[other]))
    bests = [min((sample.cpu_per_million for sample in samples.get(name, [])), default=math.nan)
             for name in (one, other)]
    return {"of": one, "to": other, "of_bests": bests[0] / bests[1],
            "pairs": results.spread([a.cpu_per_million / b.cpu_per_million for a, b in pairs]),
            "warm_pairs": results.spread([a.warm_cpu_s / b.warm_cpu_s for a, b in pairs])}
