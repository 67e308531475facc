"""The runner of Prometheus's test scripts: our own scripts, and that what is wrong is said with its place."""

import json
import math
from pathlib import Path

import pytest

from midwatch_agents.cli import main
from midwatch_contracts.promql import PromqlError, format_expr, parse
from midwatch_lab.metrics.promqltest.runner import Outcome, run_script
from midwatch_lab.metrics.promqltest.script import ScriptError, read_script
from midwatch_lab.metrics.promqltest.values import almost_equal, described_series, sequence
from midwatch_lab.metrics.promqltest.variants import variants
from midwatch_lab.metrics.store import is_stale

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))
CASES = [outcome for path in SCRIPTS for outcome in run_script(path.read_text(), path.name)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}:{case.line}" for case in CASES])
def test_our_own_scripts_hold(case: Outcome) -> None:
    assert case.problem is None, f"{case.query}: {case.problem}"


def test_values_are_read_in_sequence_notation() -> None:
    assert sequence(" 1 2+3x2 5-1x1 4x2 _ _x2 -Inf") == [1, 2, 5, 8, 5, 4, 4, 4, 4, None, None, None, -math.inf]
    stale = sequence("stalex1")
    assert [value is not None and is_stale(value) for value in stale] == [True, True]


def test_a_series_is_read_with_the_labels_that_it_is_given() -> None:
    assert described_series('x{a="} 1",b=""} 1 2') == ((("__name__", "x"), ("a", "} 1")), [1, 2])
    assert described_series("{} 1") == ((), [1])
    assert described_series('{"utf.8", "a b"="c"} _') == ((("__name__", "utf.8"), ("a b", "c")), [None])


@pytest.mark.parametrize(
    "text", ['x{a!="b"} 1', "x{a} 1", "x 1..2", "x 1+1", "x 1x9999999999", "x {{schema:0}}", "1 2"]
)
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(PromqlError):
        described_series(text)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("\nload 1x\n  x 1", "f:2: '1x' is no interval"),
        ("load 1m\n  x 1\n  y 1..", "f:3: '1..' is no value"),
        ("load_with_nhcb 1m\n  x 1", "f:1: load_with_nhcb is not offered"),
        ("load 1m\n  x {{schema:1}}", "f:2: native histograms are not offered"),
        ('load 1m\n  x{a="b"}@st 1', "f:2: start timestamps"),
        ("# a comment\nrun", "f:2: 'run' is no command"),
        ("eval instant at 1m", "f:1: write `eval instant"),
        ("eval instant at soon x", "f:1: 'soon' is no time"),
        ("eval instant at 1m sum(", "f:1: 'sum(' does not parse: 1:5"),
        ("eval range from 2m to 1m step 1m x", "f:1: a range ends after it starts"),
        ("eval instant at 1m x\n  x 1 2", "f:2: an instant query answers one value"),
        ("eval instant at 1m x\n  expect nothing", "f:2: an expectation is"),
        ("eval instant at 1m x\n  expect fail\n  expect fail", "f:3: a query fails once"),
        ("eval instant at 1m x\n  expect warn\n  expect no_warn", "f:1: a query cannot both"),
        ("eval instant at 1m x\n  expect fail regex: (", "f:2: '(' is no pattern"),
        ("eval range from 0 to 1m step 1m x\n  expect ordered", "f:1: a range query has no order"),
    ],
)
def test_a_script_that_cannot_be_read_is_refused_with_its_file_and_line(script: str, message: str) -> None:
    with pytest.raises(ScriptError) as refused:
        read_script(script, "f")
    assert str(refused.value).startswith(message)


