"""Fuzzes the decoders: runs past crashes and the corpus first, then new inputs.

usage: run.py [--seconds N] [--cpu-seconds N] [--runs N] [--jobs N] [--fast] [--work DIRECTORY] BUILD

--seconds (default 60) and --runs limit each job, of which there is one per core; --cpu-seconds
limits all jobs together. --fast: all inputs are short, and guided by which code they reach alone, not by
how often, so that they are several times as many. Results are kept in BUILD/fuzz, or in --work: inputs that reach new code
in corpus/, failing inputs in crashes/, and in totals the number of inputs executed and the seconds
of CPU time used since the directory was created. SIGINT or SIGTERM ends the jobs early; their results
are still reported and added up. Progress is printed every ten minutes. Writes results/fuzz.xml, as
JUnit XML, for tests/count.py. The exit status is 0 if nothing failed.
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
INPUT_BYTES_USUAL = 256  # in all jobs but the first, so that they run more inputs per second
FAST = ["-use_counters=0", "-entropic=0"]
INPUT_SECONDS_MAX = 10
REPORT_SECONDS = 600
# A smaller quarantine for freed memory and shorter allocation stacks, for speed.
ASAN_OPTIONS = "quarantine_size_mb=16:malloc_context_size=4"


class Fuzzer:
    """The fuzzing program and its directories."""

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
        """Starts a run that logs to work/NAME.log; the caller must wait for it."""
        command = [self.binary, f"-timeout={INPUT_SECONDS_MAX}", "-print_final_stats=1",
                   f"-max_len={bytes_max}", f"-artifact_prefix={self.new_crashes}/",
                   *arguments, *directories]
        with open(self.log(name), "wb") as log:
            run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   cwd=self.work, env=os.environ | {"ASAN_OPTIONS": ASAN_OPTIONS},
                                   start_new_session=True)  # Ctrl-C must only reach run.py
        self._runs.append(run)
        return run

    def stop(self, *_):
        """Ends all runs early but cleanly, so that they print their statistics."""
        self.is_stopped = True
        for run in self._runs:
            if run.poll() is None:
                run.send_signal(signal.SIGUSR1)

    def has_failed(self, run):
        """Waits for a run to exit; returns whether it failed.

        A run that is stopped while it starts may not handle SIGUSR1 yet, which is not a failure.
        """
        return run.wait() not in ((0, -signal.SIGUSR1) if self.is_stopped else (0,))

    def log(self, name):
        return os.path.join(self.work, name + ".log")

    def figures(self, name):
        """Reads from the log (inputs executed, records, records decoded by scan) so far."""
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
    """Runs every input in the repository once."""
    run = fuzzer.start("replay", ["-runs=0"], [CORPUS, CRASHES])
    return ["replay"] if fuzzer.has_failed(run) else []


def explore(fuzzer, options):
    """Runs new inputs, in several processes that share their corpus."""
    if fuzzer.is_stopped:
        return []
    limits = []
    if options.runs:
        limits.append(f"-runs={options.runs}")
    if options.seconds or not (options.runs or options.cpu_seconds):
        limits.append(f"-max_total_time={options.seconds or 60}")
    limits += [f"-dict={os.path.join(HERE, 'login.dict')}", "-reload=10", "-mutate_depth=2"]
    limits += FAST if options.fast else []
    cpu_before = cpu_seconds()
    names = [f"job-{job}" for job in range(options.jobs)]
    runs = [fuzzer.start(name, limits, [fuzzer.new_corpus, CORPUS, CRASHES],
                         INPUT_BYTES_USUAL if job or options.fast else INPUT_BYTES_MAX)
            for job, name in enumerate(names)]
    watch(fuzzer, names, runs, options.cpu_seconds)
    failed = [name for name, run in zip(names, runs) if fuzzer.has_failed(run)]
    executions, records, scanned = (sum(column) for column in zip(*map(fuzzer.figures, names)))
    totals = add_to_totals(fuzzer, executions, cpu_seconds() - cpu_before)
    print(f"{executions} inputs executed; {scanned} of {records} records decoded by scan; "
          f"total in {fuzzer.work}: {totals[0]} inputs, {totals[1] / 3600:.2f} CPU-hours")
    if executions == 0 and not failed:
        failed = names[:1]
    return failed


def watch(fuzzer, names, runs, cpu_seconds_max):
    """Waits until all runs have ended; stops them when they have used their CPU time."""
    reported, ended_before = time.monotonic(), cpu_seconds()
    while any(run.poll() is None for run in runs):
        time.sleep(1)
        used = cpu_seconds() - ended_before + sum(cpu_seconds_of(run) for run in runs)
        if cpu_seconds_max and used >= cpu_seconds_max and not fuzzer.is_stopped:
            fuzzer.stop()
        if time.monotonic() - reported >= REPORT_SECONDS:
            reported = time.monotonic()
            executions = sum(fuzzer.figures(name)[0] for name in names)
            print(f"so far: {executions} inputs, {used / 3600:.2f} CPU-hours", flush=True)


def cpu_seconds_of(run):
    """The CPU time of a running process; 0 once it has exited."""
    try:
        with open(f"/proc/{run.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds():
    """The CPU time of all runs that have ended."""
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
    parser.add_argument("--fast", action="store_true")
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
                  f"\nfailing inputs are in {fuzzer.new_crashes}: add them to {CRASHES}")
            ElementTree.SubElement(case, "failure", message=f"see {fuzzer.log(failed)}")
    results = os.path.join(options.build, "results")
    os.makedirs(results, exist_ok=True)
    ElementTree.ElementTree(suite).write(os.path.join(results, "fuzz.xml"))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
