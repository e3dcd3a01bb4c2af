"""Writes results as Markdown and SVG."""

import os

import svg


def _number(value):
    """Formats a number with about three significant digits."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(found, scale=1):
    if found is None:
        return "-"
    low, high = _number(found["min"] * scale), _number(found["max"] * scale)
    return f"{_number(found['median'] * scale)} ({low}-{high})"


def _thousandths(found):
    return f"{found['median']:.4f} ({found['min']:.4f}-{found['max']:.4f})"


def _times(ratio):
    return f"{_number(1 / ratio['median'])} times" if ratio else "-"


def table(head, rows):
    """Returns a Markdown table with aligned columns."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in cells]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _where(found):
    machine = found["machine"]
    return (f"`{found['command'].strip()}` at {machine['commit']}: {machine['cores']} cores of "
            f"{machine['cpu']}, shared with the broker and Redis; Linux {machine['kernel']}, "
            f"librdkafka {machine['librdkafka']}; load average before the run "
            f"{machine['load_before']:.1f}.\n")


def compare(found):
    """The comparison of the contenders."""
    rows = []
    for one in found["contenders"]:
        if not one["rounds"]:
            rows.append([one["label"], f"{one['records']:,}", "failed", "", "", "", "", "", ""])
            continue
        rows.append([one["label"], f"{one['records']:,}", _spread(one["cpu_per_million"]),
                     _spread(one["warm_cpu_s"]), _spread(one["rate"], 1e-3),
                     _spread(one["rss_mb"]), _number(one["kafka_bytes"]["median"] / 1e6),
                     _number(one["transactions"]["median"]),
                     _number(one["redis_commands"]["median"])])
    head = ["contender", "records", "CPU-s", "CPU-s, 2nd half", "1000 records/s", "peak RSS, MB",
            "MB to Kafka", "transactions", "Redis commands"]
    notes = "\n".join(f"- {one['label']}: {one['note']}" for one in found["contenders"]
                      if one["note"])
    failures = "\n".join(f"- **{one['label']} failed**: {one['failure'].splitlines()[0]}"
                         for one in found["contenders"] if one["failure"])
    ratios = table(["contender", "CPU of rollcall relative to it", "min", "max", "best to best",
                    "its CPU relative to rollcall", "2nd half only"],
                   [[one["to"], _number(one["pairs"]["median"]), _number(one["pairs"]["min"]),
                     _number(one["pairs"]["max"]), _number(one["of_bests"]),
                     _times(one["pairs"]), _times(one["warm_pairs"])]
                    for one in found["ratios"] if one["pairs"]])
    has_ratios = any(one["pairs"] for one in found["ratios"])
    rounds = max(one["rounds"] for one in found["contenders"])
    return "\n\n".join(filter(None, [
        "## Comparison", _where(found).rstrip(),
        f"Median (min-max) of {rounds} rounds; CPU, MB to Kafka, transactions and Redis commands "
        "are per million records.",
        table(head, rows), notes, failures,
        "CPU of rollcall relative to each contender, paired by round:" if has_ratios else "",
        ratios if has_ratios else ""])) + "\n"


def latency(found):
    """The latency from when a record was due until it is visible."""
    rows = []
    for point in found["points"]:
        duration = point["records"] / point["rate"]
        for where, label in (("kafka", "`read_committed` reader"), ("redis", "Redis")):
            ms = point[where]
            rows.append([f"{point['rate']:,}", label, _number(ms["p50"]), _number(ms["p99"]),
                         _number(ms["p999"]), _number(ms["max"]),
                         f"{100 * point['cpu_s'] / duration:.1f} %",
                         f"{100 * point['probe_cpu_s'] / duration:.1f} %",
                         _number(point["behind_max_ms"])])
    head = ["records/s", "visible to", "p50", "p99", "p99.9", "max", "rollcall, of a core",
            "probe, of a core", "max delay of the sender"]
    return "\n\n".join([
        "## Latency", _where(found).rstrip(),
        f"Milliseconds from when a record was due to be sent until it is visible; "
        f"{found['seconds']} s per rate, {found['partitions']} partitions, default "
        "`output.commit_ms` and `redis.checkpoint_ms` (100 and 500).",
        table(head, rows)]) + "\n"


