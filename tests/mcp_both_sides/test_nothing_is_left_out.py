"""Every tool, and every argument of the cluster's, is asked on both sides, or it is said why not."""

from fnmatch import fnmatch
from pathlib import Path

from both_sides.cases import CASES, ELSEWHERE, LAB_ONLY
from both_sides.world import Side
from midwatch_contracts.surface import surface

ASKED = {case.tool for case in CASES} | {"change_preview"}
EXCUSED = (*LAB_ONLY, *ELSEWHERE)
SIDE = Side("lab", Path(), {app: [app] for app in ("web", "broken", "tidy")})


def excused(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in EXCUSED)


def test_every_tool_is_asked_on_both_sides_or_it_is_said_why_not() -> None:
    assert {name for name in surface() if name not in ASKED and not excused(name)} == set()
    assert {name for name in ASKED if excused(name)} == set()


def test_every_argument_of_the_cluster_tools_is_given_on_both_sides_or_it_is_said_why_not() -> None:
    given = {f"{case.tool}.{name}" for case in CASES for name in case.given(SIDE)}
    offered = {f"{tool}.{name}" for tool in ASKED for name in surface()[tool].input_schema["properties"]}
    assert {name for name in offered - given - {"change_preview.plan_id"} if not excused(name)} == set()
    assert {name for name in given if excused(name)} == set()


def test_no_excuse_is_for_what_is_not_there() -> None:
    offered = {
        *surface(),
        *(f"{tool}.{name}" for tool, spec in surface().items() for name in spec.input_schema["properties"]),
    }
    assert [pattern for pattern in EXCUSED if not any(fnmatch(name, pattern) for name in offered)] == []