def test_a_load_that_goes_back_in_time_is_refused_with_its_line() -> None:
    with pytest.raises(ScriptError, match=r"^f:5: a sample of x"):
        list(run_script("load 1m\n  x 1 2\n\nload 1m\n  x 3", "f"))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("eval instant at 0 x\n  x 2", "expected 2 for x{}, got 1"),
        ("eval instant at 0 x\n  y 1", "unexpected series x{} with 1"),
        ("eval instant at 0 x\n  x 1\n  y 1", "expected the series y{}, which is not in the answer"),
        ("eval instant at 0 x\n  1", "expected the scalar 1, got a vector"),
        ("eval instant at 0 1 + 1\n  3", "expected the scalar 3, got 2"),
        ("eval instant at 0 1 + 1\n  x 2", "expected series, got the scalar 2"),
        ("eval instant at 0 'a'\n  expect string \"b\"", "expected the string 'b', got 'a'"),
        ("eval instant at 0 x\n  expect fail", "expected a failure, and it answers"),
        ("eval instant at 0 x + on () x\n  expect fail msg: other", None),
        (
            "eval instant at 0 label_replace(x, '', '', 'a', '.*')\n  expect fail msg: other",
            "expected the failure other",
        ),
        ("eval instant at 0 label_replace(x, '', '', 'a', '.*')", "it fails: invalid destination label name"),
        ("eval instant at 0 x\n  expect warn\n  x 1", "expected the warning any, got none"),
        ("eval instant at 1m rate(x[2m])\n  expect no_info\n  {} 0.0125", "expected no info, got"),
        ("eval instant at 1m rate(x[2m])\n  expect info msg: other\n  {} 0.0125", "expected the info other, got"),
        (
            "eval_ordered instant at 0 sort_desc({__name__=~'x|z'})\n  x 1\n  z 3",
            "z{} is series 1, where x{} is expected",
        ),
        ("eval range from 0 to 1m step 1m x\n  x 1", "expected 1@0 for x{}, got 1@0 2@60"),
        ("eval range from 0 to 1m step 1m x\n  x 1 2 3", "3 values are expected of x{}, more than"),
    ],
)
def test_a_case_that_does_not_hold_says_what_differs(lines: str, problem: str | None) -> None:
    outcomes = list(run_script(f"load 1m\n  x 1 2\n  z 3 4\n\n{lines}\n", "f"))
    assert len(outcomes) == 1
    assert (outcomes[0].line, outcomes[0].file) == (5, "f")
    assert outcomes[0].problem is not None
    if problem is not None:
        assert outcomes[0].problem.startswith(problem)


def test_an_instant_query_is_asked_again_with_its_time_pinned_outside_of_subqueries() -> None:
    asked = variants(parse("rate(x[5m]) + max_over_time(y[5m:1m] offset 1m) + z @ 3"), 60_000)
    assert {format_expr(expr) for expr, _ in asked} == {
        "rate(x[5m] @ 60.000) + max_over_time(y[5m:1m] @ 60.000 offset 1m) + z @ 3.000"
    }
    assert [at for _, at in asked] == [-600_000, 0, 12_000, 60_000, 600_000]
    assert variants(parse("timestamp(x)"), 0) == []


def test_values_that_differ_by_a_millionth_are_alike() -> None:
    assert almost_equal(1.0, 1.0000001)
    assert not almost_equal(1.0, 1.00001)
    assert almost_equal(math.nan, math.nan)
    assert not almost_equal(0.0, 1e-9)
    assert not almost_equal(math.inf, 1e308)


def test_the_command_prints_a_line_a_case_and_says_by_its_code_whether_all_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, broken = (tmp_path / name for name in ("good.test", "bad.test", "broken.test"))
    good.write_text("eval instant at 0 1 + 1\n  2\n")
    bad.write_text("eval instant at 0 1 + 1\n  3\n")
    broken.write_text("what\n")
    assert main(["lab", "promqltest", str(good)]) == 0
    assert capsys.readouterr().out == f"ok    {good}:1: 1 + 1\npromqltest: 1 passed, 0 failed, 0 unreadable\n"
    assert main(["lab", "promqltest", str(good), str(bad), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], answer["failed"], answer["errors"]) == (1, 1, [])
    assert answer["cases"][1] == {
        "file": str(bad),
        "line": 1,
        "query": "1 + 1",
        "ok": False,
        "problem": "expected the scalar 3, got 2",
    }
    assert main(["lab", "promqltest", str(broken), str(tmp_path / "none.test")]) == 2
    errors = capsys.readouterr().err
    assert f"{broken}:1: 'what' is no command" in errors
    assert "none.test: cannot be read" in errors
