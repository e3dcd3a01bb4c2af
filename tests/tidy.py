"""Formatting and static analysis: runs every tool on every file that it applies to.

usage: tidy.py BUILD_DIRECTORY

BUILD_DIRECTORY holds compile_commands.json. Writes results/tidy.xml there, as JUnit XML, for
tests/count.py, with one case per tool and file. The exit status is 0 if no tool found anything.
"""

import concurrent.futures
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter

_SECONDS = 300  # for one check

SHELL = ["dev", ".ci/run", "deploy/build-image.sh", "deploy/build-package.sh",
         "deploy/compose/certificates.sh", "deploy/debian/rollcall.postinst",
         "deploy/debian/rollcall.postrm"]

#: cppcheck does not know __VA_OPT__. The define hides log arguments from it, so variables that are
#: only logged look unread.
CPPCHECK = ["cppcheck", "--quiet", "--error-exitcode=1", "--inline-suppr", "--std=c11",
            "-Iinclude", "-D__VA_OPT__(...)=", "--enable=warning,style,performance,portability",
            "--suppress=missingIncludeSystem", "--suppress=unreadVariable"]

#: A suppression must name the finding and give a reason.
SILENCED = re.compile(r"NOLINT|cppcheck-suppress|GCC diagnostic ignored")
REASONED = re.compile(r"NOLINT(NEXTLINE|BEGIN)?\([\w.-]+\): \w|NOLINTEND\("
                      r"|cppcheck-suppress \w+ ; \w|GCC diagnostic ignored .* /\* \w")


def c_files():
    """All sources and headers."""
    return sorted(path for folder in ("bench", "include", "src", "tests")
                  for path in glob.glob(folder + "/**/*.[ch]", recursive=True))


def gcc_analyzer(build):
    """Yields (file, command, directory) for each source: its compile command plus the analyzer."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for unit in json.load(file):
            path = os.path.relpath(os.path.join(unit["directory"], unit["file"]))
            words = shlex.split(unit["command"])
            words[words.index("-o") + 1] = "/dev/null"
            if path.startswith("src/"):
                yield path, words + ["-fno-lto", "-fanalyzer", "-Werror"], unit["directory"]


def checks(build):
    """Yields (tool, file, command, directory), slow checks first."""
    files = c_files()
    sources = [path for path in files if path.startswith("src/") and path.endswith(".c")]
    for path in sources:
        yield "clang-tidy", path, ["clang-tidy", "-p", build, "--quiet",
                                   "--warnings-as-errors=*", path], "."
    for path, command, directory in gcc_analyzer(build):
        yield "gcc -fanalyzer", path, command, directory
    for path in sources:
        yield "cppcheck", path, [*CPPCHECK, path], "."
    for path in files:
        yield "clang-format", path, ["clang-format", "--dry-run", "-Werror", path], "."
    for path in SHELL:
        yield "shellcheck", path, ["shellcheck", path], "."


def run(check):
    """Returns (tool, file, findings or "")."""
    tool, path, command, directory = check
    try:
        done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return tool, path, f"timed out after {_SECONDS} s\n"
    return tool, path, "" if done.returncode == 0 else done.stdout + done.stderr


def unreasoned(path):
    """Returns the lines that suppress a finding without giving a reason."""
    with open(path, encoding="utf-8") as lines:
        return "".join(f"{path}:{number}: suppressed without a reason: {line}"
                       for number, line in enumerate(lines, 1)
                       if SILENCED.search(line) and not REASONED.search(line))


def write_results(path, outcomes):
    suite = ElementTree.Element("testsuite", name="tidy", tests=str(len(outcomes)))
    for tool, file, found in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname=tool, name=file)
        if found:
            ElementTree.SubElement(case, "failure", message=found.split("\n")[0])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    ElementTree.ElementTree(suite).write(path)


def main():
    build = os.path.abspath(sys.argv[1])
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(run, checks(build)))
    outcomes += [("reasons", path, unreasoned(path)) for path in c_files()]
    for tool, path, found in outcomes:
        if found:
            print(f"{tool}: {path}\n{found}")
    write_results(os.path.join(build, "results", "tidy.xml"), outcomes)
    counts = Counter(tool for tool, _, _ in outcomes)
    bad_count = sum(1 for _, _, found in outcomes if found)
    print(f"{bad_count} of {len(outcomes)} checks found something, "
          f"in {time.monotonic() - begin:.0f} s: "
          + ", ".join(f"{tool} {count} files" for tool, count in counts.items()))
    return 1 if bad_count else 0


if __name__ == "__main__":
    sys.exit(main())
