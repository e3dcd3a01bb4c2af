"""Turns scripts into C strings, each with the SHA-1 that Redis calls it by, and collects the rights
that a Redis user needs: for the commands of the scripts, and for those that are sent on their own.

usage: embed.py OUT.h RIGHTS SENT,... NAME=FILE ...    RIGHTS: what the macro is called
"""
import hashlib
import re
import sys

sent = sys.argv[3].split(",")
called = set()
with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[4:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as source:
            script = source.read()
        numbers = ",".join(str(byte) for byte in script)
        out.write(f"static const char {name}[] = {{{numbers},0}};\n")
        out.write(f"#define {name}_sha \"{hashlib.sha1(script).hexdigest()}\"\n")
        called.update(re.findall(r"\bcall\('(\w+)'", script.decode().lower()))
    rights = " ".join("+" + command for command in sent + sorted(called - set(sent)))
    out.write(f"#define {sys.argv[2]} \"{rights}\"\n")