def idle(found):
    """The cost of an instance that has nothing to do."""
    rows = [[one["label"], _spread(one["core_percent"]), _spread(one["wakeups_per_s"]),
             _spread(one["redis_per_s"])] for one in found["rows"]]
    return "\n\n".join([
        "## Idle", _where(found).rstrip(),
        f"{found['partitions']} partitions, nothing to read; {found['seconds']} s per round.",
        table(["", "% of a core", "wake-ups/s", "Redis commands/s"], rows)]) + "\n"


def start(found):
    """The time from the start to the first record."""
    rows = [["rollcall: first record counted in Redis", _spread(found["counted"])],
            ["plain consumer: first record received", _spread(found["plain"])],
            ["difference", _spread(found["beyond"])]]
    return "\n\n".join([
        "## Start", _where(found).rstrip(),
        f"Seconds from the start of the process, in an empty group; {found['rounds']} rounds.",
        table(["", "s"], rows)]) + "\n"


def scaling(found):
    """What the cost per record depends on, and what it does not depend on."""
    texts = ["## Scaling", _where(found).rstrip(),
             f"Best of {found['rounds']} rounds for each point."]
    for curve in found["curves"]:
        rows = [[point["label"], f"{point['records']:,}", _number(point["cpu_per_million"]),
                 _number(point["rate"] / 1e3), _number(point["rss_mb"]),
                 _number(point["redis_per_s"])] for point in curve["points"]]
        texts.append(f"**{curve['title']}**" + (f" ({curve['note']})" if curve["note"] else ""))
        texts.append(table([curve["axis"], "records", "CPU-s per million", "1000 records/s",
                            "peak RSS, MB", "Redis commands/s"], rows))
    return "\n\n".join(texts) + "\n"


def flood(found):
    """Only bad records compared with only good ones."""
    rows = [[one["label"], _number(one["mean_bytes"]), _spread(one["rate"], 1e-3),
             _spread(one["cpu_per_million"]), _spread(one["rss_mb"])] for one in found["rows"]]
    return "\n\n".join([
        "## Flood of bad records", _where(found).rstrip(),
        f"A backlog of {found['records']:,} records, {found['rounds']} rounds. Bad records are "
        f"processed at {_spread(found['ratio'])} of the speed of good ones, paired by round.",
        table(["", "bytes per record", "1000 records/s", "CPU-s per million", "peak RSS, MB"],
              rows)]) + "\n"


def paths(found):
    """Nested events compared with flat ones of the same size."""
    rows = [[one["label"], _number(one["mean_bytes"]), _spread(one["cpu_per_million"]),
             _spread(one["warm_cpu_s"])] for one in found["rows"]]
    return "\n\n".join([
        "## Paths", _where(found).rstrip(),
        f"A backlog of {found['records']:,} records, {found['rounds']} rounds. CPU a record, nested "
        f"relative to flat, paired by round: {_spread(found['ratio'])}, best to best "
        f"{_number(found['of_bests'])}; 2nd half only: {_spread(found['warm_ratio'])}.",
        table(["", "bytes per record", "CPU-s per million", "2nd half"], rows)]) + "\n"


def watched(found):
    """An instance that is scraped and looked at by turns."""
    rows = [[one["label"], _spread(one["cpu_per_million"])] for one in found["rows"]]
    return "\n\n".join([
        "## Watched", _where(found).rstrip(),
        f"A backlog of {found['records']:,} records in {found['partitions']} partitions, "
        f"{found['rounds']} rounds, in each of which a scrape a second and {found['pages']} open "
        f"status pages come and go every two seconds. CPU a record, watched relative to alone, "
        f"{found['turns']} pairs of turns: {_thousandths(found['ratio'])}. The serving thread alone "
        f"took {_thousandths(found['serving'])} of all CPU.",
        table(["", "CPU-s per million"], rows)]) + "\n"


