"""Turns the files of the status page into C strings, and fails if they are too large together, or
would load anything from another host.

usage: embed.py OUT.h NAME=FILE ...
"""
import re
import sys

BYTES_MAX = 60000
NOT_LOADED = "http://www.w3.org/2000/svg"  # a name, which nothing is loaded from

total = 0
with open(sys.argv[1], "w", encoding="ascii") as out:
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as source:
            asset = source.read()
        host = re.search(r"(\w+:|[\"'(=])//", asset.decode().replace(NOT_LOADED, ""))
        if host:
            sys.exit(f"{path}: {host.group(0)} leads to another host")
        total += len(asset)
        out.write(f"static const char {name}[] = {{{','.join(str(byte) for byte in asset)},0}};\n")
if total > BYTES_MAX:
    sys.exit(f"the status page has {total} bytes, more than {BYTES_MAX}")
