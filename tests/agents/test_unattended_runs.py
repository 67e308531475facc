"""At autonomy 4 nobody is asked about what the policy approves, and only what code alone wrote is vouched for."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from midwatch_agents.approver import DenyApprover
from midwatch_agents.fakes import opener_of
from midwatch_agents.findings import Findings
from midwatch_agents.guides import findings_of
from midwatch_agents.intake import Subject, from_alert, from_question
from midwatch_agents.supervisor.supervisor import Supervisor
from midwatch_agents.tools import Toolbox
from midwatch_contracts.alert import Alert
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.vouching import Vouched
from midwatch_tsg.result import GuideResult

pytestmark = pytest.mark.anyio

ALERT = from_alert(
    Alert(labels={"alertname": "TimeToFirstTokenHigh", "namespace": "llm", "service": "chat"}, annotations={})
)
QUESTION = from_question("why is time to first token high on llm/chat?")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_the_policy_approves_is_applied_and_nobody_is_asked(world: Callable[..., Any]) -> None:
    here = world()
    here.changes.policy = True
    result = await here.supervisor().start(ALERT, guide="ttft-slo-burn")
    assert here.signer.asked == []
    assert (result.verified, result.exit_code) == (True, Exit.OK)
    (decision,) = [event.body for event in here.events if event.kind == "decision"]
    assert (decision["verdict"], decision["by"]) == ("approved", "policy")


async def test_below_autonomy_4_a_person_is_asked(world: Callable[..., Any]) -> None:
    here = world()
    await here.supervisor().start(ALERT, guide="ttft-slo-burn")
    assert len(here.signer.asked) == 1


async def test_a_refusal_outranks_the_policy(world: Callable[..., Any]) -> None:
    here = world()
    here.changes.policy = True
    result = await here.supervisor(approver=DenyApprover()).start(ALERT, guide="ttft-slo-burn")
    assert (result.applied, here.changes.writes) == (False, 0)


async def test_a_policy_that_no_longer_approves_has_a_person_asked(world: Callable[..., Any]) -> None:
    here = world()
    here.changes.policy = True

    def lowered(event: Any) -> None:
        if event.kind == "plan":
            here.changes.policy = False

    await here.supervisor(on_event=lowered).start(ALERT, guide="ttft-slo-burn")
    assert len(here.signer.asked) == 1


class Heard(Vouched):
    """What was vouched for."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []

    def vouch(self, draft: Any) -> None:
        self.titles.append(draft["title"])
        super().vouch(draft)


@pytest.mark.parametrize(
    ("subject", "options", "inputs", "vouched"),
    [
        (ALERT, {}, {}, True),
        (QUESTION, {}, {}, False),
        (ALERT, {}, {"objective": "2s"}, False),
        (ALERT, {"amend_draft": dict}, {}, False),
    ],
    ids=["an alert", "a question", "an input by hand", "an amended draft"],
)
async def test_a_draft_is_vouched_for_where_nobody_filled_anything_in(
    world: Callable[..., Any],
    subject: Subject,
    options: dict[str, Any],
    inputs: dict[str, str],
    vouched: bool,  # noqa: FBT001 (parametrized)
) -> None:
    here = world()
    heard = Heard()
    scripted = opener_of([here.reads, here.writes])

    def opener(settings: Any) -> Any:
        return _with(scripted(settings), heard)

    runs = Supervisor(here.settings, here.clock, here.signer, opener=opener, **options)
    await runs.start(subject, guide="ttft-slo-burn", inputs=inputs)
    assert bool(heard.titles) is vouched
    assert here.called("change_propose") == 1


@asynccontextmanager
async def _with(opening: AbstractAsyncContextManager[Toolbox], heard: Vouched) -> AsyncGenerator[Toolbox]:
    async with opening as toolbox:
        toolbox.vouched = heard
        yield toolbox


@pytest.mark.parametrize(
    ("kind", "state", "by_code"), [("ask", "done", False), ("ask", "skipped", True), ("new", "done", False)]
)
def test_a_step_that_somebody_answered_makes_a_draft_not_codes(kind: str, state: str, by_code: bool) -> None:  # noqa: FBT001
    steps = [
        {"id": "a", "title": "A", "kind": "tool", "state": "done"},
        {"id": "b", "title": "B", "kind": kind, "state": state},
    ]
    nothing: dict[str, Any] = {"inputs": {}, "outcomes": [], "primary": None, "plan_draft": None, "ruled_out": []}
    about = {"guide": "g", "title": "G", "guide_sha256": "0" * 64, "run": "r", "state": "done"}
    result = GuideResult.model_validate(about | nothing | {"steps": steps})
    found = findings_of(result)
    assert found.by_code is by_code
    assert Findings.from_json(found.as_json()).by_code is by_code
