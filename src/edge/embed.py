"""Turns text files into C string arrays: embed.py OUT.h NAME=FILE ..."""
import sys

with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as source:
            numbers = ",".join(str(byte) for byte in source.read())
        out.write(f"static const char {name}[] = {{{numbers},0}};\n")
