"""What was measured: kept as JSON in bench/results, told as text, Markdown and charts."""

import json
import math
import os
import platform
import statistics
import subprocess

import report

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def spread(values):
    """Median, least and greatest; None without values."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def quantile(ordered, share):
    """The value below which that share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine():
    """What a reader needs to know of where this was measured."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo
                      if line.startswith("model name")), platform.machine())
    repo = os.path.dirname(FOLDER)
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "load_before": os.getloadavg()[0],
            "librdkafka": _output("pkg-config", "--modversion", "rdkafka"),
            "commit": _output("git", "-C", repo, "rev-parse", "--short", "HEAD")}


def save(part, found):
    """Writes a part's JSON, and all that is told from the parts that are there."""
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, f"{part}.json"), "w") as out:
        json.dump(found, out, indent=1)
        out.write("\n")
    report.write(FOLDER, load())


def load():
    """part -> what was saved of it."""
    found = {}
    for part in report.PARTS:
        path = os.path.join(FOLDER, f"{part}.json")
        if os.path.exists(path):
            with open(path) as saved:
                found[part] = json.load(saved)
    return found


def text(part):
    """A part as Markdown, which a terminal shows well enough."""
    return report.PARTS[part](load()[part])
