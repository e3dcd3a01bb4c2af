"""docs/records.md by example: each shape's configuration accepts its event, on the real thing."""

import gzip
import os
import re

import pytest

import verify

_DOCUMENT = os.path.join(os.path.dirname(__file__), "../../docs/records.md")
_TIME_MS = 1720622216000


def _shapes():
    """name -> {kind of block: text}, of every section under Shapes."""
    with open(_DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    part = text[text.index("\n## Shapes\n"):text.index("\n## Rejected\n")]
    return {section.partition("\n")[0]:
            dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))
            for section in part.split("\n### ")[1:]}


SHAPES = _shapes()
REJECTED = {"Several events in one record": "not_object", "gzip in the value": "not_json"}


def test_there_are_ten_shapes():
    assert len(SHAPES) == 10, list(SHAPES)
    assert all("json" in blocks for blocks in SHAPES.values())
    assert {name for name, blocks in SHAPES.items() if "ini" not in blocks} == set(REJECTED)


@pytest.mark.parametrize("name", SHAPES)
def test_the_documented_event_is_judged_as_documented(world, tmp_path, name):
    blocks = SHAPES[name]
    value = blocks["json"].encode()
    if name.startswith("gzip"):
        value = gzip.compress(value)
    headers = [tuple(line.split(": ", 1)) for line in blocks.get("headers", "").splitlines()]
    load_ = world.make_load(partitions=1)
    load_.send(0, None, value, _TIME_MS, [(key, text.encode()) for key, text in headers])
    load_.flush()
    path = tmp_path / "rollcall.ini"
    path.write_text(blocks.get("ini", ""), encoding="utf-8")
    done = world.execute("check", "--sample", "10", "-c", str(path))
    assert done.returncode == (1 if name in REJECTED else 0), done.stdout
    if name in REJECTED:
        assert f"bad {REJECTED[name]}: 1 records" in done.stdout, done.stdout
        return
    instance = world.run(env={}, **_options(blocks["ini"]))
    world.wait_quiet()
    [read] = verify.read_committed(world.broker, world.output)
    assert read.value == value and read.key, (name, read)
    with world.redis_server.client() as client:
        assert client.hgetall(f"{world.prefix}:login_counts:2024-07-10") == {b"14:36": b"1"}
    instance.stop()


def _options(ini):
    """The settings of a file, as World.run takes them."""
    found, section = {}, ""
    for line in ini.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif " = " in line:
            key, value = line.split(" = ")
            found[f"{section}.{key}".replace(".", "__")] = value
    return found
