"""deploy/compose/monitoring.yml: Prometheus scrapes, has every rule, and no alert but that
of anomalies fires. Grafana has no stand-in; tests/compose checks what it would read."""

import json
import os
import urllib.parse
import urllib.request

import pytest
import yaml

import stack as stacks
from engine import REPO, until


@pytest.fixture(scope="module")
def stack(image):
    yield from stacks.up("monitoring")


def ask(path, **parameters):
    """The data of a reply of Prometheus's API."""
    url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)["data"]


def names(groups, kinds=("alert", "record")):
    """What the rules of some groups are called."""
    return sorted(rule[kind] for group in groups for rule in group["rules"] for kind in kinds
                  if kind in rule)


def written():
    """The groups of deploy/monitoring."""
    for file in ("rules", "alerts"):
        with open(os.path.join(REPO, f"deploy/monitoring/rollcall.{file}.yml"),
                  encoding="utf-8") as text:
            yield from yaml.safe_load(text)["groups"]


def loaded():
    """The rules that Prometheus has."""
    return [rule for group in ask("rules")["groups"] for rule in group["rules"]]


def test_prometheus_scrapes_the_instance(stack):
    up = until(lambda: ask("query", query='up{job="rollcall"} == 1')["result"], 60, "a scrape")
    assert len(up) == 1
    until(lambda: ask("query", query="rate(rollcall_records_counted_total[1m]) > 50")["result"], 90,
          "counted records")


def test_every_rule_is_loaded_and_no_alert_fires(stack):
    until(lambda: all(rule["health"] == "ok" for rule in loaded()), 60, loaded)
    assert sorted(rule["name"] for rule in loaded()) == names(written())
    # The generator's minutes are above the default threshold: anomalies, which are information.
    firing = [alert for alert in ask("alerts")["alerts"] if alert["state"] == "firing"
              and alert["labels"]["alertname"] != "RollcallAnomaly"]
    assert firing == []
    print(f"{len(loaded())} rules loaded, no alert fires but that of anomalies")


def test_nothing_runs_with_rights_that_it_does_not_need(stack):
    stacks.check_rights(stack)
