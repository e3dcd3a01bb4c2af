"""A copy of the tree in which mutants are built and tried, and what its tests reach.

Each workshop has three builds of its copy: `unit`, with ASan and UBSan, so that a leak or a read
out of bounds is noticed; `reach`, with coverage, used once to learn which functions each test runs; and
`plain`, the program for the system tests.
"""

import concurrent.futures
import glob
import hashlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import time

ENVIRONMENT = {
    "SIM_ONLY": "1", "SIM_JOBS": "1", "SIM_SEED": "1",
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:hard_rss_limit_mb=1500",
    "UBSAN_OPTIONS": "halt_on_error=1", "CMOCKA_MESSAGE_OUTPUT": "STDOUT",
}
#: Tests of the tree, not of what is built from it.
NOT_OURS = ("structure", "mutants", "links/")
OUTPUT_BYTES_MAX = 64 << 20

#: The C functions that run each script.
SCRIPT_CALLERS = {"src/edge/checkpoint.lua": ("src/edge/redis_store.c", "redis_store_apply"),
                  "src/edge/days.lua": ("src/edge/redis_store.c", "redis_store_apply"),
                  "src/edge/declared.lua": ("src/edge/redis_store.c", "redis_store_apply"),
                  "src/edge/distinct.lua": ("src/edge/redis_store.c", "redis_store_apply"),
                  "src/edge/rights.lua": ("src/edge/redis_store.c", "redis_store_apply"),
                  "src/edge/snapshot.lua": ("src/edge/redis_snapshot.c", "redis_snapshot_read"),
                  "src/edge/image.lua": ("src/edge/redis_image.c", "redis_image_read"),
                  "src/edge/claim.lua": ("src/edge/redis_swap.c", "redis_swap_claim"),
                  "src/edge/swap.lua": ("src/edge/redis_swap.c", "redis_swap_run")}


class BuildFailure(Exception):
    """A mutant that does not compile."""


def run(words, folder, seconds=900, **environment):
    """Runs a command in its own process group; returns its status, or None after a timeout."""
    with open(os.path.join(folder, "output.txt"), "wb") as output:
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, **ENVIRONMENT, **environment},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                  (OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX)))
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and what the test has left behind
            except ProcessLookupError:
                pass
            process.wait()


