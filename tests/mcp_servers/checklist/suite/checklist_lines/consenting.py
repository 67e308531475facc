"""Lines 11 to 13: no write without a person's answer, one write for one answer, and what was shown is what is done."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from checklist_lines.line import Scene, line
from midwatch_mcp import tool as tool_module
from midwatch_mcp.questions import Asker, Question, Reply
from midwatch_mcp.safe_apply import consent as consent_module
from midwatch_mcp.safe_apply import journal as journal_module
from midwatch_mcp.safe_apply import questions as questions_module
from midwatch_mcp.safe_apply.consent import Consents
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World
from midwatch_mcp.testing.caller import ERAS
from safe_apply_client import Rounds, User, applied

ANSWERS: tuple[User | None, ...] = (User("decline"), User("cancel"), User("unchecked"), User("empty"), None)
FORGED = {"approval": {"approve": True}}


@asynccontextmanager
async def ground(scene: Scene, name: str) -> AsyncGenerator[World]:
    """Open a cluster in memory, with a log of writes of its own."""
    folder = scene.folder / name
    folder.mkdir(mode=0o700)
    world = World(folder)
    try:
        yield world
    finally:
        for envelope in world.envelopes:
            await envelope.aclose()


async def carried(world: World, answer: Any) -> bool:
    """Wait for what an answer set off; say whether the call was refused."""
    assert isinstance(answer, CallToolResult)
    if not answer.is_error:
        assert answer.structured_content is not None
        await world.settle(answer.structured_content["data"]["change"]["change_id"])
    return bool(answer.is_error)


def take_any_answer_for_a_yes(patch: pytest.MonkeyPatch) -> None:
    def careless(question: Question | str, _answer: Any) -> Reply:
        return Reply("yes", "uid", None if isinstance(question, str) else question.key)

    def anybody(question: Any, _principal: str, *, now: float) -> Any:
        assert now
        return question

    patch.setattr(tool_module, "reply_of", careless)
    patch.setattr(questions_module, "still_open", anybody)


@line(11, "a write tool without a person's yes writes nothing", without=take_any_answer_for_a_yes)
async def no_write_without_an_answer(scene: Scene) -> None:
    async with ground(scene, "answers") as world:
        proposal = await world.propose()
        for era in ERAS:
            for user in ANSWERS:
                found = await applied(world.server(), proposal.plan.id, user, era)
                assert await carried(world, found), user
                assert world.cluster.writes == []
            found = await applied(world.server(), proposal.plan.id, User("yes"), era, **FORGED)
            assert await carried(world, found)
            assert world.cluster.writes == []


def take_every_answer_again(patch: pytest.MonkeyPatch) -> None:
    def any_question(question: Any, _principal: str, *, now: float) -> Any:
        assert now
        return question

    def spend_again(db: Any, nonces: Any, change_id: str, now: float) -> None:
        rows = [(nonce, change_id, now) for nonce in nonces]
        db.executemany("INSERT OR REPLACE INTO nonces VALUES (?, ?, ?)", rows)

    for module in (questions_module, consent_module):
        patch.setattr(module, "still_open", any_question)
    patch.setattr(journal_module, "_spend", spend_again)


@line(12, "an approval works once, for one principal, plan and preview", without=take_every_answer_again)
async def an_approval_works_once(scene: Scene) -> None:
    async with ground(scene, "once") as world:
        proposal = await world.propose()
        asker = Asker("token:ide", can_be_asked=True, again=False)
        question = await world.envelope.question(proposal.plan.id, asker)
        assert isinstance(question, Question)
        try:
            stolen = await world.envelope.apply(proposal.plan.id, Reply("yes", "token:other", question.key))
        except RefusedChangeError as refusal:
            assert refusal.reason == "replayed"  # noqa: PT017 (without the guard nothing is raised)
        else:
            await world.settle(stolen.change_id)
        assert world.cluster.writes == []
        async with Client(world.server(), elicitation_callback=User()) as client:
            rounds = Rounds(client, proposal.plan.id)
            await rounds.ask()
            first, wrote = await carried(world, await rounds.answer()), len(world.cluster.writes)
            chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
            chat["spec"]["template"]["spec"]["containers"][1]["args"][1] = "--num-gpu-blocks-override=14"
            world.cluster.put(chat)
            again = await carried(world, await rounds.answer())
        assert (first, wrote) == (False, 1)
        assert (again, len(world.cluster.writes)) == (True, 1)


def compare_no_preview(patch: pytest.MonkeyPatch) -> None:
    def unchecked(_consents: Consents, *_rest: Any) -> None:
        return None

    patch.setattr(Consents, "_check_given", unchecked)


@line(13, "the diff in the approval's text is what is applied, or nothing is", without=compare_no_preview)
async def what_was_shown_is_done(scene: Scene) -> None:
    async with ground(scene, "shown") as world:
        proposal, before = await world.propose(), world.args()
        user = User("yes")
        assert not await carried(world, await applied(world.server(), proposal.plan.id, user))
        said = [
            text for text in user.asked[0].splitlines() if text[:1] in {"+", "-"} and text[:3] not in {"+++", "---"}
        ]
        gone, come = Counter(before) - Counter(world.args()), Counter(world.args()) - Counter(before)
        assert [text[1:].strip() for text in said if text[0] == "-"] == [f"- {word}" for word in gone]
        assert [text[1:].strip() for text in said if text[0] == "+"] == [f"- {word}" for word in come]

    async with ground(scene, "meddled") as world:
        proposal = await world.propose()
        async with Client(world.server(), elicitation_callback=User()) as client:
            rounds = Rounds(client, proposal.plan.id)
            await rounds.ask()
            # A webhook that nobody saw at work adds to what is stored.
            world.cluster.mutate = lambda value: value["spec"]["template"]["metadata"]["labels"].update(tier="gold")
            refused = await carried(world, await rounds.answer())
        assert refused
        assert world.cluster.writes == []
