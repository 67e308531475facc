"""Answers that are none: what they mean for a write, and for an approval."""

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_mcp.errors import KubeError
from midwatch_mcp.safe_apply.errors import BusyError, LostError, RejectedError
from midwatch_mcp.safe_apply.fake_world import deployment
from midwatch_mcp.safe_apply.object_writes import snapshot_of, target_error
from midwatch_mcp.safe_apply.preview import unified
from midwatch_mcp.safe_apply.tries import Tries


def test_a_write_that_is_answered_with_a_page_may_have_been_taken() -> None:
    error = target_error(KubeError(200, "NotJSON", "the answer is no JSON but: <html>"))
    assert isinstance(error, LostError)
    assert isinstance(target_error(KubeError(307, "Redirect", "not followed")), RejectedError)


@pytest.mark.parametrize("value", [{}, {"kind": "Status"}, {"metadata": []}, {"metadata": {"name": "chat"}}])
def test_an_answer_without_an_identity_tells_nothing(value: dict[str, object]) -> None:
    with pytest.raises(LostError, match="no object"):
        snapshot_of(value)


@pytest.mark.anyio
async def test_a_target_is_waited_for_as_long_as_it_asks_and_a_minute_at_most() -> None:
    clock = VirtualClock(auto=True)
    start = clock.now()
    for asked, waited in ((7.0, 7.0), (86_400.0, 60.0)):
        error = target_error(KubeError(429, "", "come back", retry_after_s=asked))
        assert isinstance(error, BusyError)
        await Tries(clock).come_back(error.retry_after_s)
        assert clock.now() - start == waited
        start = clock.now()


def test_the_order_of_keys_in_an_answer_changes_no_diff() -> None:
    before, after = deployment(), deployment(replicas=4)
    turned = dict(reversed(before.items())), dict(reversed(after.items()))
    assert list(turned[0]) != list(before)
    assert unified(turned[0], turned[1], "chat") == unified(before, after, "chat")
