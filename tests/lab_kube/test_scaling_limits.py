"""The autoscaler's arithmetic, under any history: never outside its bounds, never faster than its policies."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.controllers.scaling_limits import Bounds, History, limited

POLICIES = st.lists(
    st.fixed_dictionaries({
        "type": st.sampled_from(["Pods", "Percent"]),
        "value": st.integers(1, 100),
        "periodSeconds": st.integers(1, 120),
    }),
    min_size=1,
    max_size=3,
)  # fmt: skip
RULES = st.fixed_dictionaries({
    "policies": POLICIES,
    "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
    "stabilizationWindowSeconds": st.sampled_from([0, 15, 60, 300]),
})  # fmt: skip
BEHAVIOR = st.none() | st.fixed_dictionaries({"scaleUp": RULES, "scaleDown": RULES})
WANTED = st.lists(st.integers(0, 60), min_size=1, max_size=30)


def allowed(policy: dict[str, Any], at_start: int, direction: int) -> int:
    """How far one policy lets a period go, from the size at its start."""
    if policy["type"] == "Pods":
        return at_start + direction * policy["value"]
    share = at_start * (1 + direction * policy["value"] / 100)
    return math.ceil(share) if direction > 0 else int(share)


@given(BEHAVIOR, WANTED, st.integers(1, 20), st.integers(0, 40), st.integers(1, 40))
def test_a_size_is_never_outside_its_bounds(
    behavior: dict[str, Any] | None, wanted: list[int], least: int, room: int, start: int
) -> None:
    bounds, history = (least, least + room), History()
    current = min(max(start, bounds[0]), bounds[1])
    for period, replicas in enumerate(wanted):
        now = 15.0 * period
        found = limited(history, behavior, Bounds(*bounds, current), replicas, now)
        assert bounds[0] <= found.replicas <= bounds[1]
        assert found.is_limited == (found.limit[0] != "DesiredWithinRange")
        if found.replicas != current:
            history.scaled(behavior, current, found.replicas, now)
        current = found.replicas


@given(st.fixed_dictionaries({"scaleUp": RULES, "scaleDown": RULES}), WANTED)
def test_no_period_changes_more_than_the_policies_of_its_direction_allow(
    behavior: dict[str, Any], wanted: list[int]
) -> None:
    history, current = History(), 10
    sizes = [(-1000.0, current)]
    for period, replicas in enumerate(wanted):
        now = 15.0 * period
        after = limited(history, behavior, Bounds(1, 60, current), replicas, now).replicas
        if after != current:
            direction = 1 if after > current else -1
            rules = behavior["scaleUp" if direction > 0 else "scaleDown"]
            assert rules["selectPolicy"] != "Disabled"
            reached = [
                allowed(policy, [size for at, size in sizes if at <= now - policy["periodSeconds"]][-1], direction)
                for policy in rules["policies"]
            ]
            far = max if (direction > 0) != (rules["selectPolicy"] == "Min") else min
            assert after <= far(reached) if direction > 0 else after >= far(reached)
            history.scaled(behavior, current, after, now)
            sizes.append((now, after))
        current = after


@given(WANTED)
def test_nothing_is_taken_away_before_the_window_has_seen_no_more_for_its_whole_length(wanted: list[int]) -> None:
    history, current = History([(0.0, 10)]), 10
    for period, replicas in enumerate(wanted):
        now = 15.0 * period
        recent = [10] * (now <= 300) + [value for index, value in enumerate(wanted) if now - 300 <= 15 * index <= now]
        after = limited(history, None, Bounds(1, 60, current), replicas, now).replicas
        if after < current:
            assert after >= max(recent)
        current = after