class Workshop:
    """A copy of the tree at source, in folder."""

    def __init__(self, source, folder, schedules):
        self.source = source
        self.tree = os.path.join(folder, "tree")
        self.folder = folder
        ENVIRONMENT["SIM_SCHEDULES"] = str(schedules)
        self.copy()
        self.tests = {}

    def copy(self):
        """Makes the copy equal to the tree as it is now, and touches only what differs."""
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], check=True,
                                cwd=self.source, capture_output=True, text=True).stdout
        wanted = {path for path in listed.split("\0")
                  if path and os.path.isfile(os.path.join(self.source, path))}
        for old in glob.glob(os.path.join(self.tree, "**"), recursive=True):
            if os.path.isfile(old) and os.path.relpath(old, self.tree) not in wanted:
                os.unlink(old)
        for path in wanted:
            ours, theirs = os.path.join(self.tree, path), os.path.join(self.source, path)
            with open(theirs, "rb") as new:
                data = new.read()
            if os.path.exists(ours):
                with open(ours, "rb") as old:
                    if old.read() == data:
                        continue
            os.makedirs(os.path.dirname(ours), exist_ok=True)
            shutil.copy(theirs, ours)

    def build(self, name, targets, options=()):
        """Builds targets; configures first what is not configured."""
        folder = os.path.join(self.folder, name)
        if not os.path.exists(os.path.join(folder, "build.ninja")):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            status = run(["meson", "setup", folder, self.tree, *options], self.tree,
                         CC=os.environ.get("CC", "ccache gcc" if shutil.which("ccache") else "gcc"))
            if status != 0:
                raise SystemExit(f"configuring {folder} failed: see {self.tree}/output.txt")
        if run(["ninja", "-j2", *targets], folder) != 0:
            raise BuildFailure(os.path.join(folder, "output.txt"))
        return folder

    def build_unit(self, targets=("all", "meson-test-prereq")):
        """Builds with the sanitizers."""
        return self.build("unit", targets, [
            "-Dtests=true", "--buildtype=debug", "-Doptimization=1",
            "-Db_sanitize=address,undefined"])

    def build_plain(self):
        """Builds the program as it is tested by the system tests."""
        return self.build("plain", ["rollcall"],
                          ["-Dtests=false", "--buildtype=debug", "-Doptimization=1"])

    def find_tests(self, build):
        """The tests by name: command, working directory, what to build."""
        listed = subprocess.run(["meson", "introspect", "--tests", build], check=True,
                                capture_output=True, text=True).stdout
        self.tests = {test["name"]: test for test in json.loads(listed)
                      if not test["name"].startswith(NOT_OURS)}

    def run_test(self, name, build, seconds):
        """The status of one test, or None if it took too long."""
        test = self.tests[name]
        here = self.tests[name]["cmd"][0].replace(os.path.join(self.folder, "unit"), build)
        environment = dict(test["env"])
        folder = test["workdir"] or build
        less = ""
        if name.startswith("edge/redis_script"):  # megabytes of text, number by number
            less = ":strict_string_checks=0"
        return run([here, *test["cmd"][1:]], folder, seconds, **environment,
                   ASAN_OPTIONS=ENVIRONMENT["ASAN_OPTIONS"] + less)

    def target(self, name):
        """The path of a test's program, as ninja knows it."""
        return os.path.relpath(self.tests[name]["cmd"][0], os.path.join(self.folder, "unit"))

    def write(self, file, text):
        """Replaces a file of the copy."""
        with open(os.path.join(self.tree, file), "w", encoding="utf-8") as out:
            out.write(text)

    # --- equal object code ------------------------------------------------------------------------

    def object_hash(self, file, text):
        """A hash of the object code that the compiler makes of a file with this text, in each of its
        variants. Raises CalledProcessError if it does not compile."""
        commands = os.path.join(self.folder, "unit", "compile_commands.json")
        with open(commands, encoding="utf-8") as built:
            command = next(c for c in json.load(built)
                           if os.path.samefile(os.path.join(c["directory"], c["file"]),
                                               os.path.join(self.tree, file)))
        words = [w for w in shlex.split(command["command"])
                 if not w.startswith(("-fsanitize", "-g", "-O", "-M")) and not w.endswith(".d")]
        source, out = os.path.join(self.folder, "object.c"), os.path.join(self.folder, "object.o")
        with open(source, "w", encoding="utf-8") as copy:
            copy.write(text)
        beside = "-I" + os.path.dirname(os.path.join(self.tree, file))
        words = words[:words.index("-o")] + [beside, "-c", source, "-o", out]
        digest = hashlib.sha256()
        for variant in ((), ("-DSCAN_PORTABLE",)) if "SCAN_PORTABLE" in text else ((),):
            subprocess.run([w for w in words if w not in ("ccache",) and w[:2] != "-M"] +
                           ["-O2", "-g0", "-w", *variant], cwd=command["directory"], check=True,
                           stderr=subprocess.DEVNULL)
            with open(out, "rb") as made:
                digest.update(made.read())
        return digest.hexdigest()

    # --- which tests run which functions ----------------------------------------------------------

    def learn_reach(self):
        """What is known of each test, kept until its program changes: "seconds", the files that it
        "links", the functions that it "reaches" by file."""
        build = self.build_unit()
        self.find_tests(build)
        stamps = {name: self.stamp(name) for name in self.tests}
        kept = os.path.join(self.folder, "reach.json")
        known = {}
        if os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                known = json.load(file)
        tests = {name: known[name] for name in stamps
                 if name in known and known[name]["stamp"] == stamps[name]}
        changed = [name for name in stamps if name not in tests]
        if not changed:
            return tests
        print(f"mutate: learning what {len(changed)} tests run", flush=True)
        coverage = self.build("reach", ["all", "meson-test-prereq"], [
            "-Dtests=true", "--buildtype=debug", "-Doptimization=0", "-Db_coverage=true",
            "-Dc_args=-fprofile-update=atomic"])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            times = pool.submit(self.time_tests, changed, build)
            reaches = pool.submit(self.cover_tests, changed, coverage)
            tests |= {name: {"stamp": stamps[name], "seconds": seconds,
                             "reaches": reaches.result()[name],
                             "links": read_links(self.tests[name]["cmd"][0])}
                      for name, seconds in times.result().items()}
        with open(kept, "w", encoding="utf-8") as file:
            json.dump(tests, file)
        return tests

    def time_tests(self, names, build):
        """How long each test takes; without those that fail though there is no mutant."""
        times = {}
        for name in names:
            begun = time.monotonic()
            if self.run_test(name, build, 600) == 0:
                times[name] = time.monotonic() - begun
            else:
                print(f"mutate: {name} fails without a mutant: left out", flush=True)
        return times

    def cover_tests(self, names, coverage):
        """What each test runs."""
        reaches = {}
        for name in names:
            for old in glob.glob(coverage + "/**/*.gcda", recursive=True):
                os.unlink(old)
            self.run_test(name, coverage, 600)
            reaches[name] = read_coverage(coverage, self.tree)
        return reaches

    def stamp(self, name):
        """A hash of a test's program, which is the same as long as its sources are."""
        with open(self.tests[name]["cmd"][0], "rb") as program:
            digest = hashlib.sha256(program.read())
        if name == "simulation":
            digest.update(ENVIRONMENT["SIM_SCHEDULES"].encode())
        return digest.hexdigest()


