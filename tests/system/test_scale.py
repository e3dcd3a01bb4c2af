"""docs/scale.md has what bench/scale.py prints, and that counts with what was measured."""

import importlib.util
import os
import subprocess
import sys

import pytest

import monitoring

SCRIPT = os.path.join(monitoring.REPO, "bench", "scale.py")
_spec = importlib.util.spec_from_file_location("scale", SCRIPT)
SCALE = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(SCALE)


def text_of(path):
    return monitoring.text_of(os.path.join(monitoring.REPO, path))


def test_the_document_has_what_the_script_prints():
    printed = subprocess.run([sys.executable, SCRIPT], check=True, capture_output=True, text=True,
                             timeout=60).stdout
    assert text_of("docs/scale.md").endswith("## Computed\n\n" + printed), \
        "docs/scale.md: replace what follows `## Computed` with what bench/scale.py prints"


@pytest.mark.parametrize("name", list(SCALE.COSTS))
def test_every_cost_was_measured(name):
    assert SCALE.COSTS[name][2] in " ".join(text_of("bench/README.md").split())


@pytest.mark.parametrize("name, section, key", [("checkpoint_ms", "redis", "checkpoint_ms"),
                                                ("commit_ms", "output", "commit_ms")])
def test_the_defaults_are_those_of_the_program(name, section, key):
    part = text_of("docs/configuration.md").split(f"### [{section}]")[1].split("###")[0]
    assert f"| `{key}` | `{SCALE.PLAN[name][0]}` |" in part


def test_what_is_needed_follows_from_the_costs():
    found = SCALE.need(1_000_000)
    assert (found["partitions"], found["instances"]) == (40, 5)
    assert found["checkpoints"] == 80 and found["transactions"] == 50
    assert found["redis_cores"] == pytest.approx(80 * SCALE.cost("checkpoint_us") / 1e6)
    assert found["cores"] == pytest.approx(1.6 + 5 * 0.13 + 40 * 0.0015)
    assert found["kafka_written"] == 3 * found["rate"] * SCALE.cost("out_bytes")
    assert SCALE.need(1_000_000, checkpoint_ms=2000)["redis_cores"] == found["redis_cores"] / 4


@pytest.mark.parametrize("rate, limit", [(3_000_000, None), (3_300_000, "memory_mb"),
                                         (20_000_000, "memory_mb"),
                                         (30_000_000, "memory_mb, redis_cores")])
def test_what_gives_out_first_is_as_the_document_says(rate, limit):
    assert SCALE.over(SCALE.need(rate)) == (limit or "-")
