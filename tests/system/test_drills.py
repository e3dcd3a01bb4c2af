"""Recovery as docs/runbook.md describes it, with a short load; `./dev drill` has a long one."""

import pathlib
import re

import pytest

import drill
import drill_scene
import drills
import monitoring
import runbook


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", drills.SHORT)
def test_short_drill(broker, tmp_path, name):
    came_out = drill.run(tmp_path, broker, name, drill_scene.SHORT)
    print(drill.line(name, came_out))


def test_each_drill_has_a_section_and_each_section_a_drill():
    sections = {heading for heading, _ in runbook.blocks(runbook.RECOVERY)} - {runbook.RECOVERY}
    code = pathlib.Path(drills.__file__).read_text(encoding="utf-8")
    followed = re.findall(r'\.(?:recover|follow)\("([^"]+)"', code)
    assert set(followed) == sections


def test_the_table_has_each_drill():
    text = monitoring.text_of(runbook.RUNBOOK).split(f"\n## {runbook.RECOVERY}\n")[1]
    rows = re.findall(r"^\| `([\w-]+)` \|", text.split("\n## ")[0], re.MULTILINE)
    assert rows == list(drills.DRILLS)
