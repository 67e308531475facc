"""change_apply asks the client's user in both protocol eras, and no answer but a fresh yes lets anything be written."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import uvicorn
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.server import MCPServer
from mcp.types import (
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequestParams,
    ElicitResult,
    FormElicitationCapability,
    InputRequiredResult,
    UrlElicitationCapability,
)

from midwatch_mcp.asking import can_be_asked
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import Listen
from midwatch_mcp.questions import Asker, Question, Reply
from midwatch_mcp.safe_apply import consent
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.consent import ASK_S, question_text
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, scale, set_blocks, set_flags
from midwatch_mcp.safe_apply.questions import Questions
from midwatch_mcp.server import mount
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import ERAS, Era, answer_text
from safe_apply_client import Answer, Rounds, User, applied

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error::mcp.MCPDeprecationWarning")]


def refusals(world: World) -> list[str]:
    return [entry.body["reason"] for entry in entries(world.envelope.audit.path) if entry.kind == "refused"]


async def verified(world: World, answer: CallToolResult) -> dict[str, Any]:
    assert not answer.is_error, answer_text(answer)
    assert answer.structured_content is not None
    change = answer.structured_content["data"]["change"]
    assert await world.settle(change["change_id"]) == "verified"
    return change


def put_back(world: World) -> None:
    """Give the object the values from before, so that a second execution would write."""
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    chat["spec"]["template"]["spec"]["containers"][1]["args"][1] = "--num-gpu-blocks-override=14"
    world.cluster.put(chat)


@pytest.mark.parametrize("era", ERAS)
async def test_a_yes_applies_what_was_shown_and_stands_on_the_change(world: World, era: Era) -> None:
    proposal = await world.propose()
    user = User("yes")
    change = await verified(world, await applied(world.server(), proposal.plan.id, user, era))
    approval = change["approval"]
    assert (approval["method"], approval["attested"], approval["signature"]) == ("elicitation", "host", None)
    (text,) = user.asked
    assert text == question_text(proposal.plan, proposal.preview, proposal.preview_sha256, approval["nonce"])
    assert len(world.cluster.writes) == 1
    kinds = [entry.kind for entry in entries(world.envelope.audit.path)]
    assert kinds == ["proposed", "previewed", "asked", "approved", "applying", "applied", "verified"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("answer", ["unchecked", "empty", "decline", "cancel"])
async def test_any_other_answer_writes_nothing_and_says_how_to_approve(world: World, answer: Answer, era: Era) -> None:
    proposal = await world.propose()
    user = User(answer)
    found = await applied(world.server(), proposal.plan.id, user, era)
    assert found.is_error
    assert "approval_required" in answer_text(found)
    assert f"midwatch change approve {proposal.plan.id[:12]}" in answer_text(found)
    assert len(user.asked) == 1
    assert world.cluster.writes == []
    assert refusals(world) == ["missing" if answer == "cancel" else "denied"]


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_that_does_not_fit_the_form_writes_nothing(world: World, era: Era) -> None:
    proposal = await world.propose()
    assert (await applied(world.server(), proposal.plan.id, User("rubbish"), era)).is_error
    assert world.cluster.writes == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_ask_is_told_the_command(world: World, era: Era) -> None:
    proposal = await world.propose()
    found = await applied(world.server(), proposal.plan.id, None, era)
    assert found.is_error
    assert "approval_required" in answer_text(found)
    assert "this client cannot ask its user" in answer_text(found)
    assert world.cluster.writes == []
    assert refusals(world) == ["missing"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ["approval", "reply", "approve", "question_", "answer_"])
async def test_an_approval_passed_as_an_argument_is_refused(world: World, name: str, era: Era) -> None:
    proposal = await world.propose()
    user = User("yes")
    found = await applied(world.server(), proposal.plan.id, user, era, **{name: {"approve": True, "outcome": "yes"}})
    assert found.is_error
    assert "approval_required: an approval is no argument" in answer_text(found)
    assert user.asked == []
    assert world.cluster.writes == []


async def test_a_user_who_does_not_answer_in_time_lets_nothing_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent, "ASK_S", 0.05)
    proposal = await world.propose()

    async def silent(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError(context, params)

    async with Client(world.server(), mode="legacy", elicitation_callback=silent) as client:
        found = await client.call_tool("change_apply", {"plan_id": proposal.plan.id})
    assert found.is_error
    assert "nobody answered within 0.05 s" in answer_text(found)
    assert "approval_required" in answer_text(found)
    assert world.cluster.writes == []


async def test_the_nonce_is_in_the_journal_before_anybody_is_asked(world: World) -> None:
    proposal = await world.propose()
    found: list[bool] = []

    class Looking(User):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            (row,) = world.open().journal.rows("SELECT nonce, answer FROM questions")
            found.append(row[0] in params.message and row[1] is None)
            return await super().__call__(context, params)

    await verified(world, await applied(world.server(), proposal.plan.id, Looking("yes"), "legacy"))
    assert found == [True]


# What the stateless protocol lets a caller do


@asynccontextmanager
async def rounds(world: World, proposal: Proposal, answer: Answer = "yes") -> AsyncGenerator[Rounds]:
    user = User(answer)
    async with Client(world.server(), elicitation_callback=user) as client:
        yield Rounds(client, proposal.plan.id, user)


async def test_the_same_answer_sent_twice_is_refused(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        await made.ask()
        first = await made.answer()
        assert isinstance(first, CallToolResult)
        await verified(world, first)
        put_back(world)
        again = await made.answer()
    assert isinstance(again, CallToolResult)
    assert again.is_error
    assert "answered already" in answer_text(again)
    assert len(world.cluster.writes) == 1
    assert refusals(world) == ["replayed"]


async def test_of_two_answers_at_once_one_is_taken(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        await made.ask()
        found = await asyncio.gather(made.answer(), made.answer())
    assert sorted(one.is_error for one in found if isinstance(one, CallToolResult)) == [False, True]
    await world.envelope.join(proposal.plan.id)
    assert len(world.cluster.writes) == 1


async def test_a_no_cannot_be_turned_into_a_yes(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal, "decline") as made:
        await made.ask()
        await made.answer()
        made.user.answer = "yes"
        again = await made.answer()
    assert isinstance(again, CallToolResult)
    assert again.is_error
    assert world.cluster.writes == []
    assert refusals(world) == ["denied", "replayed"]


async def test_an_answer_that_comes_late_is_refused(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        await made.ask()
        await world.clock.advance(ASK_S)
        late = await made.answer()
    assert isinstance(late, CallToolResult)
    assert "the answer came 0 s after" in answer_text(late)
    assert world.cluster.writes == []
    assert refusals(world) == ["expired"]


async def test_an_answer_about_a_preview_that_is_no_longer_true_is_refused(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        shown = await made.ask()
        chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
        chat["spec"]["template"]["spec"]["containers"][1]["args"][2:] = ["--max-num-seqs", "2"]
        world.cluster.put(chat)
        found = await made.answer()
        assert isinstance(found, CallToolResult)
        assert "what was shown is the preview" in answer_text(found)
        assert world.cluster.writes == []
        assert refusals(world) == ["other_preview"]
        anew = await made.ask()
        assert anew.input_requests != shown.input_requests
        last = await made.answer()
    assert isinstance(last, CallToolResult)
    await verified(world, last)


async def test_an_answer_to_a_question_that_was_asked_anew_is_none(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        older = await made.ask()
        newer = await made.ask()
        assert older.input_requests != newer.input_requests
        made.first = older
        found = await made.answer()
    assert isinstance(found, InputRequiredResult), "the older question was answered"
    assert found.input_requests == newer.input_requests
    assert world.cluster.writes == []


@pytest.mark.parametrize("state", [None, "", "v1.AAAA", "{}"])
async def test_an_answer_without_the_state_that_was_given_out_is_none(world: World, state: str | None) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        await made.ask()
        if state:
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await made.answer(request_state=state)
        else:
            try:
                found = await made.answer(request_state=state)
                assert isinstance(found, InputRequiredResult)
            except MCPError as error:
                assert "requestState" in str(error)  # noqa: PT017 (an empty text is refused, none at all asks anew)
    assert world.cluster.writes == []


async def test_an_answer_counts_for_the_principal_who_was_asked(world: World) -> None:
    proposal = await world.propose()
    question = await world.envelope.question(proposal.plan.id, Asker("token:ide", can_be_asked=True, again=False))
    assert isinstance(question, Question)
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.question(proposal.plan.id, Asker("token:other", can_be_asked=True, again=True))
    assert caught.value.reason == "replayed"
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id, Reply("yes", "token:other", question.key))
    assert caught.value.reason == "replayed"
    assert world.cluster.writes == []
    change = await world.envelope.apply(proposal.plan.id, Reply("yes", "token:ide", question.key))
    assert await world.settle(change.change_id) == "verified"


async def test_an_answer_to_one_plan_is_none_to_another(world: World) -> None:
    proposal, other = await world.propose(), await world.propose(scale())
    asker = Asker("token:ide", can_be_asked=True, again=False)
    question = await world.envelope.question(proposal.plan.id, asker)
    assert isinstance(question, Question)
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(other.plan.id, Reply("yes", "token:ide", question.key))
    assert caught.value.reason == "other_plan"
    assert world.cluster.writes == []


# Who is not asked


async def not_asked(world: World, proposal: Proposal, why: str) -> None:
    user = User("yes")
    found = await applied(world.server(), proposal.plan.id, user)
    assert found.is_error
    assert why in answer_text(found)
    assert "approval_required" in answer_text(found)
    assert user.asked == []
    assert world.cluster.writes == []


async def test_a_dangerous_plan_is_asked_only_where_the_policy_says_so(world: World) -> None:
    proposal = await world.propose(scale(replicas=0))
    assert proposal.preview.risk == "dangerous"
    await not_asked(world, proposal, "the policy lets no client answer for a plan of the class dangerous")
    (world.state / "policy.toml").write_text("[approvals.dangerous]\nhost = true\n")
    await verified(world, await applied(world.server(), proposal.plan.id, User("yes")))


async def test_a_plan_that_is_too_long_to_be_shown_whole_is_for_a_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = await world.propose()
    length = len(question_text(proposal.plan, proposal.preview, proposal.preview_sha256, "0" * 32))
    monkeypatch.setattr(consent, "ASK_CHARACTERS", length - 1)
    await not_asked(world, proposal, f"the plan's text has {length} characters")
    monkeypatch.setattr(consent, "ASK_CHARACTERS", length)
    await verified(world, await applied(world.server(), proposal.plan.id, User("yes")))


async def test_nobody_is_asked_what_policy_wants_two_signatures_for(world: World) -> None:
    (world.state / "policy.toml").write_text("[approvals.change]\npeople = 2\n")
    await not_asked(world, await world.propose(), "needs the signatures of 2 people")


async def test_nobody_is_asked_what_was_signed(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    user = User("yes")
    change = await verified(world, await applied(world.server(), proposal.plan.id, user))
    assert change["approval"]["approver"] == "alice"
    assert user.asked == []


async def test_nobody_is_asked_while_changes_are_frozen(world: World) -> None:
    proposal = await world.propose()
    (world.state / "policy.toml").write_text('frozen = "sale"\n')
    user = User("yes")
    assert "frozen: sale" in answer_text(await applied(world.server(), proposal.plan.id, user))
    assert user.asked == []


async def test_a_freeze_between_question_and_answer_stops_the_change(world: World) -> None:
    proposal = await world.propose()
    async with rounds(world, proposal) as made:
        await made.ask()
        (world.state / "policy.toml").write_text('frozen = "sale"\n')
        found = await made.answer()
    assert isinstance(found, CallToolResult)
    assert "frozen: sale" in answer_text(found)
    assert world.cluster.writes == []


@pytest.mark.parametrize(
    ("capability", "asked"),
    [
        (ElicitationCapability(), True),
        (ElicitationCapability(form=FormElicitationCapability()), True),
        (ElicitationCapability(url=UrlElicitationCapability()), False),
        (None, False),
    ],
)
def test_a_client_is_asked_if_it_shows_forms(capability: ElicitationCapability | None, asked: bool) -> None:  # noqa: FBT001 (a parameter)
    assert can_be_asked(ClientCapabilities(elicitation=capability)) is asked


# The text


async def test_the_text_is_whole_the_same_each_time_and_shows_hidden_characters(world: World) -> None:
    title = "fine\x1b[1A\u202etitle"
    proposal = await world.propose(set_flags({"--chat-template": "end[bold]\u200b"}), title=title)
    texts = {question_text(proposal.plan, proposal.preview, proposal.preview_sha256, "0" * 32) for _ in range(3)}
    (text,) = texts
    assert "fine\\u{1b}[1A\\u{202e}title" in text
    assert "end[bold]\\u{200b}" in text
    assert not {"\x1b", "\u202e", "\u200b"} & set(text)
    assert f"risk: {proposal.preview.risk}" in text
    for part in ("3 of 3 pods restart", "op1: set_args", "undone by", "+        - ", "0" * 32):
        assert part in text


async def test_texts_of_questions_that_are_over_are_not_kept(world: World) -> None:
    asker = Asker("token:ide", can_be_asked=True, again=False)
    first, second = await world.propose(), await world.propose(set_blocks("128"))
    await world.envelope.question(first.plan.id, asker)
    await world.clock.advance(ASK_S + 1)
    await world.envelope.question(second.plan.id, asker)
    questions = Questions(world.envelope.journal)
    over, open_one = questions.newest(first.plan.id, "token:ide"), questions.newest(second.plan.id, "token:ide")
    assert over is not None
    assert open_one is not None
    assert (over.text, open_one.text != "") == ("", True)


# Every way in


@asynccontextmanager
async def over_http(server: MCPServer) -> AsyncGenerator[str]:
    app = build_app(server, Listen("127.0.0.1", 0))
    http = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(http.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            http.should_exit = True
            await serving


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("mounted", [False, True], ids=["changes", "all"])
async def test_over_http_and_mounted_with_others_the_user_is_asked_too(world: World, era: Era, mounted: bool) -> None:  # noqa: FBT001 (a parameter)
    proposal = await world.propose()
    server = world.server()
    if mounted:
        server = mount("all", [server], settings=ServerSettings(world.state), evidence=EvidenceStore(world.state))
    async with over_http(server) as url:
        denied = User("decline")
        assert (await applied(url, proposal.plan.id, denied, era)).is_error
        assert world.cluster.writes == []
        user = User("yes")
        await verified(world, await applied(url, proposal.plan.id, user, era))
    assert (len(denied.asked), len(user.asked)) == (1, 1)
