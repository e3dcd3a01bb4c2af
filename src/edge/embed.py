"""Turns scripts into C strings, beside the SHA-1 that Redis calls them by.

usage: embed.py OUT.h NAME=FILE ...
"""
import hashlib
import sys

with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as source:
            script = source.read()
        numbers = ",".join(str(byte) for byte in script)
        out.write(f"static const char {name}[] = {{{numbers},0}};\n")
        out.write(f"#define {name}_sha \"{hashlib.sha1(script).hexdigest()}\"\n")
