"""Checks the structure of the source code: layers, what each layer may use, and sizes.

usage: structure.py ROOT

First shows that each rule fires on small trees that break it, then checks ROOT. Prints TAP, which
tests/count.py adds up. The exit status is 0 if every rule holds. (tests/unit/meson.build checks
that each header compiles alone.)
"""

import os
import re
import sys

LAYERS = ["base", "core", "edge", "flow", "app", "tools"]

COLUMNS_MAX = 100
LINES_MAX = 450

#: The files that may break a rule, with the reason. An unnecessary exception is an error too.
EXCEPTIONS = {
    ("randomness", "src/app/config.c"): "makes instance.id",
    ("randomness", "src/app/commands.c"): "makes the seed for everything else",
    ("core", "src/core/parse.c"): "sets jansson's allocator and hash seed once per process",
    ("state", "src/core/parse.c"): "the same",
}

#: Headers of other projects, and the files that may include them.
FOREIGN = {
    r"librdkafka/|hiredis/|openssl/": r"src/edge/",
    r"jansson\.h": r"src/core/(parse|tree)\.c",
}
FOREIGN_NAMES = r"\b(rd_kafka_\w+|redis(Reply|Context|SSL\w*|Reader)\b|SSL(_CTX)?\b)"

IMPURE_HEADERS = (r"stdatomic\.h|pthread\.h|threads\.h|time\.h|sys/\w+\.h|unistd\.h|urcu.*"
                  r"|base/(alarm|budget|clock|fence|inbox|log|metric|worker)\.h")
IMPURE_NAMES = r"\b(_Atomic|atomic_\w+|pthread_\w+|clock\w*\(|time\(|getrandom|s?rand(om)?\()"

TIME_NAMES = (r"\b(clock_gettime|clock_nanosleep|gettimeofday|timespec_get|nanosleep|usleep|sleep|time"
              r"|ftime)\s*\(")
RANDOM_NAMES = r"\b(getrandom|getentropy|s?rand(om)?(_r)?|[dejlmn]rand48|arc4random\w*)\s*\("


def strip(text):
    """Removes comments and the contents of strings, but keeps the line breaks."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] * 2
        return re.sub(r"[^\n]", "", found) or " "
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.DOTALL)


class Tree:
    """The files of src and include, and the documents: path -> text."""

    def __init__(self, files):
        self.files = files
        self.code = {path: strip(text) for path, text in files.items() if path[-2:] in (".c", ".h")}

    @staticmethod
    def read(root):
        files = {}
        for folder in ("include", "src"):
            for at, _, names in os.walk(os.path.join(root, folder)):
                for name in names:
                    path = os.path.join(at, name)
                    with open(path, encoding="utf-8") as file:
                        files[os.path.relpath(path, root)] = file.read()
        for folder in (".", "docs", "bench", "tests/chaos"):
            for name in os.listdir(os.path.join(root, folder)):
                if name.endswith(".md"):
                    path = os.path.normpath(os.path.join(folder, name))
                    with open(os.path.join(root, path), encoding="utf-8") as file:
                        files[path] = file.read()
        return Tree(files)

    def includes(self):
        """Yields (path, line number, included header)."""
        for path in self.code:
            for number, line in enumerate(self.files[path].split("\n"), 1):
                match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
                if match:
                    yield path, number, match.group(1)

    def grep(self, pattern, paths):
        """Yields (path, line number, match) in the code of all matching paths."""
        for path, code in self.code.items():
            if re.match(paths, path):
                for number, line in enumerate(code.split("\n"), 1):
                    match = re.search(pattern, line)
                    if match:
                        yield path, number, match.group(0)


def layer_of(path):
    """Returns the index of a file or header in LAYERS; src/main.c is above all layers."""
    words = path.split("/")
    name = words[1] if words[0] in ("include", "src") else words[0]
    return LAYERS.index(name) if name in LAYERS else len(LAYERS)


def layers(tree):
    """no file includes a header of a higher layer"""
    for path, number, included in tree.includes():
        is_ours = included.split("/")[0] in LAYERS
        if is_ours and layer_of(included) > layer_of(path):
            yield path, number, f"includes {included}"


def flow(tree):
    """no module of flow includes another one, except batch, judge, lag, tally and rejections"""
    for path, number, included in tree.includes():
        module = re.fullmatch(r"(?:include|src)/flow/(\w+)\.[ch]", path)
        other = re.fullmatch(r"flow/(\w+)\.h", included)
        if module and other and other.group(1) not in (
                module.group(1), module.group(1).removesuffix("_tables"), "batch", "judge", "lag",
                "tally", "rejections"):
            yield path, number, f"includes {included}"


def foreign(tree):
    """each foreign library is used only where it is wrapped"""
    for path, number, included in tree.includes():
        for headers, place in FOREIGN.items():
            if re.match(headers, included) and not re.match(place, path):
                yield path, number, f"includes {included}"
    for path, number, name in tree.grep(FOREIGN_NAMES, r"include/|src/(?!edge/)"):
        yield path, number, f"mentions {name}"


def core(tree):
    """core has no atomics, threads, clock, randomness, inbox, RCU or I/O"""
    for path, number, included in tree.includes():
        if layer_of(path) == LAYERS.index("core") and re.fullmatch(IMPURE_HEADERS, included):
            yield path, number, f"includes {included}"
    for path, number, name in tree.grep(IMPURE_NAMES, r"(include|src)/core/"):
        yield path, number, f"uses {name}"


def tools(tree):
    """only tools uses the embedded broker and the generator's producer"""
    for path, number, included in tree.includes():
        if re.fullmatch(r"edge/kafka_(mock|feed)\.h", included) and not re.match(
                r"(include|src)/tools/|src/edge/kafka_(mock|feed)\.c", path):
            yield path, number, f"includes {included}"


