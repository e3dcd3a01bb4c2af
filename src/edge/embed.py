"""Turns scripts into C strings, each with the SHA-1 that Redis calls it by, and collects the rights
that a Redis user needs: for the commands of the scripts, and for those that are sent on their own.

usage: embed.py OUT.h RIGHTS SENT,... NAME=FILE ...    RIGHTS: what the macro is called
"""
import hashlib
import os
import re
import sys


def read(path):
    """The script, with the files that its lines `--include FILE` name in place of these lines."""
    with open(path, "rb") as source:
        return re.sub(rb"(?m)^--include (.+)$",
                      lambda line: read(os.path.join(os.path.dirname(path), line[1].decode())),
                      source.read())


sent = sys.argv[3].split(",")
called = set()
with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[4:]:
        name, path = pair.split("=", 1)
        script = read(path)
        numbers = ",".join(str(byte) for byte in script)
        out.write(f"static const char {name}[] = {{{numbers},0}};\n")
        out.write(f"#define {name}_sha \"{hashlib.sha1(script).hexdigest()}\"\n")
        called.update(re.findall(r"\bcall\('(\w+)'", script.decode().lower()))
    rights = " ".join("+" + command for command in sent + sorted(called - set(sent)))
    out.write(f"#define {sys.argv[2]} \"{rights}\"\n")
