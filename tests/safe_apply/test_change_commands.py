import asyncio
import io
import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import Command, CommandError, Settings
from midwatch_mcp import commands
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, deployment, set_blocks, set_flags
from midwatch_mcp.safe_apply.keys import key_folder, new_key
from midwatch_mcp.safe_apply.policy import Policy, load


class Desk:
    """A state folder with a proposed plan, and the command line over it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.lab = folder / "lab"
        self.world = World(self.state)
        self.settings = Settings(state=self.state)

    def propose(self, *operations: dict[str, Any], **changed: Any) -> Proposal:
        return asyncio.run(self.world.propose(*operations, **changed))

    def run(self, command: Command, *words: str, settings: Settings | None = None) -> int:
        parser = ArgumentParser()
        command.configure(parser)
        return command.run(parser.parse_args(words), settings or self.settings)

    def on_envelope(self, use: Callable[[Envelope], Any], *, lab: Path | None = None) -> Any:
        """Use an envelope of another process, on the clock that the command line writes its dates by."""

        async def run() -> Any:
            envelope = Envelope(
                state=self.state,
                api=self.world.cluster,
                reader=self.world.metrics,
                clock=WallClock(),
                lab=lab,
                allow_write=True,
            )
            try:
                return await use(envelope)
            finally:
                await envelope.aclose()

        return asyncio.run(run())

    def start_lab(self, cluster: str) -> Settings:
        key = Ed25519PrivateKey.generate()
        self.lab.mkdir()
        (self.lab / "lab.json").write_text(json.dumps({"cluster": cluster}))
        (self.lab / "lab.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (self.lab / "lab.key").chmod(0o600)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.lab / "lab.pub").write_bytes(public)
        return Settings(state=self.state, lab=self.lab)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class Terminal(io.StringIO):
    """Standard input as a person's terminal."""

    def isatty(self) -> bool:
        return True


