"""Runs the fuzzer of the decoders: past crashes and the corpus first, then new inputs.

usage: run.py [--seconds N] [--runs N] [--jobs N] BUILD_DIRECTORY

N runs or seconds (60 if neither is given) for each of the jobs (one a core). What is found is kept
in BUILD_DIRECTORY/fuzz: inputs that reach new code in corpus/, those that fail in crashes/, and in
totals what was run since that directory was made: inputs executed and seconds of CPU time. Leaves
results/fuzz.xml, in JUnit's form, for tests/count.py. Exit status 0: nothing failed.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "corpus")
CRASHES = os.path.join(HERE, "crashes")
INPUT_BYTES_MAX = 1024
INPUT_SECONDS_MAX = 10
# Less to remember of freed memory and of where it came from: twice as fast.
ASAN_OPTIONS = "quarantine_size_mb=16:malloc_context_size=4"


class Fuzzer:
    """The program, and the directories that it works with."""

    def __init__(self, build):
        self.binary = os.path.join(os.path.abspath(build), "tests", "fuzz", "fuzz_login")
        self.work = os.path.join(os.path.abspath(build), "fuzz")
        self.new_corpus = os.path.join(self.work, "corpus")
        self.new_crashes = os.path.join(self.work, "crashes")
        for path in (self.new_corpus, self.new_crashes):
            os.makedirs(path, exist_ok=True)

    def start(self, name, arguments, directories):
        """Starts a run whose log is work/NAME.log; the caller waits for it."""
        command = [self.binary, f"-timeout={INPUT_SECONDS_MAX}", "-print_final_stats=1",
                   f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={self.new_crashes}/",
                   *arguments, *directories]
        with open(self.log(name), "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    cwd=self.work, env=os.environ | {"ASAN_OPTIONS": ASAN_OPTIONS})

    def log(self, name):
        return os.path.join(self.work, name + ".log")

    def figures(self, name):
        """What the run says at its end: executions; records, and those that scan decoded."""
        with open(self.log(name), encoding="utf-8", errors="replace") as lines:
            text = lines.read()
        executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", text)
        shares = re.search(r"records: (\d+), decoded by scan: (\d+)", text)
        return (int(executions.group(1)) if executions else 0,
                *(map(int, shares.groups()) if shares else (0, 0)))

    def end_of_log(self, name):
        with open(self.log(name), encoding="utf-8", errors="replace") as lines:
            return "".join(lines.readlines()[-40:])


def replay(fuzzer):
    """Every input in the tree, once."""
    run = fuzzer.start("replay", ["-runs=0"], [CORPUS, CRASHES])
    return [] if run.wait() == 0 else ["replay"]


def explore(fuzzer, options):
    """New inputs, in several processes that share what they find."""
    limits = []
    if options.runs:
        limits.append(f"-runs={options.runs}")
    if options.seconds or not options.runs:
        limits.append(f"-max_total_time={options.seconds or 60}")
    limits += [f"-dict={os.path.join(HERE, 'login.dict')}", "-reload=10", "-mutate_depth=2"]
    cpu_before = cpu_seconds()
    names = [f"job-{job}" for job in range(options.jobs)]
    runs = [fuzzer.start(name, limits, [fuzzer.new_corpus, CORPUS, CRASHES]) for name in names]
    failed = [name for name, run in zip(names, runs) if run.wait() != 0]
    executions, records, scanned = (sum(column) for column in zip(*map(fuzzer.figures, names)))
    totals = add_to_totals(fuzzer, executions, cpu_seconds() - cpu_before)
    print(f"{executions} inputs executed; of {records} records {scanned} were decoded by scan; "
          f"since {fuzzer.work} was made: {totals[0]} inputs, {totals[1] / 3600:.2f} CPU-hours")
    if executions == 0 and not failed:
        failed = names[:1]
    return failed


def cpu_seconds():
    """Of all runs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def add_to_totals(fuzzer, executions, seconds):
    path = os.path.join(fuzzer.work, "totals")
    totals = [0, 0]
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            totals = [int(word) for word in file.read().split()]
    totals = [totals[0] + executions, totals[1] + round(seconds)]
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{totals[0]} {totals[1]}\n")
    return totals


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    fuzzer = Fuzzer(options.build)
    suite = ElementTree.Element("testsuite", name="fuzz")
    is_good = True
    for name, run in (("corpus_and_past_crashes", lambda: replay(fuzzer)),
                      ("new_inputs", lambda: explore(fuzzer, options))):
        case = ElementTree.SubElement(suite, "testcase", classname="fuzz_login", name=name)
        for failed in run():
            is_good = False
            print(f"{name} failed; the end of {fuzzer.log(failed)}:\n{fuzzer.end_of_log(failed)}"
                  f"\na failing input is in {fuzzer.new_crashes}: keep it in {CRASHES}")
            ElementTree.SubElement(case, "failure", message=f"see {fuzzer.log(failed)}")
    results = os.path.join(options.build, "results")
    os.makedirs(results, exist_ok=True)
    ElementTree.ElementTree(suite).write(os.path.join(results, "fuzz.xml"))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
