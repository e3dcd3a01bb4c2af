"""The version, the bill of materials, and the workflow of a public forge."""

import hashlib
import importlib.util
import os
import re
import subprocess

import pytest

import monitoring


def module(name):
    """A script of deploy/, as a module."""
    path = os.path.join(monitoring.REPO, "deploy", f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


VERSIONS = module("versions")
SBOM = module("sbom")


def text_of(path):
    return monitoring.text_of(os.path.join(monitoring.REPO, path))


# ---------------------------------------------------------------------------------------- version

def files():
    return {path: text_of(path) for path in
            ("meson.build", "CHANGELOG.md", *(path for path, _ in VERSIONS.COPIES))}


def test_the_version_is_the_same_everywhere():
    assert VERSIONS.complaints(files(), is_draft=True)[1] == []


@pytest.mark.parametrize("path", sorted({path for path, _ in VERSIONS.COPIES}))
def test_another_version_is_found(path):
    changed = files()
    version = VERSIONS.complaints(changed, True)[0]
    changed[path] = changed[path].replace(version, "9.9")
    assert [line for line in VERSIONS.complaints(changed, True)[1] if line.startswith(path)]


def test_a_release_needs_its_section_in_the_changelog():
    changed = files()
    version, wrong = VERSIONS.complaints(changed, is_draft=False)
    date = re.search(r"release_date = '(.*)'", changed["meson.build"]).group(1)
    heading = re.compile(r"^## .*$", re.MULTILINE)
    changed["CHANGELOG.md"] = heading.sub(f"## {version} ({date})", changed["CHANGELOG.md"], 1)
    assert VERSIONS.complaints(changed, is_draft=False)[1] == []
    for other in (f"9.9 ({date})", f"{version} (1999-01-01)", version, "Unreleased"):
        changed["CHANGELOG.md"] = heading.sub(f"## {other}", changed["CHANGELOG.md"], 1)
        assert len(VERSIONS.complaints(changed, is_draft=False)[1]) == 1, other


# ------------------------------------------------------------------------------ bill of materials

def make_deb(folder, version, depends):
    tree = os.path.join(folder, version)
    os.makedirs(os.path.join(tree, "DEBIAN"))
    with open(os.path.join(tree, "DEBIAN", "control"), "w", encoding="utf-8") as file:
        file.write(f"Package: rollcall\nVersion: {version}\nArchitecture: all\nDepends: {depends}\n"
                   "Maintainer: A <a@b.c>\nDescription: none\n")
    return tree


def test_the_bill_of_materials_names_all_files_and_what_they_need(tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    (release / "rollcall-1.2.tar.gz").write_bytes(b"source")
    for number, depends in (("12", "libc6 (>= 2.36), adduser"), ("13", "librdkafka1 (>= 2.8)")):
        version = f"1.2-1~deb{number}"
        subprocess.run(["dpkg-deb", "--build", make_deb(str(tmp_path), version, depends),
                        str(release / f"rollcall_{version}_all.deb")], check=True,
                       stdout=subprocess.DEVNULL)
    made = SBOM.document("1.2", 1700000000, "2.15.1", str(release))
    assert made["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    by_id = {package["SPDXID"]: package for package in made["packages"]}
    assert len(by_id) == len(made["packages"]) == 7
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", found) for found in by_id)
    related = {(relation["relationshipType"], by_id[relation["relatedSpdxElement"]]["name"])
               for relation in made["relationships"]}
    assert related == {
        ("DESCRIBES", "rollcall-1.2.tar.gz"), ("DESCRIBES", "rollcall_1.2-1~deb12_all.deb"),
        ("DESCRIBES", "rollcall_1.2-1~deb13_all.deb"), ("DEPENDS_ON", "libc6"),
        ("DEPENDS_ON", "adduser"), ("DEPENDS_ON", "librdkafka1"), ("STATIC_LINK", "librdkafka")}
    source = by_id["SPDXRef-rollcall-1.2.tar.gz"]["checksums"][0]["checksumValue"]
    assert source == hashlib.sha256(b"source").hexdigest()


# --------------------------------------------------------------------------------------- workflow

def test_the_workflow_only_calls_commands_of_dev():
    text = text_of(".github/workflows/ci.yml")
    runs = re.findall(r"^ +- run: (.*)$", text, re.MULTILINE)
    others = [run for run in runs if run != "./dev ${{ matrix.command }}"]
    assert len(runs) > len(others) and set(others) == {
        "apt-get update && apt-get install --yes ca-certificates git"}
    called = set(re.findall(r"^ {10}- ([a-z][^:]*?)$", text, re.MULTILINE))
    usage = subprocess.run([os.path.join(monitoring.REPO, "dev"), "help"], check=True,
                           capture_output=True, text=True).stdout
    known = set(re.findall(r"^  ([a-z]+)", usage, re.MULTILINE))
    assert {command.split()[0] for command in called} <= known
    listed = re.search(r"for command in (.*); do", text_of(".ci/run").replace("\\\n", "")).group(1)
    ours = {quoted or plain for quoted, plain in re.findall(r"'([^']*)'|(\S+)", listed)}
    assert ours and ours <= called
