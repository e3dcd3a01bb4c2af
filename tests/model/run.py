"""Runs SPIN on the protocol model: searches the faithful model completely and catches each mutant.

usage: run.py DIRECTORY

Works in DIRECTORY/model and writes DIRECTORY/results/model.xml, as JUnit XML. The exit status is 0
if every state of the faithful model was searched without an error, every event in tally.pml
occurred, and every mutant was caught.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

SOURCES = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 3600  # for one search, which should need 1-2 minutes
MEMORY_MB_MAX = 4000  # for one search
DEPTH_MAX = 4000000

#: The name and options of each search of the faithful model.
FAITHFUL = {
    "3 records, 2 faults": ["N=3", "FAULTS=2"],
    "2 records, 3 faults": ["N=2", "FAULTS=3"],
    "1 record, any number of faults": ["N=1", "FAULTS=0"],
    "start=latest, 2 records, 2 faults": ["N=2", "FAULTS=2", "LATEST"],
    "log cut off, 2 records, 2 faults": ["N=2", "FAULTS=2", "CUT=1"],
    "log cut off, 3 records": ["N=3", "FAULTS=1", "CUT=1"],
}

#: Each leaves out one rule. Tests on real systems would hardly ever notice any but the last.
MUTANTS = {
    "no compare": ["NO_COMPARE"],
    "compare without rewind": ["NO_REWIND"],
    "commit without fence": ["NO_FENCE"],
    "judge by clock": ["CLOCK_VERDICT"],
    "fence before metadata": ["FENCE_FIRST"],
    "commit under another member id": ["NO_MEMBER"],
    "count before the first commit": ["NO_I4"],
    "no origin": ["NO_ORIGIN", "LATEST"],
    "a lost end is seen by offset only": ["NO_EPOCH", "CUT=1"],
    "compare by offset only": ["NO_TIP", "CUT=1"],
}


@dataclass
class Search:
    """One run of the checker and its results."""

    name: str
    options: list
    is_mutant: bool
    states: int = 0
    depth: int = 0
    seconds: float = 0.0
    memory_mb: int = 0
    events: dict = field(default_factory=dict)
    problem: str = ""
    trail: str = ""

    def line(self):
        """Returns the line of the report for this search."""
        verdict = self.problem or ("caught" if self.is_mutant else "holds in every state")
        kind = "mutant" if self.is_mutant else "faithful"
        return (f"{kind:8}  {self.name:34} {self.states:10,} states, depth {self.depth:9,}, "
                f"{self.seconds:6.1f} s, {self.memory_mb:5,} MB: {verdict}")


def run_logged(command, directory, log):
    """Runs a command with its output in the file `log`; returns (exit status, CPU seconds, MB)."""
    with open(os.path.join(directory, log), "wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT)
        timer = threading.Timer(SECONDS_MAX, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def build(search, directory):
    """Builds the checker; returns whether that succeeded."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    for name in os.listdir(SOURCES):
        if name.endswith(".pml"):
            shutil.copy(os.path.join(SOURCES, name), directory)
    generate = ["spin", "-a"] + ["-D" + option for option in search.options] + ["rollcall.pml"]
    # All state is global, so partial order reduction would not help.
    compile_it = ["cc", "-O2", "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB_MAX}",
                  "-o", "pan", "pan.c"]
    return all(run_logged(command, directory, "build.log")[0] == 0
               for command in (generate, compile_it))


def read_output(search, output):
    """Reads the numbers and the verdict from the checker's output."""
    def number(pattern):
        match = re.search(pattern, output)
        return int(float(match.group(1))) if match else 0

    search.states = number(r"([\d.e+]+) states, stored")
    search.depth = number(r"depth reached (\d+)")
    search.events = {name: int(count)
                     for name, count in re.findall(r"^occurred: (\w+) (\d+)$", output, re.M)}
    errors = number(r"errors: (\d+)")
    violated = re.search(r"assertion violated .*?(?= \(at depth)", output)
    is_whole = ("errors: 0" in output and "Search not completed" not in output and
                "max search depth too small" not in output)
    if search.is_mutant:
        search.problem = "" if errors and violated else "NOT CAUGHT"
    elif errors:
        search.problem = "BROKEN: " + (violated.group(0) if violated else "an error")
    elif not is_whole:
        search.problem = "NOT SEARCHED COMPLETELY"


def read_trail(directory):
    """Returns the steps to the error, one per line."""
    replay = subprocess.run(["./pan", "-r"], cwd=directory, capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=600, check=False)
    steps = re.findall(r"^(?! *\d+:|\s|pan:|spin:|#|occurred:).+$", replay.stdout, re.M)
    return "\n".join(steps)


def run(search, directory):
    """Builds and runs a search, and reads its results."""
    if not build(search, directory):
        search.problem = "NOT BUILT: see " + os.path.join(directory, "build.log")
        return search
    status, search.seconds, search.memory_mb = run_logged(
        ["./pan", "-w24", f"-m{DEPTH_MAX}"], directory, "pan.log")
    with open(os.path.join(directory, "pan.log"), encoding="utf-8", errors="replace") as log:
        read_output(search, log.read())
    if status < 0:
        search.problem = f"KILLED by signal {-status}"
    if search.problem.startswith("BROKEN"):
        search.trail = read_trail(directory)
    return search


def write_results(path, outcomes):
    """Writes JUnit XML; outcomes are (name, seconds, problem)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    suite = ElementTree.Element("testsuite", name="model", tests=str(len(outcomes)))
    for name, seconds, problem in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="model", name=name,
                                      time=f"{seconds:.1f}")
        if problem:
            ElementTree.SubElement(case, "failure", message=problem)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def main():
    directory = os.path.abspath(sys.argv[1])
    results = os.path.join(directory, "results", "model.xml")
    if os.path.exists(results):
        os.remove(results)
    searches = [Search(name, options, False) for name, options in FAITHFUL.items()]
    searches += [Search(name, ["N=2", "FAULTS=2" if "CUT=1" in options else "FAULTS=3", *options],
                        True)
                 for name, options in MUTANTS.items()]
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(run, search, os.path.join(directory, "model", str(index)))
                for index, search in enumerate(searches)]
        for finished in runs:
            search = finished.result()
            print(search.line(), flush=True)
            if search.trail:
                print(search.trail, flush=True)
    events = {}
    for search in searches:
        for name, count in search.events.items():
            if not search.is_mutant:
                events[name] = events.get(name, 0) + count
    never = [name for name, count in events.items() if count == 0]
    print("events in the faithful searches: " +
          ", ".join(f"{name} {count:,}" for name, count in events.items()))
    outcomes = [(search.name, search.seconds, search.problem) for search in searches]
    outcomes.append(("every event occurred", 0, "NEVER: " + ", ".join(never) if never else
                     "" if events else "no event was reported"))
    write_results(results, outcomes)
    problems = [problem for _, _, problem in outcomes if problem]
    print(f"{len(FAITHFUL)} searches, {len(MUTANTS)} mutants, {time.monotonic() - begin:.0f} s; " +
          (f"{len(problems)} failed: {'; '.join(problems)}" if problems else "all as expected"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