def state(tree):
    """flow, core, assignment and pipeline have no static state, so a process can have several"""
    places = r"(include|src)/((flow|core)/|app/(assignment|pipeline)\.)"
    for path, code in tree.code.items():
        if not re.match(places, path):
            continue
        for match in re.finditer(r"^[ \t]*(?:static|_Thread_local|__thread)\b([^;={(]*)([;={(]?)",
                                 code, re.MULTILINE):
            declared, end = match.groups()
            name = re.search(r"(\w+)\s*(\[[^\]]*\]\s*)*$", declared)
            is_constant = "const" in declared.rpartition("*")[2] or (
                "*" not in declared and "const" in declared)
            is_function = end == "(" or (
                end == ";" and name and re.search(rf"\b{name.group(1)}\(", code))
            if not is_constant and not is_function:
                number = code[:match.start()].count("\n") + 1
                yield path, number, f"has state: {' '.join(match.group(0).split())}"


def time(tree):
    """only base/clock reads the time and sleeps"""
    for path, number, name in tree.grep(TIME_NAMES, r"(?!src/base/clock\.c)"):
        yield path, number, f"calls {name}"


def randomness(tree):
    """all randomness comes from a seed that is passed in"""
    for path, number, name in tree.grep(RANDOM_NAMES, r""):
        yield path, number, f"calls {name}"


def columns(tree):
    """no line is longer than 100 columns"""
    for path, text in tree.files.items():
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > COLUMNS_MAX and path[-2:] in (".c", ".h"):
                yield path, number, f"has {len(line)} columns"


def documents(tree):
    """the documents name only modules that exist"""
    modules = {re.sub(r"^(include|src)/|\.\w+$", "", path) for path in tree.files}
    pattern = r"`(?:include/|src/)?((?:%s)/\w+)(?:\.[ch]|\.lua)?`" % "|".join(LAYERS)
    for path, text in tree.files.items():
        for number, line in enumerate(text.split("\n"), 1):
            for name in re.findall(pattern, line) if path.endswith(".md") else ():
                if name not in modules:
                    yield path, number, f"names {name}"


def lines(tree):
    """no file is longer than 450 lines"""
    for path, text in tree.files.items():
        if path.endswith(".md"):
            continue
        count = text.count("\n")
        if count > LINES_MAX:
            yield path, count, f"has {count} lines"


RULES = [layers, flow, foreign, core, tools, state, time, randomness, columns, lines, documents]

#: A tree that keeps every rule, but only just.
CLEAN = {
    "include/base/clock.h": "int64_t clock_ms(void);\n",
    "src/base/clock.c": "int64_t clock_ms(void) { return clock_gettime(1); }\n",
    "src/base/log.c": "static int level;\n",
    "include/core/cursor.h": '#include "base/slice.h"\n/* no atomic_int, time() or rand() here */\n',
    "src/core/cursor.c": '#include "core/cursor.h"\nstatic const int a[] = {1};\n'
                         'static const char *const names[] = {"time(", "atomic_int x;"};\n'
                         "static int first(void) {\n    return 1;\n}\n"
                         "static void second(int a,\n                   int b);\nint timeout(int);\n",
    "src/core/parse.c": "#include <jansson.h>\n#include <pthread.h>\nstatic pthread_once_t once;\n",
    "include/edge/kafka_mock.h": "/* rd_kafka_new makes it */\nstruct kafka_mock;\n",
    "src/edge/kafka_mock.c": '#include "edge/kafka_mock.h"\n#include <librdkafka/rdkafka.h>\n'
                             "static rd_kafka_t *client;\n",
    "src/flow/ingest.c": '#include "flow/ingest.h"\n#include "flow/batch.h"\n#include "flow/tally.h"\n'
                         '#include "edge/kafka_stream.h"\n#include "base/clock.h"\n'
                         "static http_handler answer;\nstatic int answer(int a) {\n    clock_ms();\n}\n",
    "src/app/run.c": '#include "app/run.h"\nstatic int stop;\n',
    "src/app/commands.c": "getrandom(1);\n",
    "src/app/config.c": "getrandom(1);\n",
    "src/tools/demo.c": '#include "edge/kafka_mock.h"\n#include "app/config.h"\n',
    "src/main.c": '#include "tools/generator.h"\n#include "app/commands.h"\n' + "x" * 100 + "\n",
    "src/edge/long.c": "\n" * 450,
    "README.md": "`core/cursor`, `include/base/clock.h`; `core/x y` and core/x are no module\n",
}

