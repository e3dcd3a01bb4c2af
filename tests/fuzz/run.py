"""Runs the fuzzer of the decoders: past crashes and the corpus first, then new inputs.

usage: run.py [--seconds N] [--cpu-seconds N] [--runs N] [--jobs N] [--work DIRECTORY] BUILD

N runs or seconds (60 if neither is given) for each of the jobs (one a core), or seconds of CPU time
for all of them together. What is found is kept in BUILD/fuzz, or where --work says: inputs that
reach new code in corpus/, those that fail in crashes/, and in totals what was run since that
directory was made: inputs executed and seconds of CPU time. SIGINT or SIGTERM ends the jobs early;
what they did is told and added up all the same. Every ten minutes it tells how far they are. Leaves
results/fuzz.xml, in JUnit's form, for tests/count.py. Exit status 0: nothing failed.
"""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "corpus")
CRASHES = os.path.join(HERE, "crashes")
INPUT_BYTES_MAX = 1024
INPUT_BYTES_USUAL = 256  # of all jobs but the first: as many more inputs in the same time
INPUT_SECONDS_MAX = 10
TELL_SECONDS = 600
# Less to remember of freed memory and of where it came from.
ASAN_OPTIONS = "quarantine_size_mb=16:malloc_context_size=4"


class Fuzzer:
    """The program, and the directories that it works with."""

    def __init__(self, build, work):
        self.binary = os.path.join(os.path.abspath(build), "tests", "fuzz", "fuzz_login")
        self.work = os.path.abspath(work or os.path.join(build, "fuzz"))
        self.is_stopped = False
        self._runs = []
        self.new_corpus = os.path.join(self.work, "corpus")
        self.new_crashes = os.path.join(self.work, "crashes")
        for path in (self.new_corpus, self.new_crashes):
            os.makedirs(path, exist_ok=True)

    def start(self, name, arguments, directories, bytes_max=INPUT_BYTES_MAX):
        """Starts a run whose log is work/NAME.log; the caller waits for it."""
        command = [self.binary, f"-timeout={INPUT_SECONDS_MAX}", "-print_final_stats=1",
                   f"-max_len={bytes_max}", f"-artifact_prefix={self.new_crashes}/",
                   *arguments, *directories]
        with open(self.log(name), "wb") as log:
            run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   cwd=self.work, env=os.environ | {"ASAN_OPTIONS": ASAN_OPTIONS},
                                   start_new_session=True)  # Ctrl-C is for run.py alone
        self._runs.append(run)
        return run

    def stop(self, *_):
        """Ends all runs early, in order: they say what they did."""
        self.is_stopped = True
        for run in self._runs:
            if run.poll() is None:
                run.send_signal(signal.SIGUSR1)

    def has_failed(self, run):
        """Waits for the end of a run. One that is stopped as it starts knows no signals yet."""
        return run.wait() not in ((0, -signal.SIGUSR1) if self.is_stopped else (0,))

    def log(self, name):
        return os.path.join(self.work, name + ".log")

    def figures(self, name):
        """What the run has said so far: executions; records, and those that scan decoded."""
        with open(self.log(name), encoding="utf-8", errors="replace") as lines:
            text = lines.read()
        executions = re.findall(r"(?m)^(?:#|stat::number_of_executed_units:\s+)(\d+)", text)
        shares = re.findall(r"records: (\d+), decoded by scan: (\d+)", text)
        return (int(executions[-1]) if executions else 0,
                *(map(int, shares[-1]) if shares else (0, 0)))

    def end_of_log(self, name):
        with open(self.log(name), encoding="utf-8", errors="replace") as lines:
            return "".join(lines.readlines()[-40:])


def replay(fuzzer, _):
    """Every input in the tree, once."""
    run = fuzzer.start("replay", ["-runs=0"], [CORPUS, CRASHES])
    return ["replay"] if fuzzer.has_failed(run) else []


def explore(fuzzer, options):
    """New inputs, in several processes that share what they find."""
    if fuzzer.is_stopped:
        return []
    limits = []
    if options.runs:
        limits.append(f"-runs={options.runs}")
    if options.seconds or not (options.runs or options.cpu_seconds):
        limits.append(f"-max_total_time={options.seconds or 60}")
    limits += [f"-dict={os.path.join(HERE, 'login.dict')}", "-reload=10", "-mutate_depth=2"]
    cpu_before = cpu_seconds()
    names = [f"job-{job}" for job in range(options.jobs)]
    runs = [fuzzer.start(name, limits, [fuzzer.new_corpus, CORPUS, CRASHES],
                         INPUT_BYTES_USUAL if job else INPUT_BYTES_MAX)
            for job, name in enumerate(names)]
    watch(fuzzer, names, runs, options.cpu_seconds)
    failed = [name for name, run in zip(names, runs) if fuzzer.has_failed(run)]
    executions, records, scanned = (sum(column) for column in zip(*map(fuzzer.figures, names)))
    totals = add_to_totals(fuzzer, executions, cpu_seconds() - cpu_before)
    print(f"{executions} inputs executed; of {records} records {scanned} were decoded by scan; "
          f"since {fuzzer.work} was made: {totals[0]} inputs, {totals[1] / 3600:.2f} CPU-hours")
    if executions == 0 and not failed:
        failed = names[:1]
    return failed


def watch(fuzzer, names, runs, cpu_seconds_max):
    """Until all have ended; ends them when they have had their share."""
    told, ended_before = time.monotonic(), cpu_seconds()
    while any(run.poll() is None for run in runs):
        time.sleep(1)
        used = cpu_seconds() - ended_before + sum(cpu_seconds_of(run) for run in runs)
        if cpu_seconds_max and used >= cpu_seconds_max and not fuzzer.is_stopped:
            fuzzer.stop()
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            executions = sum(fuzzer.figures(name)[0] for name in names)
            print(f"so far: {executions} inputs, {used / 3600:.2f} CPU-hours", flush=True)


def cpu_seconds_of(run):
    """Of one that runs; 0 once it has ended."""
    try:
        with open(f"/proc/{run.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    parser.add_argument("--cpu-seconds", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--work")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.build, options.work)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, fuzzer.stop)
    suite = ElementTree.Element("testsuite", name="fuzz")
    is_good = True
    for name, run in (("corpus_and_past_crashes", replay), ("new_inputs", explore)):
        case = ElementTree.SubElement(suite, "testcase", classname="fuzz_login", name=name)
        for failed in run(fuzzer, options):
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
