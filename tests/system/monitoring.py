"""The files of deploy/monitoring, and the programs that read them: promtool and Prometheus."""

import contextlib
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import process
import wait

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(REPO, "deploy", "monitoring")
RULES = [os.path.join(FOLDER, f"rollcall.{kind}.yml") for kind in ("rules", "alerts")]
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}

#: Metrics of rollcall that no panel shows, and why.
WITHOUT_PANEL = {"process_virtual_memory_bytes": "address space, most of which is never touched"}

_CALLS = re.compile(r"\b[a-z_]+(?=\s*\()")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def text_of(path):
    """The text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def names_in(query):
    """The metrics that a PromQL query reads."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = _GROUPING.sub(" ", bare)
    bare = re.sub(r"\boffset\s+\w+", "", bare)
    found = set(re.findall(r"(?<![\w.$])[a-zA-Z_:][\w:]*", bare))
    return found - set(_CALLS.findall(bare)) - _WORDS


def metric_of(name):
    """The metric that a series belongs to, as its HELP line names it."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def dashboard():
    """The dashboard as Grafana reads it."""
    return json.loads(text_of(os.path.join(FOLDER, "dashboard.json")))


def panels():
    """The panels of the dashboard, without the rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def shown(rules):
    """The metrics that a panel shows, by itself or through a recording rule."""
    found = {metric_of(name) for panel in panels() for target in panel["targets"]
             for name in names_in(target["expr"])}
    for rule in rules:
        if rule["name"] in found:
            found |= {metric_of(name) for name in names_in(rule["query"])}
    return found


def scaled(rules, factor, at_least_s):
    """The rules with every duration divided by a factor, so that alerts can be seen in minutes."""
    def short(match):
        seconds = sum(float(number) * SECONDS[unit] for number, unit in
                      re.findall(r"(\d+)(ms|[smhdwy])", match[2]))
        if seconds > 0:
            seconds = max(seconds / factor, at_least_s)
        return f"{match[1]}{seconds * 1000:.0f}ms"

    durations = r"((?:\d+(?:ms|[smhdwy]))+)(?![\w.])"
    rules = re.sub(r"(\b(?:for|keep_firing_for|offset):? )" + durations, short, rules)
    return re.sub(r"(\[)" + durations + r"(?=\])", short, rules)


class Prometheus:
    """One server in a folder of its own, on a free loopback port."""

    def __init__(self, folder, config):
        self.port = process.free_port()
        self._log = os.path.join(folder, "prometheus.log")
        self._config = os.path.join(folder, "prometheus.yml")
        with open(self._config, "w", encoding="utf-8") as out:
            out.write(config)
        self._process = process.spawn(
            ["prometheus", f"--config.file={self._config}",
             f"--storage.tsdb.path={os.path.join(folder, 'data')}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], self._log)
        wait.until(self._answers, 30,
                   lambda: f"Prometheus to be ready: {process.tail(self._log)}", every=0.1)

    def _answers(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"Prometheus exited: {process.tail(self._log)}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, path, **arguments):
        """The data that its API answers; raises with its own words if it refuses."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {json.load(error)['error']}") from error

    def query(self, query):
        """The series that a query returns now."""
        return self.ask("query", query=query)["result"]

    def rules(self):
        """All rules, as Prometheus read them."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def firing(self):
        """The alerts that fire now: a set of (name, labels that tell them apart)."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]
                if alert["state"] == "firing"}

    def kill(self):
        """Kills the server."""
        process.kill(self._process)


@contextlib.contextmanager
def running(folder, config):
    """Runs a Prometheus while the context is open."""
    server = Prometheus(str(folder), config)
    try:
        yield server
    finally:
        server.kill()


def promtool(*arguments):
    """Runs promtool; returns the CompletedProcess, its outputs as text."""
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=300,
                          stdin=subprocess.DEVNULL)