#: (rule, file, text): each of these alone breaks the rule.
BROKEN = [
    (layers, "src/base/text.c", '#include "core/delta.h"\n'),
    (layers, "include/core/delta.h", '#include "edge/kafka_conf.h"\n'),
    (layers, "src/edge/redis_link.c", '# include "flow/batch.h"\n'),
    (layers, "src/flow/count.c", '#include "app/config.h"\n'),
    (layers, "src/app/check.c", '#include "tools/event.h"\n'),
    (flow, "src/flow/count.c", '#include "flow/checkpoint.h"\n'),
    (flow, "include/flow/batch.h", '#include "flow/ingest.h"\n'),
    (foreign, "src/flow/publish.c", "#include <librdkafka/rdkafka.h>\n"),
    (foreign, "include/edge/redis_link.h", "#include <hiredis/hiredis.h>\n"),
    (foreign, "include/edge/kafka_sink.h", "struct rd_kafka_conf_s;\n"),
    (foreign, "src/app/top.c", "redisReply *reply;\n"),
    (foreign, "src/core/scan.c", "#include <jansson.h>\n"),
    (core, "src/core/delta.c", '#include "base/inbox.h"\n'),
    (core, "include/core/delta.h", "#include <stdatomic.h>\n"),
    (core, "src/core/delta.c", "#include <urcu/list.h>\n"),
    (core, "src/core/delta.c", "    return clock_ms();\n"),
    (core, "src/core/delta.c", "_Atomic(int) a;\n"),
    (tools, "src/app/pipeline.c", '#include "edge/kafka_mock.h"\n'),
    (tools, "src/flow/publish.c", '#include "edge/kafka_feed.h"\n'),
    (state, "src/flow/count.c", "static int count;\n"),
    (state, "src/core/delta.c", "int f(void) {\n    static char text[3][5] = {0};\n}\n"),
    (state, "src/app/pipeline.c", "static const char *name;\n"),
    (state, "src/app/assignment.c", "static struct pool {\n    int n;\n} pool;\n"),
    (state, "src/flow/tally.c", "static _Thread_local bool is_here;\n"),
    (time, "src/edge/redis_call.c", "put(time(NULL));\n"),
    (time, "src/app/top.c", "nanosleep(&t, NULL);\n"),
    (randomness, "src/flow/publish.c", "delay = random() % 5;\n"),
    (columns, "include/base/text.h", "x" * 101 + "\n"),
    (lines, "src/edge/checkpoint.lua", "\n" * 451),
    (documents, "docs/redis.md", "see `edge/redis_store`\n"),
    (documents, "ARCHITECTURE.md", "| `src/edge/gone.lua` |\n"),
]


def broken_by(rule, tree):
    """Returns the violations of the rule in the tree, and its unnecessary exceptions."""
    known = {path for name, path in EXCEPTIONS if name == rule.__name__}
    found = list(rule(tree))
    unused = known - {path for path, _, _ in found}
    return ([f"{path}:{number}: {what}" for path, number, what in found if path not in known]
            + [f"{path}: the exception is no longer needed" for path in sorted(unused)])


def main():
    count, bad_count = 0, 0

    def report(name, found):
        nonlocal count, bad_count
        count += 1
        bad_count += bool(found)
        print(f"{'not ok' if found else 'ok'} {count} - {name}")
        for line in found:
            print(f"# {line}")

    for rule in RULES:
        assert any(rule is broken for broken, _, _ in BROKEN)
        report(f"{rule.__name__} is silent on a clean tree", broken_by(rule, Tree(CLEAN)))
    for rule, path, text in BROKEN:
        is_found = any(line.startswith(path + ":") and "exception" not in line
                       for line in broken_by(rule, Tree({**CLEAN, path: text})))
        report(f"{rule.__name__} fires in {path}", [] if is_found else [repr(text)])
    tree = Tree.read(sys.argv[1])
    for rule in RULES:
        report(rule.__doc__, broken_by(rule, tree))
    print(f"1..{count}")
    return 1 if bad_count else 0


if __name__ == "__main__":
    sys.exit(main())
