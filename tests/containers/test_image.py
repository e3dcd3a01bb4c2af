"""The image that deploy/Dockerfile makes."""

import os

from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from engine import BASE, FOLDER, IMAGE, call, inspect

ADDED_MB_MAX = 60


def test_image_is_small(images):
    added = (images[1]["Size"] - inspect(BASE)["Size"]) / 1e6
    print(f"the image adds {added:.1f} MB to its base")
    assert 1 < added <= ADDED_MB_MAX


def test_image_is_reproducible(images):
    first, second = images
    print(f"built twice: {second['RootFS']['Layers'][-1]}")
    assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    assert first["Config"] == second["Config"]


def test_image_says_what_it_is(images):
    labels = images[1]["Labels"]
    version = call("podman", "run", "--rm", IMAGE, "--version").split()[1]
    assert labels["org.opencontainers.image.version"] == version == IMAGE.split(":")[1]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert images[1]["Config"]["User"] == "10001:10001"


def test_image_has_a_bill_of_materials(images):
    path = os.path.join(FOLDER, "sbom.spdx.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(call("podman", "run", "--rm", "--entrypoint", "cat", IMAGE,
                        "/usr/local/share/rollcall/sbom.spdx.json"))
    document = parse_file(path)
    assert validate_full_spdx_document(document) == []
    packages = call("podman", "run", "--rm", "--entrypoint", "dpkg-query", IMAGE, "-W", "-f",
                    "${Package} ${Version}\n").splitlines()
    listed = {f"{package.name} {package.version}" for package in document.packages}
    print(f"its bill of materials lists {len(listed)} packages")
    assert set(packages) <= listed and any(name.startswith("rollcall ") for name in listed)