def test_a_person_who_says_yes_approves_and_the_server_accepts_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal("what?\ny\n"))
    assert desk.run(commands.change, "approve", proposal.plan.id[:10], "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["approved"] is True
    assert "+        - --num-gpu-blocks-override=256" in err
    assert err.count("[y/n]") == 2
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert change.approval.approver == "alice"
    assert len(desk.world.cluster.writes) == 1


@pytest.mark.parametrize("answer", ["n\n", "", "no\n"])
def test_a_person_who_does_not_say_yes_leaves_nothing_approved(
    desk: Desk, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert desk.run(commands.change, "approve", proposal.plan.id) == 4
    with pytest.raises(RefusedChangeError, match="no approval"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert desk.world.cluster.writes == []


def test_a_denial_takes_back_an_earlier_approval(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert desk.run(commands.change, "approve", proposal.plan.id) == 0
    assert desk.run(commands.change, "approve", proposal.plan.id, "--deny") == 4
    with pytest.raises(RefusedChangeError, match="no approval"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    states = [record.change.state for record in desk.world.envelope.changes()]
    assert states == ["rejected"]


def test_without_a_terminal_the_approval_is_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="missing") as caught:
        desk.run(commands.change, "approve", proposal.plan.id)
    assert caught.value.code == 4


def test_yes_signs_on_the_lab_and_nowhere_else(desk: Desk) -> None:
    proposal = desk.propose()
    with pytest.raises(CommandError, match="running lab") as caught:
        desk.run(commands.change, "approve", proposal.plan.id, "--yes")
    assert caught.value.code == 4
    settings = desk.start_lab("another-cluster")
    with pytest.raises(CommandError, match="running lab"):
        desk.run(commands.change, "approve", proposal.plan.id, "--yes", settings=settings)
    (desk.lab / "lab.json").write_text(json.dumps({"cluster": "cluster-1"}))
    assert desk.run(commands.change, "approve", proposal.plan.id, "--yes", settings=settings) == 0
    with pytest.raises(RefusedChangeError, match="no approver"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id), lab=desk.lab)
    assert change.approval.approver == "lab"


def test_the_screen_shows_operations_whole_and_hidden_characters_as_codes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = "x" * 500 + "\u202e\u200bend[bold]\x1b[2K"
    proposal = desk.propose(set_flags({"--chat-template": value}), title="fine\x1b[1A\u202etitle")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    desk.run(commands.change, "approve", proposal.plan.id)
    err = capsys.readouterr().err
    assert "x" * 500 + "\\u{202e}\\u{200b}end[bold]" in err.replace("\\\\", "\\")
    assert "fine\\u{1b}[1A\\u{202e}title" in err
    assert not {"\x1b", "\u202e", "\u200b"} & set(err)


def test_a_credential_in_the_object_is_not_on_the_screen(desk: Desk) -> None:
    value = deployment()
    engine = value["spec"]["template"]["spec"]["containers"][1]
    engine["env"] = [{"name": "HF_TOKEN", "value": "canary-1"}]
    engine["args"] = ["--api-key=canary-2", "--num-gpu-blocks-override=14", "--token", "canary-3"]
    desk.world.cluster.put(value)
    proposal = desk.propose()
    shown = proposal.text + proposal.preview.model_dump_json()
    assert "canary" not in shown
    assert "256" in shown


def test_which_key_signs_must_be_clear(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = desk.propose()
    new_key(desk.state, "bob")
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with pytest.raises(CommandError, match="choose with --key: alice, bob"):
        desk.run(commands.change, "approve", proposal.plan.id)
    assert desk.run(commands.change, "approve", proposal.plan.id, "--key", "bob") == 0
    (key_folder(desk.state) / "bob.key").chmod(0o644)
    with pytest.raises(CommandError, match="others may read"):
        desk.run(commands.change, "approve", proposal.plan.id, "--key", "bob")


def test_list_and_show_tell_plans_and_changes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    done, waiting = desk.propose(), desk.propose(set_blocks("128"))
    desk.run(commands.change, "approve", done.plan.id, "--deny")
    capsys.readouterr()
    assert desk.run(commands.change, "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [plan["plan_id"] for plan in listed["plans"]] == [waiting.plan.id]
    assert [change["state"] for change in listed["changes"]] == ["rejected"]
    assert desk.run(commands.change, "show", waiting.plan.id[:8], "--json") == 0
    assert json.loads(capsys.readouterr().out)["preview_sha256"] == waiting.preview_sha256
    assert desk.run(commands.change, "show", listed["changes"][0]["change_id"]) == 0
    assert "rejected" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no plan") as caught:
        desk.run(commands.change, "show", "0123456789ab")
    assert caught.value.code == 2


def test_freezing_stops_the_next_apply_and_keeps_the_file_as_it_is(desk: Desk) -> None:
    path = desk.state / "policy.toml"
    text = '# ours\nautonomy = 3\n\n[namespaces]\nallow = ["llm"] # one\n'
    path.write_text(text)
    proposal = desk.propose()
    assert desk.run(commands.policy, "freeze", 'the "big" sale') == 0
    assert load(path).frozen == 'the "big" sale'
    with pytest.raises(RefusedChangeError) as caught:
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert caught.value.reason == "frozen"
    assert desk.run(commands.policy, "unfreeze") == 0
    assert path.read_text() == text
    assert load(path) == Policy.model_validate({"namespaces": {"allow": ["llm"]}})


def test_a_policy_that_does_not_fit_allows_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run(commands.policy, "check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["fits"] is True
    (desk.state / "policy.toml").write_text("max_objects = 3\n")
    with pytest.raises(CommandError, match="max_objects") as caught:
        desk.run(commands.policy, "check")
    assert caught.value.code == 2
    with pytest.raises(Exception, match="max_objects"):
        desk.propose()


def test_keys_are_made_and_listed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run(commands.keys, "new", "carol", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert desk.run(commands.keys, "list", "--json", settings=desk.start_lab("cluster-1")) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["approvers"]}
    assert set(listed) == {"alice", "carol", "lab"}
    assert listed["carol"]["public_key"] == made["public_key"]
    assert listed["lab"]["cluster"] == "cluster-1"
    for name in ("carol", "../x", "lab"):
        with pytest.raises(CommandError):
            desk.run(commands.keys, "new", name)


@pytest.mark.parametrize("how", ["byte", "order", "gone"])
def test_the_audit_shows_a_changed_line(desk: Desk, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    desk.propose()
    desk.propose(set_blocks("128"))
    assert desk.run(commands.audit, "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 4
    path = desk.state / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "byte":
        lines[1] = lines[1].replace(b"previewed", b"previewEd", 1)
    elif how == "order":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        del lines[1]
    path.write_bytes(b"".join(lines))
    with pytest.raises(CommandError, match="entry 1") as caught:
        desk.run(commands.audit, "verify")
    assert caught.value.code == 6


def test_a_line_that_a_crash_cut_off_is_no_tampering(desk: Desk) -> None:
    desk.propose()
    path = desk.state / "audit.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"seq": 2, "at"')
    assert desk.run(commands.audit, "verify") == 0
    desk.propose(set_blocks("128"))
    assert desk.run(commands.audit, "verify") == 0
    assert len(path.read_bytes().splitlines()) == 4
    assert path.stat().st_mode & 0o077 == 0
