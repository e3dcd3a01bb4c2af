"""Turns scripts into C strings, each with the SHA-1 that Redis calls it by, and collects the rights
that rollcall's Redis user needs: for the commands of the scripts, and for those sent on their own.

usage: embed.py OUT.h NAME=FILE ...
"""
import hashlib
import re
import sys

SENT = ["ping", "select", "eval", "evalsha", "info", "hmget", "zrange", "zrevrange", "xrevrange"]

called = set()
with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as source:
            script = source.read()
        numbers = ",".join(str(byte) for byte in script)
        out.write(f"static const char {name}[] = {{{numbers},0}};\n")
        out.write(f"#define {name}_sha \"{hashlib.sha1(script).hexdigest()}\"\n")
        called.update(re.findall(r"\bcall\('(\w+)'", script.decode().lower()))
    rights = " ".join("+" + command for command in SENT + sorted(called - set(SENT)))
    out.write(f"#define script_rights \"{rights}\"\n")
