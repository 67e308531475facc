"""`PUT /approvals/{nonce}` beside `/mcp`, and `midwatch change approve --server`, over the real application."""

import json
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError
from midwatch_contracts.plan import Approval
from midwatch_mcp import commands
from midwatch_mcp.call_log import CallLog
from midwatch_mcp.changes.server import HANDLERS
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import Listen
from midwatch_mcp.safe_apply.answering import dump
from midwatch_mcp.safe_apply.approvals import approval_folder, signed_approval
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, set_blocks
from midwatch_mcp.safe_apply.keys import approvers, approvers_path, key_folder, new_key, private_key
from midwatch_mcp.safe_apply.receiving import ApprovalInbox
from midwatch_mcp.safe_apply.remote import RemoteServer, shown
from midwatch_mcp.server import new_server
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.world import served as on_loopback
from midwatch_mcp.tool_server import ToolServer
from safe_apply_desk import Desk, Terminal

pytestmark = pytest.mark.anyio

TOKEN = "a" * 32
HERE = "http://127.0.0.1:8765"


class Room:
    """The changes server's room over an envelope of doubles."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope


def changes_server(settings: ServerSettings, room: Any) -> ToolServer:
    return new_server(
        "changes",
        title="Changes",
        instructions="",
        settings=settings,
        evidence=EvidenceStore(settings.state),
        room=room,
        handlers=HANDLERS,
        allow_write=True,
    )


def application(world: World, server: ToolServer, inbox: ApprovalInbox) -> Starlette:
    tokens = world.state / "tokens"
    tokens.write_text(f"ada {TOKEN}\n", "utf-8")
    tokens.chmod(0o600)
    calls = CallLog(world.state / "mcp-audit.jsonl", "changes")
    return build_app(server, Listen("127.0.0.1", 0, token_file=tokens), inbox=inbox, calls=calls)


@asynccontextmanager
async def served(world: World) -> AsyncGenerator[httpx2.AsyncClient]:
    """Serve the changes server and its inbox of approvals, for one token."""
    settings = ServerSettings(state=world.state)
    app = application(world, changes_server(settings, Room(world.envelope)), ApprovalInbox(settings, world.clock))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=HERE, headers=headers) as client,
    ):
        yield client


async def put(client: httpx2.AsyncClient, approval: Approval, nonce: str = "") -> httpx2.Response:
    return await client.put(f"/approvals/{nonce or approval.nonce}", content=canonical_bytes(approval))


def stored(world: World) -> list[Path]:
    return sorted(approval_folder(world.state).glob("*"))


def signed(world: World, proposal: Proposal, **changed: Any) -> Approval:
    """Return an approval whose changed fields are signed too, as a careless signer would."""
    key = private_key(key_folder(world.state) / "alice.key")
    given: dict[str, Any] = {"approver": "alice", "method": "terminal", "now": world.clock.now()} | changed
    return signed_approval(proposal.plan, proposal.preview_sha256, key=key, **given)


async def test_a_signed_approval_is_stored_privately_noted_and_lets_the_plan_be_applied(world: World) -> None:
    proposal = await world.propose()
    approval = world.approval(proposal)
    async with served(world) as client:
        first, second = await put(client, approval), await put(client, approval)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["plan_id"] == proposal.plan.id
    (file,) = stored(world)
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == (f"{approval.nonce}.json", 0o600)
    assert file.read_bytes() == canonical_bytes(approval)
    log = [json.loads(line) for line in (world.state / "mcp-audit.jsonl").read_text("utf-8").splitlines()]
    assert [(line["principal"], line["method"], line["outcome"]) for line in log] == [
        ("token:ada", "approvals/put", "ok")
    ] * 2
    received = [entry for entry in entries(world.envelope.audit.path) if entry.kind == "received"]
    assert [(entry.run, entry.body["caller"]) for entry in received] == [(proposal.plan.id, "token:ada")]
    await world.envelope.apply(proposal.plan.id)
    assert len(world.cluster.writes) == 1


async def test_other_bytes_under_the_same_nonce_are_a_conflict(world: World) -> None:
    proposal = await world.propose()
    approval = world.approval(proposal)
    other = signed(world, proposal, expires_s=60.0)
    async with served(world) as client:
        await put(client, approval)
        answer = await put(client, other.model_copy(update={"nonce": approval.nonce}))
    assert (answer.status_code, answer.json()["error"]["reason"]) == (409, "conflict")
    assert stored(world)[0].read_bytes() == canonical_bytes(approval)


Change = Callable[[World, Proposal], Approval]
REFUSED: dict[str, tuple[Change, int, str]] = {
    "unsigned": (lambda w, p: w.approval(p).model_copy(update={"signature": None}), 403, "unsigned"),
    "as if by policy": (lambda w, p: w.approval(p, method="policy", attested="policy"), 403, "unsigned"),
    "another signature": (lambda w, p: w.approval(p, signature="AAAA"), 403, "forged"),
    "unknown approver": (lambda w, p: signed(w, p, approver="mallory"), 403, "unknown_approver"),
    "expired": (lambda w, p: signed(w, p, now=w.clock.now() - 901), 403, "expired"),
    "from the future": (lambda w, p: signed(w, p, now=w.clock.now() + 5), 403, "future"),
    "too long": (lambda w, p: signed(w, p, expires_s=10**6), 403, "expired"),
    "unknown plan": (lambda w, p: w.approval(p).model_copy(update={"plan_id": "0" * 64}), 404, "unknown_plan"),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_what_would_not_count_is_not_stored_and_the_answer_says_why(world: World, how: str) -> None:
    make, status, reason = REFUSED[how]
    proposal = await world.propose()
    async with served(world) as client:
        answer = await put(client, make(world, proposal))
    assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)
    assert answer.json()["error"]["message"]
    assert stored(world) == []
    last = list(entries(world.envelope.audit.path))[-1]
    assert (last.kind, last.body["reason"]) == ("refused", reason)
    assert '"decision":"refused"' in (world.state / "mcp-audit.jsonl").read_text("utf-8")


async def test_what_is_no_approval_in_canonical_form_is_refused(world: World) -> None:
    approval = world.approval(await world.propose())
    content = canonical_bytes(approval)
    bodies = [b"", b"[]", b"{", b"\xff\xfe", b" " + content, content.replace(b'"approver"', b'"more":1,"approver"')]
    async with served(world) as client:
        answers = [await client.put(f"/approvals/{approval.nonce}", content=body) for body in bodies]
        answers.append(await put(client, approval, nonce="0" * 32))
        answers.append(await put(client, approval, nonce="..%2f..%2fpolicy"))
        answers.append(await put(client, approval, nonce="A" * 32))
        large = await client.put(f"/approvals/{approval.nonce}", content=b"x" * 8_193)
        wrong = await client.get(f"/approvals/{approval.nonce}")
    assert {answer.status_code for answer in answers} <= {400, 404}
    assert all(answer.status_code == 400 for answer in answers[: len(bodies) + 1])
    assert (large.status_code, wrong.status_code) == (413, 405)
    assert stored(world) == []


async def test_a_used_approval_or_one_from_before_a_denial_is_not_taken_again(desk: Desk) -> None:
    world = desk.world
    proposal = await world.propose()
    approval = world.approval(proposal)
    async with served(world) as client:
        await put(client, approval)
        await world.envelope.apply(proposal.plan.id)
        stored(world)[0].unlink()
        spent = await put(client, approval)
        later = await world.propose(set_blocks("512"))
        denied = world.approval(later)
        await put(client, denied)
        await world.clock.advance(1)
        stored(world)[0].unlink()
        refusal = {"plan_id": later.plan.id, "preview_sha256": later.preview_sha256, "state": "rejected"}
        change = world.envelope.changes()[0].change.model_copy(
            update=refusal | {"change_id": "chg-" + "0" * 16, "approval": None}
        )
        world.envelope.journal.end_before_apply(change, now=world.clock.now())
        again = await put(client, denied)
    assert (spent.status_code, spent.json()["error"]["reason"]) == (409, "replayed")
    assert (again.status_code, again.json()["error"]["reason"]) == (409, "denied")


async def test_strangers_are_refused_as_at_the_server_itself(world: World) -> None:
    approval = world.approval(await world.propose())
    async with served(world) as client:
        path, content = f"/approvals/{approval.nonce}", canonical_bytes(approval)
        answers = [
            await client.put(path, content=content, headers=headers)
            for headers in ({"Authorization": "Bearer " + "b" * 32}, {"Host": "evil"}, {"Origin": "https://evil"})
        ]
    assert [answer.status_code for answer in answers] == [401, 421, 403]
    assert stored(world) == []


async def test_without_an_inbox_there_is_no_such_path(world: World) -> None:
    app = build_app(changes_server(ServerSettings(state=world.state), Room(world.envelope)), Listen("127.0.0.1", 0))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=HERE) as client:
        assert (await put(client, world.approval(await world.propose()))).status_code == 404


class LazyRoom:
    """A room that opens its envelope where it is first asked for: a journal belongs to one thread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._opened: Envelope | None = None

    @property
    def envelope(self) -> Envelope:
        if self._opened is None:
            world = self._desk.world
            self._opened = Envelope(
                state=world.state, api=world.cluster, reader=world.metrics, clock=WallClock(), allow_write=True
            )
        return self._opened


