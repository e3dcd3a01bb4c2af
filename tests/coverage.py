"""Line coverage of src/ and include/: a table by file, and whether it is enough.

usage: coverage.py BUILD_DIRECTORY

BUILD_DIRECTORY was built with --coverage, and programs of it have run. A process that ended by
SIGKILL or abort() wrote no counters, so what only such a one reached is shown as missing. Leaves
results/coverage.xml there, in JUnit's form, for tests/count.py. Exit status 0: enough is covered.
"""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

#: (name, where its files begin, the least percentage).
RULES = [("core", ("src/core/", "include/core/"), 90), ("all", ("src/", "include/"), 80)]


def measure(build):
    """Prints the table; returns [(file, lines covered, lines)]."""
    summary = os.path.join(build, "coverage.json")
    # Only what the program is made of: test programs have copies of some files, otherwise built.
    subprocess.run(["gcovr", "--root", ".", "--filter", "src/", "--filter", "include/",
                    "--txt", "-", "--json-summary", summary, os.path.join(build, "src")],
                   stdin=subprocess.DEVNULL, check=True)
    with open(summary, encoding="utf-8") as file:
        return [(found["filename"], found["line_covered"], found["line_total"])
                for found in json.load(file)["files"]]


def judge(files):
    """(name, what is wrong, or "") of each rule, which it also prints."""
    for name, beginnings, least in RULES:
        counts = [(covered, total) for file, covered, total in files if file.startswith(beginnings)]
        covered, total = (sum(column) for column in zip(*counts)) if counts else (0, 0)
        # Rounded down: 89.99 % are not 90.
        percent = covered * 1000 // total / 10 if total else 0.0
        told = f"{percent:.1f} % of {total} lines covered, at least {least} % wanted"
        print(f"{name}: {told}")
        yield name, "" if percent >= least else told


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
