"""`./dev drill [NAME ...]`: follows the runbook's sections on recovery, under load.

A line for each drill: the time from the loss until `rollcall audit` found the counts exact, and how
many records were counted again for it; these are the lines of the table in docs/runbook.md.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
import xml.sax.saxutils

import drill_scene
import drills
import kafka


def run(folder, broker, name, size):
    """One drill; returns what came out."""
    drill, options = drills.DRILLS[name]
    scene = drill_scene.Scene(os.path.join(folder, name), broker, size, **options)
    try:
        return drill(scene)
    except BaseException:
        print(scene.explain(), flush=True)
        raise
    finally:
        scene.close()


def line(name, came_out):
    """The line of the runbook's table."""
    return f"| `{name}` | {came_out.seconds:.1f} s | {came_out.counted:,} | {came_out.proof} |"


def write_junit(path, cases):
    """Writes (name, seconds, failure or None) of each case, for tests/count.py."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write("<testsuite>\n")
        for name, took_s, failure in cases:
            out.write(f'<testcase classname="drill" name="{name}" time="{took_s:.1f}">')
            if failure:
                out.write(f"<failure message={xml.sax.saxutils.quoteattr(failure)}/>")
            out.write("</testcase>\n")
        out.write("</testsuite>\n")


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="./dev drill", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(drills.DRILLS))
    parser.add_argument("--records", type=int, default=drill_scene.FULL.records,
                        help="before the loss, and again since the backup (%(default)s)")
    parser.add_argument("--rate", type=int, default=drill_scene.FULL.per_second,
                        help="records a second all the time (%(default)s)")
    parser.add_argument("--junit", help="write the results to this file")
    options = parser.parse_args()
    unknown = set(options.names) - set(drills.DRILLS)
    if unknown:
        parser.error(f"no drill {', '.join(unknown)}: choose from {', '.join(drills.DRILLS)}")
    size, cases = drill_scene.Size(options.records, options.rate), []
    with tempfile.TemporaryDirectory(prefix="rollcall-drill-") as folder:
        broker = kafka.Kafka(os.path.join(folder, "kafka")).start()
        for name in options.names or drills.DRILLS:
            begun, failure = time.monotonic(), None
            try:
                print(line(name, run(folder, broker, name, size)), flush=True)
            except Exception as error:  # each is reported, whatever it raised
                failure = "".join(traceback.format_exception(error))
                print(f"{name}: FAILED\n{failure}", flush=True)
            cases.append((name, time.monotonic() - begun, failure))
        broker.kill()
    if options.junit:
        write_junit(options.junit, cases)
    return 1 if any(failure for _, _, failure in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
