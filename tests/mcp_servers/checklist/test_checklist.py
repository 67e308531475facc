"""Every line twice: it holds, and with its guard taken out by a fixture of this folder its check fails."""

import importlib
import pkgutil
from pathlib import Path

import pytest

import checklist_lines
from checklist_lines.line import LINES, Line, Scene
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.world import World

for module in pkgutil.iter_modules(checklist_lines.__path__):
    importlib.import_module(f"checklist_lines.{module.name}")

pytestmark = pytest.mark.anyio
ASKED = {*range(1, 22), 23, 30}
SLOW = {20, 30}
"""Lines whose check starts a process."""
CASES = [
    pytest.param(found, id=f"{number}: {found.sentence}", marks=[pytest.mark.slow] if number in SLOW else [])
    for number, found in sorted(LINES.items())
]


@pytest.fixture
def scene(settings: ServerSettings, world: World, tmp_path: Path) -> Scene:
    folder = tmp_path / "scene"
    folder.mkdir(mode=0o700)
    return Scene(settings, world, folder)


def test_every_line_that_the_servers_answer_for_is_here() -> None:
    assert set(LINES) == ASKED


@pytest.mark.parametrize("line", CASES)
async def test_the_line_holds(line: Line, scene: Scene, tally: dict[str, int]) -> None:
    await line.check(scene)
    tally["green"] += 1


@pytest.mark.parametrize("line", CASES)
async def test_without_its_guard_the_check_fails(
    line: Line, scene: Scene, tally: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    line.defect(monkeypatch)
    with pytest.raises(AssertionError):
        await line.check(scene)
    tally["red"] += 1
