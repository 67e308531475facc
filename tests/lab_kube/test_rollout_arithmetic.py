from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.controllers.rollout import Half, Limits, limits, proportions, scale_down, scale_up

COUNTS = st.integers(0, 20)


@st.composite
def halves(draw: st.DrawFn, name: str) -> Half:
    desired = draw(COUNTS)
    return Half(name, desired, draw(st.integers(0, desired)))


@given(halves("new"), halves("a"), halves("b"), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_scaling_up_never_goes_beyond_desired_and_surge(  # noqa: PLR0917 (a table)
    new: Half, a: Half, b: Half, desired: int, surge: int, unavailable: int
) -> None:
    allowed = Limits(surge, unavailable)
    size = scale_up(new, [a, b], desired, allowed)
    assert size <= max(desired, new.desired)
    total = size + a.desired + b.desired
    before = new.desired + a.desired + b.desired
    assert total <= max(before, desired + surge)


@given(halves("new"), halves("a"), halves("b"), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_scaling_down_never_takes_availability_below_the_limit(  # noqa: PLR0917 (a table)
    new: Half, a: Half, b: Half, desired: int, surge: int, unavailable: int
) -> None:
    allowed = Limits(surge, min(unavailable, desired))
    sizes = scale_down(new, [a, b], desired, allowed)
    left = {half.name: sizes.get(half.name, half.desired) for half in (a, b)}
    assert all(0 <= left[half.name] <= half.desired for half in (a, b))
    # The ReplicaSet controller takes pods that are not available first.
    available = new.available + sum(min(half.available, left[half.name]) for half in (a, b))
    before = new.available + a.available + b.available
    assert available >= min(before, desired - allowed.unavailable)


@given(st.integers(1, 20), st.integers(0, 4), st.integers(0, 4))
def test_a_rollout_in_which_every_new_pod_comes_up_always_ends(desired: int, surge: int, unavailable: int) -> None:
    allowed = limits(desired, surge, unavailable)
    new, old = Half("new", 0, 0), Half("old", desired, desired)
    for _ in range(10 * desired + 10):
        size = scale_up(new, [old], desired, allowed)
        new = Half("new", size, new.available)
        old_size = scale_down(new, [old], desired, allowed).get("old", old.desired)
        old = Half("old", old_size, min(old.available, old_size))
        new = Half("new", new.desired, new.desired)
    assert (new.desired, old.desired) == (desired, 0)


@given(st.lists(COUNTS, min_size=1, max_size=5), st.integers(0, 40))
def test_proportions_share_out_exactly_the_target(sizes: list[int], target: int) -> None:
    found = [Half(str(index), size, size) for index, size in enumerate(sizes)]
    result = proportions(found, target)
    if sum(sizes):
        assert sum(result.get(half.name, half.desired) for half in found) == target


def test_percentages_round_surge_up_and_unavailable_down() -> None:
    assert limits(3, "25%", "25%") == Limits(1, 0)
    assert limits(10, "25%", "25%") == Limits(3, 2)
    assert limits(3, 0, "10%") == Limits(0, 1)