@contextmanager
def listening(desk: Desk) -> Generator[str]:
    """Serve the desk's changes server on loopback, on the clock that the command line writes its dates by."""
    world = desk.world
    settings = ServerSettings(state=world.state)
    server = changes_server(settings, LazyRoom(desk))
    app = application(world, server, ApprovalInbox(settings))
    with on_loopback(app, lifespan="on") as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
def person(tmp_path: Path, desk: Desk) -> Desk:
    """Somebody elsewhere, with a key of their own that the server's list knows, and a token."""
    home = Desk(tmp_path / "home")
    new_key(home.state, "carol")
    (home.state / "keys" / "alice.key").unlink()
    public = approvers(home.state)["carol"].key_text
    with approvers_path(desk.state).open("a", encoding="utf-8") as file:
        file.write(f'[[principal]]\nname = "carol"\npublic_key = "{public}"\n')
    (home.state / "token").write_text(TOKEN, "utf-8")
    (home.state / "token").chmod(0o600)
    return home


def approve(person: Desk, url: str, plan: str, *more: str) -> int:
    words = ["approve", plan, "--server", url, "--server-token-file", str(person.state / "token"), *more]
    return person.run(commands.change, *words)


def test_a_person_elsewhere_sees_the_plan_signs_it_and_the_server_applies_it(
    desk: Desk, person: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with listening(desk) as url:
        assert approve(person, url, proposal.plan.id[:12], "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["approved"] is True
    assert "+        - --num-gpu-blocks-override=256" in err
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert change.approval.approver == "carol"


def test_a_no_sends_nothing_and_a_refusal_of_the_server_is_told(
    desk: Desk, person: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = desk.propose()
    with listening(desk) as url:
        monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
        assert approve(person, url, proposal.plan.id) == 4
        assert stored(desk.world) == []
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
        with pytest.raises(CommandError, match="claims to last") as caught:
            approve(person, url, proposal.plan.id, "--expires", "300h")
        assert caught.value.code == 4
        with pytest.raises(CommandError, match="no plan"):
            approve(person, url, "0" * 64)
        (person.state / "token").write_text("b" * 32, "utf-8")
        with pytest.raises(CommandError, match="mcp") as caught:
            approve(person, url, proposal.plan.id)
        assert caught.value.code == 2
    assert stored(desk.world) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://ops.example.org/mcp", "not https"),
        ("ops.example.org", "is no URL"),
        ("https://ada:pw@ops.example.org", "is no URL"),
    ],
)
def test_a_server_where_the_token_would_pass_in_the_clear_is_not_asked(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        RemoteServer(url)


async def test_a_server_that_shows_another_plan_than_it_has_gets_no_signature(world: World) -> None:
    proposal = await world.propose()
    data = {"plan": dump(proposal.plan), "preview": dump(proposal.preview), "preview_sha256": proposal.preview_sha256}
    assert shown(data, proposal.plan.id[:8])[0] == proposal.plan
    lies = [
        data | {"plan": dump(proposal.plan) | {"title": "Harmless"}},
        data | {"preview": dump(proposal.preview) | {"risk": "read"}},
        data | {"preview_sha256": "0" * 64},
        data | {"plan": None},
    ]
    for lie in lies:
        with pytest.raises(RefusedChangeError, match="is not what it has"):
            shown(lie, proposal.plan.id[:8])
    with pytest.raises(RefusedChangeError, match="is not what it has"):
        shown(data, "0" * 8)
