from hypothesis import given
from hypothesis import strategies as st

from midwatch_agents.chart import Mark, chart


def test_a_fall_is_drawn_as_a_fall_with_its_mark_under_the_moment() -> None:
    points = [(float(at), 4.0 if at < 20 else 0.1) for at in range(40)]
    lines = chart(points, title="p95", unit="s", marks=[Mark(20.0, "change")]).plain.splitlines()
    assert lines[0] == "p95"
    assert lines[1].endswith("┤" + "█" * 20 + " " * 20)
    assert lines[4].endswith("█" * 20 + "▁" * 20)
    assert lines[5].index("▲") - lines[1].index("█") == 20
    assert "change at +20 s" in lines[6]
    assert "4 s" in lines[1]


def test_nothing_measured_says_so() -> None:
    assert chart([], title="p95", unit="s").plain == "p95: not measured"


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=80))
def test_every_point_is_one_column_in_every_row(values: list[float]) -> None:
    lines = chart(list(enumerate(values)), title="t", unit="s").plain.splitlines()
    assert {len(line) for line in lines[1:5]} == {13 + len(values)}