def read_links(program):
    """The names of the sources in a program: what has tables has no function to run."""
    symbols = subprocess.run(["nm", "--debug-syms", program], capture_output=True, text=True,
                             check=True).stdout
    return sorted({line.split()[-1] for line in symbols.splitlines()
                   if " a " in line and line.endswith(".c")})


def read_coverage(build, tree):
    """{file: [function ...]} of what has been run, from the counters in a build."""
    counters = glob.glob(build + "/**/*.gcda", recursive=True)
    if not counters:
        return {}
    found = subprocess.run(["gcov", "--json-format", "--stdout", *counters], cwd=build,
                           capture_output=True, text=True, check=False).stdout
    reaches = {}
    for line in found.splitlines():
        if not line.startswith("{"):
            continue
        report = json.loads(line)
        for file in report["files"]:
            path = os.path.relpath(os.path.join(build, file["file"]), tree)
            run_here = [f["name"] for f in file["functions"] if f["execution_count"] > 0]
            if path.startswith("src/") and run_here:
                reaches.setdefault(path, [])
                reaches[path] = sorted(set(reaches[path]) | set(run_here))
    return reaches


def choose(reach, mutant, budget_s):
    """The tests that run the mutant, those first that are most likely to notice; no more than take
    so many seconds, but for the first one, the module's own and the simulation."""
    module = os.path.splitext(os.path.basename(mutant.file))[0]
    layer = mutant.file.split("/")[1]
    file, function = SCRIPT_CALLERS.get(mutant.file, (mutant.file, mutant.function))

    def sees(name):
        if name == f"{layer}/{module}":
            return True
        if function == "":
            return os.path.basename(file) in reach[name]["links"]
        return function in reach[name]["reaches"].get(file, [])

    def likely(name):
        return (not name.startswith(f"{layer}/{module}"),
                not name.startswith((layer + "/", "simulation")), reach[name]["seconds"])

    chosen, seconds = [], 0
    for name in sorted(filter(sees, reach), key=likely):
        seconds += reach[name]["seconds"]
        if not chosen or seconds <= budget_s or name.startswith(f"{layer}/{module}") or \
                name == "simulation":
            chosen.append(name)
    return chosen
