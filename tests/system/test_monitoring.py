"""deploy/monitoring: what its rules and its dashboard say, and whether they are right."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest

import alert_cases
import monitoring

SEVERITIES = {"critical", "warning", "info"}

@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """All rules as Prometheus itself reads them."""
    files = "".join(f"  - {path}\n" for path in monitoring.RULES)
    with monitoring.running(tmp_path_factory.mktemp("rules"), f"rule_files:\n{files}") as server:
        yield server.rules()


def alerts_of(rules):
    return [rule for rule in rules if rule["type"] == "alerting"]


def test_promtool_accepts_the_rules_and_the_configuration():
    for arguments in (["check", "rules", *monitoring.RULES],
                      ["check", "config", os.path.join(monitoring.FOLDER, "prometheus.yml")]):
        done = monitoring.promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr


def test_every_alert_says_what_an_operator_needs(rules):
    """Severity, for, keep_firing_for, a summary, a description with the value, a runbook."""
    runbook = monitoring.text_of(os.path.join(monitoring.REPO, "docs", "runbook.md"))
    headings = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
                for title in re.findall(r"^#+ (.*)$", runbook, re.MULTILINE)}
    source = "".join(monitoring.text_of(path) for path in monitoring.RULES)
    stanzas = re.split(r"^ +- alert: ", source, flags=re.MULTILINE)[1:]
    assert len(stanzas) == len(alerts_of(rules))
    for alert, stanza in zip(alerts_of(rules), stanzas):
        name, notes = alert["name"], alert["annotations"]
        assert stanza.startswith(name + "\n")
        assert re.search(r"^ +for: \d", stanza, re.MULTILINE), name
        assert alert["keepFiringFor"] > 0, name
        assert alert["labels"]["severity"] in SEVERITIES, name
        assert set(notes) == {"summary", "description", "runbook_url"}, name
        assert not notes["summary"].endswith("."), name
        assert "$value" in notes["description"] or name == "RollcallAbsent", name
        assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert name.lower() in headings, f"docs/runbook.md has no heading {name}"


def test_rules_and_panels_use_only_what_is_there(rules, world):
    """No query names a metric that /metrics lacks, and each metric has a panel or a reason."""
    world.create_input()
    page = world.run().wait_ready().get("/metrics")[1]
    there = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    queries = [rule["query"] for rule in rules]
    shown = [target["expr"] for panel in monitoring.panels() for target in panel["targets"]]
    used = {monitoring.metric_of(name) for query in queries + shown
            for name in monitoring.names_in(query)}
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert not used - there - recorded - {"up"}
    assert recorded <= used, "a recording rule that nothing reads"
    assert there - monitoring.shown(rules) == set(monitoring.WITHOUT_PANEL)


def test_names_in_finds_the_metrics_of_a_query():
    assert monitoring.names_in(
        'sum by (job, le) (rate(a_total{job=~"b", c!="d"}[5m] offset 1w)) / on (e) f:g:h5m > 0.5'
        ' and absent(up{x="y"} == 1) unless i offset 15m') == {"a_total", "f:g:h5m", "up", "i"}


def test_dashboard_is_the_one_that_its_script_makes():
    made = subprocess.run([sys.executable, os.path.join(monitoring.FOLDER, "dashboard.py")],
                          capture_output=True, text=True, timeout=60, check=True).stdout
    assert json.loads(made) == monitoring.dashboard()


def test_kubernetes_has_the_same_rules():
    """deploy/kubernetes/prometheusrule.py was run after the last change."""
    folder = os.path.join(monitoring.REPO, "deploy", "kubernetes")
    made = subprocess.run([sys.executable, os.path.join(folder, "prometheusrule.py")],
                          capture_output=True, text=True, timeout=60, check=True).stdout
    assert made == monitoring.text_of(
        os.path.join(folder, "components", "monitoring", "prometheusrule.yaml"))


def test_dashboard_can_be_imported_anywhere():
    """Variables for datasource, job and instance, used throughout; every panel explains itself."""
    variables = {item["name"]: item for item in monitoring.dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    assert variables["datasource"]["type"] == "datasource"
    titles, places = set(), []
    for panel in monitoring.panels():
        title = panel["title"]
        assert title and title not in titles, title
        titles.add(title)
        assert len(panel["description"]) > 10, title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert panel["datasource"]["uid"] == "${datasource}", title
        assert panel["targets"], title
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", title
            assert '$job"' in target["expr"], title
            assert target["legendFormat"], title
            for window in re.findall(r"\[([^\]]*)\]", target["expr"]):
                assert window == "$__rate_interval", title
        places.append(panel["gridPos"])
    cells = [(x, y) for place in places
             for x in range(place["x"], place["x"] + place["w"])
             for y in range(place["y"], place["y"] + place["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert all(0 <= x < 24 for x, _ in cells)


# Each alert, in a simulated Prometheus.


def unit_test(case, input_series, expected):
    """A promtool test: expected is a list of (step, query, values by alert name).

    If the case is not about that, an instance is up.
    """
    step = f"{case.step_m}m"
    if not any(name.startswith("up{") for name in input_series):
        input_series = {**input_series, alert_cases.series("up"): "1x2000"}
    return {
        "rule_files": monitoring.RULES,
        "evaluation_interval": step,
        # what is recorded first: with steps as long as these, it would be stale by the next one
        "group_eval_order": re.findall(r"^  - name: (\S+)$", "".join(
            map(monitoring.text_of, monitoring.RULES)), re.MULTILINE),
        "tests": [{
            "interval": step,
            "input_series": [{"series": name, "values": values}
                             for name, values in input_series.items()],
            "promql_expr_test": [
                {"eval_time": f"{at * case.step_m}m", "expr": query,
                 "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": value}
                                 for name, value in sorted(samples.items())]}
                for at, query, samples in expected]}]}


FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'


def _only(case):
    wanted = f'alertstate="firing", alertname="{case.alert}"'
    if case.long:
        wanted += f', long="{case.long}"'
    return wanted


def _runs_of(case):
    """Yields (what, promtool test) for one case."""
    end = case.resolved_at
    only = _only(case)
    others = (case.alert, *case.also)
    yield "fires", unit_test(case, case.fires, [
        (case.fires_at, FIRING, dict.fromkeys(others, 1)),
        (case.fires_at, f"group by (alertname) (ALERTS{{{only}}})", {case.alert: 1}),
        (end, f"group by (alertname) (ALERTS{{{only}}})", {})])
    yield "near_miss", unit_test(case, case.near_miss, [
        (end, f"count by (alertname) (count_over_time(ALERTS{{{only}}}[9000h]))", {})])


@pytest.mark.parametrize("case", alert_cases.CASES,
                         ids=lambda case: f"{case.alert}{case.long and '-' + case.long}")
def test_alert_fires_resolves_and_is_silent_at_a_near_miss(case, tmp_path):
    for what, content in _runs_of(case):
        path = tmp_path / f"{what}.yml"
        path.write_text(json.dumps(content))
        done = monitoring.promtool("test", "rules", str(path))
        assert done.returncode == 0, f"{what}: {done.stdout}{done.stderr}"


def test_every_alert_has_a_case(rules):
    assert {(alert["name"], alert["labels"].get("long", "")) for alert in alerts_of(rules)} == \
        {(case.alert, case.long) for case in alert_cases.CASES}


def test_every_alert_is_fired_by_a_fault_of_the_live_run(rules, monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(monitoring.REPO, "tests", "monitoring"))
    faults = importlib.import_module("faults").FAULTS
    assert set().union(*(alerts for _, alerts, _, _ in faults.values())) == \
        {alert["name"] for alert in alerts_of(rules)}


def test_descriptions_are_readable_sentences(tmp_path):
    """Every annotation as it arrives: templates filled in, a number with a unit, no error."""
    for number, case in enumerate(alert_cases.CASES):
        content = unit_test(case, case.fires, [])
        content["tests"][0]["alert_rule_test"] = [
            {"eval_time": f"{case.fires_at * case.step_m}m", "alertname": case.alert,
             "exp_alerts": []}]
        path = tmp_path / f"{number}.yml"
        path.write_text(json.dumps(content))
        done = monitoring.promtool("test", "rules", str(path))
        assert done.returncode != 0, f"{case.alert} does not fire"
        text = re.search(r'description="((?:[^"\\]|\\.)*)"', done.stdout + done.stderr)[1]
        assert text.endswith("."), text
        assert re.search(r"\d", text), text
        assert not re.search(r"\{\{|<no value>|error|%!|NaN|  ", text), text
