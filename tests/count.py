"""Adds up the test results of ./dev: one line per skipped or failed test, then the totals.

usage: count.py [--broken NAME] ... DIRECTORY ...

DIRECTORY is a build directory. Its results/ holds one file for each kind of test that was run:
unit.json (the log of `meson test`), system.xml (JUnit XML from pytest), compose.json and
kubernetes.json (from `go test -json`), and JUnit XML from tests/chaos, tests/coverage.py,
tests/model, tests/fuzz, tests/tidy.py, tests/containers and tests/monitoring in chaos*.xml,
coverage.xml, model.xml, fuzz.xml, tidy.xml, containers.xml and monitoring.xml, from tests/package
in package-12.xml and package-13.xml, from `./dev pods` in pods.xml, and from `./dev drill` in
drill.xml. NAME is a command that
ended with an error. It counts as a failure unless some test already failed.
The exit status is 0 if at least one test passed and none failed.
"""

import argparse
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

#: One cmocka test in TAP: "ok 3 - name", "not ok 4 - name", "ok 5 # SKIP name".
_TAP = re.compile(r"^(not )?ok\b(?: \d+)?(?: -)?(?: #(SKIP| SKIP))?\s*(.*)$", re.MULTILINE)


def unit_results(path):
    """Yields (name, outcome, reason) for each case of each test program."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            program = json.loads(line)
            outcomes = []
            for match in _TAP.finditer(program.get("stdout") or ""):
                is_bad, is_skip, name = match.groups()
                outcome = SKIPPED if is_skip else FAILED if is_bad else PASSED
                outcomes.append(outcome)
                yield f"{program['name']}: {name}", outcome, ""
            yield from _rest_of_program(program, outcomes)


def _rest_of_program(program, outcomes):
    """Counts a program without cases as one test, and one that died as failed."""
    result = program["result"]
    if result == "SKIP" and not outcomes:
        yield program["name"], SKIPPED, "skipped by the program"
    elif result in ("OK", "EXPECTEDFAIL"):
        if not outcomes:
            yield program["name"], PASSED, ""
    elif result != "SKIP" and FAILED not in outcomes:
        yield program["name"], FAILED, f"ended as {result}"


def junit_results(path):
    """Yields (name, outcome, reason) for each test in a JUnit XML file."""
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        broken = case.find("failure")
        if broken is None:
            broken = case.find("error")
        if broken is not None:
            yield name, FAILED, (broken.get("message") or "").split("\n")[0]
        elif skipped is not None:
            yield name, SKIPPED, skipped.get("message") or ""
        else:
            yield name, PASSED, ""


def go_results(path):
    """Yields (name, outcome, reason) for each Go test; one with subtests is not counted itself."""
    outcomes = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}
    with open(path, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines if line.startswith("{")]
    ends = {event["Test"]: outcomes[event["Action"]] for event in events
            if "Test" in event and event.get("Action") in outcomes}
    for name, outcome in ends.items():
        if not any(other.startswith(name + "/") for other in ends):
            yield f"{os.path.basename(path).removesuffix('.json')}: {name}", outcome, ""


READERS = {"unit.json": unit_results, "system.xml": junit_results, "chaos.xml": junit_results,
           "chaos-sentinel.xml": junit_results, "chaos-cluster.xml": junit_results,
           "coverage.xml": junit_results, "model.xml": junit_results, "fuzz.xml": junit_results,
           "tidy.xml": junit_results, "containers.xml": junit_results,
           "monitoring.xml": junit_results, "package-12.xml": junit_results,
           "package-13.xml": junit_results, "compose.json": go_results,
           "kubernetes.json": go_results, "pods.xml": junit_results,
           "drill.xml": junit_results}


def results_of(directory):
    for file, read in READERS.items():
        path = os.path.join(directory, "results", file)
        if os.path.exists(path):
            yield file, list(read(path))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directories", nargs="*")
    parser.add_argument("--broken", action="append", default=[])
    options = parser.parse_args()
    totals = {PASSED: 0, FAILED: 0, SKIPPED: 0}
    for directory in options.directories:
        for file, results in results_of(directory):
            counts = {outcome: sum(result[1] == outcome for result in results)
                      for outcome in totals}
            print(f"{directory}, {file}: " + ", ".join(f"{n} {o}" for o, n in counts.items()))
            for name, outcome, reason in results:
                totals[outcome] += 1
                if outcome != PASSED:
                    print(f"  {outcome}: {name}" + (f" ({reason})" if reason else ""))
    if options.broken and not totals[FAILED]:
        totals[FAILED] = len(options.broken)
    for name in options.broken:
        print(f"ended with an error: {name}")
    print(", ".join(f"{count} {outcome}" for outcome, count in totals.items()))
    return 0 if totals[FAILED] == 0 and totals[PASSED] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
