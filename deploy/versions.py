#!/usr/bin/env python3
"""Checks that everything that names the version names that of meson.build.

usage: versions.py [--draft] [ROOT]

Prints the version. Complaints go to standard error, and make the exit status 1. With --draft, the
newest section of CHANGELOG.md may still be unreleased.
"""

import os
import re
import sys

#: Where the version is written once more: file, and a pattern whose group it is.
COPIES = [("deploy/Dockerfile", r'image\.version="(.*?)"'),
          ("deploy/kubernetes/base/kustomization.yaml", r"newTag: (\S+)"),
          ("deploy/kubernetes/example/kustomization.yaml", r"newTag: (\S+)"),
          ("deploy/kubernetes/example/kustomization.yaml", r"ref=v(\S+)"),
          ("docker-compose.yml", r"image: rollcall:(\S+)"),
          ("deploy/compose/ha.yml", r"image: rollcall:(\S+)"),
          ("deploy/compose/tls.yml", r"image: rollcall:(\S+)"),
          ("tests/containers/engine.py", r'IMAGE = "rollcall:(.*?)"')]


def complaints(files, is_draft):
    """Returns the version and what is wrong. `files` maps a path to its text."""
    wrong = []
    build = files["meson.build"]
    version = re.search(r"^  version: '(.*)',$", build, re.MULTILINE).group(1)
    date = re.search(r"^release_date = '(.*)'$", build, re.MULTILINE).group(1)
    for path, pattern in COPIES:
        for found in re.findall(pattern, files[path]) or ["nothing"]:
            if found != version:
                wrong.append(f"{path} says {found}, meson.build {version}")
    heading = re.search(r"^## (.*)$", files["CHANGELOG.md"], re.MULTILINE).group(1)
    wanted = [f"{version} ({date})"] + ([f"Unreleased ({version})"] if is_draft else [])
    if heading not in wanted:
        wrong.append(f"CHANGELOG.md begins with \"{heading}\": it should be \"{wanted[0]}\", with "
                     "the version and release_date of meson.build")
    return version, wrong


def main(arguments):
    """Reads the files of ROOT, prints the version and the complaints."""
    is_draft = "--draft" in arguments
    root = next((word for word in arguments if word != "--draft"), ".")
    files = {}
    for path in ["meson.build", "CHANGELOG.md", *(path for path, _ in COPIES)]:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            files[path] = file.read()
    version, wrong = complaints(files, is_draft)
    print(version)
    for line in wrong:
        print(f"versions: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
