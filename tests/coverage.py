"""Reports line coverage of src/ and include/ by file, and checks it against the minimum.

usage: coverage.py BUILD_DIRECTORY

BUILD_DIRECTORY was built with --coverage, and its programs have run. A process ended by SIGKILL or
abort() writes no counters, so lines reached only by such a process count as uncovered. Writes
results/coverage.xml there, as JUnit XML, for tests/count.py. The exit status is 0 if coverage is
high enough.
"""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

#: (name, path prefixes, minimum percentage).
RULES = [("core", ("src/core/", "include/core/"), 90), ("all", ("src/", "include/"), 80)]


def measure(build):
    """Prints the table; returns [(file, lines covered, lines)]."""
    summary = os.path.join(build, "coverage.json")
    # Only the program's own objects: test programs contain copies of some files, built differently.
    subprocess.run(["gcovr", "--root", ".", "--filter", "src/", "--filter", "include/",
                    "--txt", "-", "--json-summary", summary, os.path.join(build, "src")],
                   stdin=subprocess.DEVNULL, check=True)
    with open(summary, encoding="utf-8") as file:
        return [(found["filename"], found["line_covered"], found["line_total"])
                for found in json.load(file)["files"]]


def judge(files):
    """Prints and yields (name, error message or "") for each rule."""
    for name, beginnings, least in RULES:
        counts = [(covered, total) for file, covered, total in files if file.startswith(beginnings)]
        covered, total = (sum(column) for column in zip(*counts)) if counts else (0, 0)
        # Rounded down, so that 89.99 % does not pass as 90 %.
        percent = covered * 1000 // total / 10 if total else 0.0
        summary = f"{percent:.1f} % of {total} lines covered, at least {least} % required"
        print(f"{name}: {summary}")
        yield name, "" if percent >= least else summary


def main():
    build = os.path.abspath(sys.argv[1])
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    outcomes = list(judge(measure(build)))
    suite = ElementTree.Element("testsuite", name="coverage", tests=str(len(outcomes)))
    for name, wrong in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="coverage", name=name)
        if wrong:
            ElementTree.SubElement(case, "failure", message=wrong)
    results = os.path.join(build, "results")
    os.makedirs(results, exist_ok=True)
    ElementTree.ElementTree(suite).write(os.path.join(results, "coverage.xml"))
    return 1 if any(wrong for _, wrong in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