def memory(found):
    """Peak memory compared with the configured limit."""
    rows = [[one["label"], one["partitions"], one["limit_mb"], _number(one["peak_mb"]),
             _number(one["peak_mb"] / one["limit_mb"]), f"{one['counted']:,}", f"{one['left']:,}",
             _number(one["seconds"])] for one in found["cases"]]
    return "\n\n".join([
        "## Memory", _where(found).rstrip(),
        "`VmHWM` in MiB. A case ends when everything is counted, or after a fixed time if a server "
        "is slow or down. Records left over are lag in Kafka.",
        table(["", "partitions", "memory_mb", "peak RSS", "of memory_mb", "counted", "left", "s"],
              rows)]) + "\n"


def checkpoint_line(point):
    """One point of `checkpoint`, for the terminal."""
    return (f"{point['partitions']} partitions, {point['rate']:,} records/s: "
            f"{point['cores']:.3f} cores, {point['rss_mb']:.0f} MB; "
            f"{point['checkpoints_per_s']:.0f} checkpoints/s, each "
            f"{point['commands']:.0f} commands, {point['us']:.0f} us of Redis, "
            f"{point['bytes']:.0f} bytes")


def checkpoint(found):
    """What a checkpoint costs Redis, and what a partition costs an instance."""
    rows = [[one["partitions"], f"{one['rate']:,}", f"{one['cores']:.3f}", _number(one["rss_mb"]),
             _number(one["checkpoints_per_s"]), _number(one["commands"]), _number(one["us"]),
             _number(one["bytes"])] for one in found["points"]]
    return "\n\n".join([
        "## Checkpoints", _where(found).rstrip(),
        "A steady rate, one instance. Redis: for each checkpoint the commands, those in the script "
        "included, the time that Redis spent in the script, and the bytes both ways.",
        table(["partitions", "records/s", "cores", "peak RSS, MB", "checkpoints/s", "commands",
               "us of Redis", "bytes"], rows)]) + "\n"


PARTS = {"compare": compare, "latency": latency, "scaling": scaling, "idle": idle, "start": start,
         "watched": watched, "paths": paths, "flood": flood, "memory": memory,
         "checkpoint": checkpoint}


def _charts(part, found):
    """Returns file name -> SVG for a part."""
    if part == "compare":
        measured = [one for one in found["contenders"] if one["rounds"]]
        return {"compare.svg": svg.bars(
            "CPU-seconds per million records (logarithmic)",
            [(one["label"], one["cpu_per_million"]) for one in measured])}
    if part == "latency":
        return {f"latency-{where}.svg": svg.lines(
            f"ms until visible to {label}", "records/s",
            [(name, [(point["rate"], point[where][key]) for point in found["points"]])
             for name, key in (("p99.9", "p999"), ("p99", "p99"), ("p50", "p50"))])
            for where, label in (("kafka", "a read_committed reader"), ("redis", "Redis"))}
    if part == "scaling":
        return {f"scaling-{curve['name']}.svg": svg.lines(
            f"{curve['title']}: CPU-seconds per million records", curve["axis"],
            [("rollcall", [(point["at"], point["cpu_per_million"]) for point in curve["points"]])])
            for curve in found["curves"] if len(curve["points"]) > 1}
    return {}


def write(folder, parts):
    """Writes report.md and the charts for all parts that were measured."""
    texts = ["# Benchmark results",
             "Written by `./dev bench`; bench/README.md explains how to read it."]
    for part, describe in PARTS.items():
        if part not in parts:
            continue
        charts = _charts(part, parts[part])
        for name, chart in charts.items():
            with open(os.path.join(folder, name), "w") as out:
                out.write(chart)
        texts.append(describe(parts[part]) + "\n" +
                     "\n".join(f"![{name.removesuffix('.svg')}]({name})" for name in charts))
    with open(os.path.join(folder, "report.md"), "w") as out:
        out.write("\n\n".join(text.rstrip() for text in texts) + "\n")
