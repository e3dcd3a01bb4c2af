#!/usr/bin/env python3
"""Prints an SPDX 2.3 bill of materials of a release.

usage: sbom.py VERSION SECONDS LIBRDKAFKA FOLDER

FOLDER holds the release: the source archive, and Debian packages of which dpkg-deb has the fields.
SECONDS since 1970 is the time of the release, so that the same files make the same document.
LIBRDKAFKA is the version that is linked statically into the package for Debian 12.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time

#: The end of the version of a package that has librdkafka in its program.
STATIC = "~deb12"


def identifier(text):
    """An SPDX id for a name."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def package(name, version, license_, **more):
    """A package of the document; its version may be unknown: ""."""
    return {"SPDXID": identifier(name), "name": name,
            **({"versionInfo": version} if version else {}),
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseDeclared": license_,
            "licenseConcluded": license_, "copyrightText": "NOASSERTION", **more}


def purl(locator):
    """The reference of a package to a package registry."""
    return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": locator}]


def checksum(path):
    """The SHA-256 of a file, as SPDX has it."""
    with open(path, "rb") as file:
        return [{"algorithm": "SHA256",
                 "checksumValue": hashlib.sha256(file.read()).hexdigest()}]


def field(path, name):
    """A field of a Debian package."""
    return subprocess.run(["dpkg-deb", "--field", path, name], check=True, capture_output=True,
                          text=True).stdout.strip()


def dependencies(path):
    """Yields (name, bounds of its version) of all packages that a package depends on."""
    for clause in field(path, "Depends").split(","):
        name, bounds = re.fullmatch(r"\s*([a-z0-9.+-]+)\s*(?:\((.*)\))?.*", clause).groups()
        yield name, bounds or ""


def document(version, seconds, librdkafka, folder):
    """The whole document."""
    packages, relations = {}, []

    def add(found):
        packages.setdefault(found["SPDXID"], found)
        return found["SPDXID"]

    def relate(one, kind, other):
        relations.append({"spdxElementId": one, "relationshipType": kind,
                          "relatedSpdxElement": other})

    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".tar.gz"):
            source = add(package(name, version, "MIT", checksums=checksum(path)))
            relate("SPDXRef-DOCUMENT", "DESCRIBES", source)
        elif name.endswith(".deb") and "dbgsym" not in name:
            own = field(path, "Version")
            deb = add(package(name, own, "MIT", checksums=checksum(path), externalRefs=purl(
                f"pkg:generic/rollcall@{own}?arch={field(path, 'Architecture')}")))
            relate("SPDXRef-DOCUMENT", "DESCRIBES", deb)
            for other, bounds in dependencies(path):
                relate(deb, "DEPENDS_ON", add(package(
                    other, "", "NOASSERTION", comment=f"version {bounds or 'of any kind'}",
                    externalRefs=purl(f"pkg:deb/debian/{other}"))))
            if own.endswith(STATIC):
                relate(deb, "STATIC_LINK", add(package(
                    "librdkafka", librdkafka, "BSD-2-Clause", externalRefs=purl(
                        f"pkg:github/confluentinc/librdkafka@v{librdkafka}"))))
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"rollcall-{version}",
            "documentNamespace": f"https://spdx.org/spdxdocs/rollcall-{version}-{seconds}",
            "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
                             "creators": ["Tool: sbom.py"]},
            "packages": list(packages.values()), "relationships": relations}


if __name__ == "__main__":
    json.dump(document(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]), sys.stdout, indent=1)
    print()
