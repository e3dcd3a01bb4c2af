"""Changes the program in one point and looks whether the tests notice: `./dev mutate`.

A seeded sample of all mutants of base, core, edge, flow and app (C, and the Lua scripts) is built
and tried in copies of the tree. Each mutant meets the unit tests that run the function it is in:
the module's own, then those of its layer and the simulation with few schedules, the quick ones
first; with --system, the system tests meet what survives. Tests run with ASan and UBSan: what these
find kills a mutant too, and so does a test that takes ten times as long as it did. A mutant whose
object code is the same at -O2 is equivalent; otherwise verdicts.txt says what a reviewer made of it.

The exit status is 0 if every survivor has a verdict, and none of them is `closed`.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time

import mutants
import verdicts
import workshop

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = ("base", "core", "edge", "lua", "flow", "app")
SECONDS_MIN = 20
SLOWER = 10

#: The system tests, in two parts: the few short ones that see most, and the rest.
SYSTEM = {"first": ["-m", "sanitizer"], "rest": ["-m", "not sanitizer"]}


def all_mutants(root):
    """Every mutant of the layers, in the order of files."""
    files = [path for layer in LAYERS
             for path in sorted(glob.glob(os.path.join(root, "src", layer, "*.c")))]
    files += sorted(glob.glob(os.path.join(root, "src", "edge", "*.lua")))
    found = []
    for path in files:
        with open(path, encoding="utf-8") as source:
            found += mutants.find(os.path.relpath(path, root), source.read())
    return found


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60, metavar="N",
                        help="how many mutants that compile (default: %(default)s; 0: all)")
    parser.add_argument("--seed", type=int, default=1, metavar="S",
                        help="of the sample (default: %(default)s)")
    parser.add_argument("--layer", action="append", choices=LAYERS, help="only of this layer")
    parser.add_argument("--only", metavar="FILE[:LINE]", help="only, and all, of this file or line")
    parser.add_argument("--system", choices=("first", "all"), nargs="?", const="all",
                        help="let the system tests meet what survives: the short ones, or all, "
                        "which takes many minutes each (default: all)")
    parser.add_argument("--schedules", type=int, default=3000, metavar="N",
                        help="of the simulation (default: %(default)s)")
    parser.add_argument("--budget", type=int, default=60, metavar="S",
                        help="seconds that the unit tests of a mutant may take, the first one, the "
                        "module's own and the simulation apart (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="mutants at a time (default: %(default)s)")
    parser.add_argument("--resume", action="store_true",
                        help="do not try again what was killed in earlier runs")
    parser.add_argument("--list", action="store_true", help="list the sample and try nothing")
    return parser.parse_args(arguments)


def draw(found, options):
    """The mutants to try, in order; more than --sample asks for, as some do not compile. Each has a
    place of its own in the order, so that an edit does not make another sample."""
    if options.layer:
        found = [m for m in found if m.layer in options.layer]
    if options.only:
        file, _, line = options.only.partition(":")
        found = [m for m in found if m.file.endswith(file) and line in ("", str(m.line))]
        options.sample = 0
        if not found:
            raise SystemExit(f"no mutants at {options.only}")
    else:
        found.sort(key=lambda m: hashlib.sha256(f"{options.seed} {m.key}".encode()).digest())
    options.sample = min(options.sample or len(found), len(found))
    return found


class Trial:
    """Tries mutants in one workshop."""

    def __init__(self, bench, reach, budget_s):
        self.bench = bench
        self.reach = reach
        self.budget_s = budget_s
        self.objects = {}

    def is_equivalent(self, mutant, text):
        """Whether a mutant of a C source with this text makes the same object code."""
        if not mutant.file.endswith(".c"):
            return False
        if mutant.file not in self.objects:
            self.objects[mutant.file] = self.bench.object_hash(mutant.file, text)
        try:
            return self.bench.object_hash(mutant.file, mutant.apply(text)) == \
                self.objects[mutant.file]
        except subprocess.CalledProcessError as failure:
            raise workshop.BuildFailure from failure

    def meet(self, mutant, prepared):
        """(outcome, by): killed, timeout, survived, equivalent or broken."""
        with open(os.path.join(self.bench.tree, mutant.file), encoding="utf-8") as source:
            text = source.read()
        try:
            self.bench.write(mutant.file, mutant.apply(text))
            return prepared(mutant, text)
        except workshop.BuildFailure:
            return "broken", "does not compile"
        finally:
            self.bench.write(mutant.file, text)

    def unit(self, mutant, text):
        """The unit tests and the simulation. The object code is looked at when the first test, which
        most often is the module's own, has not noticed."""
        names = workshop.choose(self.reach, mutant, self.budget_s)
        for number, name in enumerate([*names, None]):
            if number == min(1, len(names)) and self.is_equivalent(mutant, text):
                return "equivalent", "the same object code"
            if name is None:
                break
            build = self.bench.build_unit([self.bench.target(name)])
            limit = max(SECONDS_MIN, SLOWER * self.reach[name]["seconds"])
            status = self.bench.run_test(name, build, limit)
            if status != 0:
                return ("timeout" if status is None else "killed"), name
        return "survived", f"{len(names)} tests" if names else "reached by no test"

    def system(self, which):
        """The system tests: the first alone, or all."""
        build = self.bench.build_plain()
        environment = {"RC_BINARY": os.path.join(build, "rollcall")}
        pytest = [sys.executable if not os.environ.get("RC_PYTHON") else os.environ["RC_PYTHON"],
                  "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        for part in ("first", "rest") if which == "all" else ("first",):
            status = workshop.run([*pytest, "tests/system", *SYSTEM[part]], self.bench.tree, 3600,
                                  **environment)
            if status is None:
                return "timeout", "system"
            if status != 0:
                with open(os.path.join(self.bench.tree, "output.txt"), encoding="utf-8",
                          errors="replace") as file:
                    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", file.read(), re.MULTILINE)
                return "killed", failed[1] if failed else "system"
        return "survived", "system"


def in_parallel(trials, jobs, work):
    """Runs work(trial, job) for each job on a free trial; yields (job, result) as they end."""
    free = queue.Queue()
    for trial in trials:
        free.put(trial)

    def one(job):
        trial = free.get()
        try:
            return work(trial, job)
        finally:
            free.put(trial)

    with concurrent.futures.ThreadPoolExecutor(len(trials)) as pool:
        futures = {pool.submit(one, job): job for job in jobs}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()


class Results:
    """What became of each mutant, written down as soon as it is known."""

    def __init__(self, path):
        self.path = path
        self.known = {}
        self.lock = threading.Lock()

    def resume(self):
        """Takes over what earlier runs have killed."""
        if not os.path.exists(self.path):
            return
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                one = json.loads(line)
                key = tuple(one["key"])
                if one["outcome"] in ("killed", "timeout", "equivalent", "broken"):
                    self.known[key] = one["outcome"], one["by"], one["stage"]
                else:
                    self.known.pop(key, None)

    def add(self, mutant, outcome, by, stage):
        """Notes one outcome."""
        with self.lock, open(self.path, "a", encoding="utf-8") as file:
            self.known[mutant.key] = outcome, by, stage
            json.dump({"key": mutant.key, "line": mutant.line, "operator": mutant.operator,
                       "outcome": outcome, "by": by, "stage": stage}, file)
            file.write("\n")


def try_all(drawn, options, trials, results, reviewed):
    """Tries mutants until the sample is full; returns the sample."""
    sample = []
    waiting = list(drawn)
    while len(sample) < options.sample and waiting:
        lacking = options.sample - len(sample)
        batch, waiting = waiting[:lacking], waiting[lacking:]
        to_try = [m for m in batch if m.key not in results.known and
                  reviewed.get(m.key, ("",))[0] != "equivalent"]
        begun = time.monotonic()
        done = in_parallel(trials, to_try, lambda trial, m: trial.meet(m, trial.unit))
        for number, (mutant, (outcome, by)) in enumerate(done, 1):
            results.add(mutant, outcome, by, "unit")
            print(f"mutate: {number} of {len(to_try)}, {time.monotonic() - begun:.0f} s: "
                  f"{mutant.file}:{mutant.line}: {outcome} ({by})", flush=True)
        sample += [m for m in batch if results.known.get(m.key, ("",))[0] != "broken"]
    return sample


def report(sample, results, reviewed, has_system, folder):
    """Prints the survivors and the summary; returns the exit status."""
    table = {layer: dict.fromkeys(("drawn", "unit", "system", "survivors", "equivalent"), 0)
             for layer in LAYERS}
    is_good = True
    survivors = []
    for mutant in sample:
        row = table[mutant.layer]
        row["drawn"] += 1
        outcome, by, stage = results.known.get(mutant.key, ("survived", "", ""))
        verdict = reviewed.get(mutant.key)
        if outcome in ("killed", "timeout"):
            row[stage] += 1
        elif outcome == "equivalent" or verdict is not None and verdict[0] == "equivalent":
            row["equivalent"] += 1
        else:
            row["survivors"] += 1
            is_good &= verdict is not None and verdict[0] == "gap"
            text = "no verdict yet" if verdict is None else ": ".join(verdict)
            survivors.append(f"# {mutant.file}:{mutant.line} ({mutant.operator}): {by}\n" +
                             verdicts.entry(mutant, text))
    for text in survivors:
        print("\n" + text, end="")
    with open(os.path.join(folder, "survivors.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(survivors))
    timeouts = sum(results.known.get(m.key, ("",))[0] == "timeout" for m in sample)
    total = {name: sum(row[name] for row in table.values()) for name in table["base"]}
    print(f"\n{'layer':8}{'mutants':>9}{'equivalent':>12}{'unit+simulation':>22}"
          f"{'with system':>20}{'survivors':>11}")
    for layer, row in [*table.items(), ("all", total)]:
        real = row["drawn"] - row["equivalent"]
        if real <= 0:
            continue
        both = row["unit"] + row["system"]
        system = f"{both} ({100 * both / real:.1f} %)" if has_system else "not run"
        unit = f"{row['unit']} ({100 * row['unit'] / real:.1f} %)"
        print(f"{layer:8}{row['drawn']:9}{row['equivalent']:12}{unit:>22}{system:>20}"
              f"{row['survivors']:11}")
    print(f"\n{timeouts} of those killed took too long. Survivors: {folder}/survivors.txt")
    return 0 if is_good else 1


def main():
    options = parse(sys.argv[1:])
    drawn = draw(all_mutants(ROOT), options)
    if options.list:
        for mutant in drawn[:options.sample]:
            print(f"# {mutant.file}:{mutant.line} ({mutant.operator})\n" +
                  verdicts.entry(mutant, "?"))
        return 0
    if os.nice(0) == 0:
        os.nice(19)
    folder = os.path.join(ROOT, "build-mutate")
    reviewed = verdicts.read()
    os.makedirs(folder, exist_ok=True)
    results = Results(os.path.join(folder, "results.jsonl"))
    if options.resume:
        results.resume()
    print(f"mutate: {options.sample} of {len(drawn)} mutants, seed {options.seed}", flush=True)
    benches = [workshop.Workshop(ROOT, os.path.join(folder, str(job)), options.schedules)
               for job in range(max(1, options.jobs))]
    reach = benches[0].learn_reach()
    for bench in benches[1:]:
        bench.find_tests(bench.build_unit())
    trials = [Trial(bench, reach, options.budget) for bench in benches]
    sample = try_all(drawn, options, trials, results, reviewed)
    if options.system:
        left = [m for m in sample if results.known.get(m.key, ("",))[0] == "survived"]
        for mutant, (outcome, by) in in_parallel(trials[:1], left,
                                                 lambda trial, m: trial.meet(
                                                     m, lambda *_: trial.system(options.system))):
            results.add(mutant, outcome, by, "system")
            print(f"mutate: {mutant.file}:{mutant.line}: {outcome} ({by})", flush=True)
    return report(sample, results, reviewed, options.system, folder)


if __name__ == "__main__":
    sys.exit(main())
