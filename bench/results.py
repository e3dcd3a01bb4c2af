"""The results: saved as JSON in bench/results, reported as text, Markdown and charts."""

import json
import math
import os
import platform
import statistics
import subprocess

import report

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def spread(values):
    """Returns median, minimum and maximum; None without values."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def quantile(ordered, share):
    """Returns the value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine():
    """Describes the machine on which the results were measured."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo
                      if line.startswith("model name")), platform.machine())
    repo = os.path.dirname(FOLDER)
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "load_before": os.getloadavg()[0],
            "librdkafka": _output("pkg-config", "--modversion", "rdkafka"),
            "commit": _output("git", "-C", repo, "rev-parse", "--short", "HEAD")}


def save(part, found):
    """Saves a part as JSON and rewrites the report from all saved parts."""
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, f"{part}.json"), "w") as out:
        json.dump(found, out, indent=1)
        out.write("\n")
    report.write(FOLDER, load())


def load():
    """Returns part -> saved results."""
    found = {}
    for part in report.PARTS:
        path = os.path.join(FOLDER, f"{part}.json")
        if os.path.exists(path):
            with open(path) as saved:
                found[part] = json.load(saved)
    return found


def text(part):
    """Returns a part as Markdown, which is also readable in a terminal."""
    return report.PARTS[part](load()[part])
