import getpass
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from midwatch_contracts.command import CommandError
from midwatch_mcp import commands
from midwatch_mcp.safe_apply import approving, plans_cli
from midwatch_mcp.safe_apply.approvals import approval_folder
from midwatch_mcp.safe_apply.audit_log import audit_path, entries
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import EXPECT, deployment, scale, set_blocks, set_flags
from midwatch_mcp.safe_apply.keys import key_folder, new_key
from midwatch_mcp.safe_apply.opening import OpenEnvelope
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.policy_file import load
from safe_apply_desk import Desk, Terminal


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
    assert desk.run(commands.policy, "check") == 2
    assert "policy.toml:1: max_objects: there is no such field; write it under [limits]" in capsys.readouterr().out
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


def test_a_key_that_was_taken_back_signs_nothing_more_and_its_name_is_free(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert desk.run(commands.change, "approve", proposal.plan.id) == 0
    capsys.readouterr()
    assert desk.run(commands.keys, "revoke", "alice", "--json") == 0
    assert Path(json.loads(capsys.readouterr().out)["private_key"]).stat().st_mode & 0o077 == 0
    with pytest.raises(RefusedChangeError, match="alice is no approver here"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert desk.run(commands.keys, "new", "alice") == 0
    with pytest.raises(RefusedChangeError, match="does not carry that principal's signature"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert desk.world.cluster.writes == []
    told = [entry for entry in entries(audit_path(desk.state)) if entry.kind.startswith("key_")]
    assert [(entry.kind, entry.body["name"]) for entry in told] == [("key_revoked", "alice"), ("key_made", "alice")]
    with pytest.raises(CommandError, match="mallory is no approver"):
        desk.run(commands.keys, "revoke", "mallory")


def test_a_key_with_a_passphrase_signs_for_whoever_knows_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["secret", "secret", "wrong", "secret"])

    def getpass_(prompt: str) -> str:
        assert prompt
        return next(said)

    monkeypatch.setattr(getpass, "getpass", getpass_)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert desk.run(commands.keys, "new", "dora", "--passphrase") == 0
    proposal = desk.propose()
    with pytest.raises(CommandError, match="the passphrase is wrong"):
        desk.run(commands.change, "approve", proposal.plan.id, "--key", "dora")
    assert desk.run(commands.change, "approve", proposal.plan.id, "--key", "dora") == 0
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert change.approval.approver == "dora"


def test_the_command_says_who_approved_and_how_many_must_still(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk.state / "policy.toml").write_text("[approvals.change]\npeople = 2\n")
    new_key(desk.state, "bob")
    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Terminal("y\ny\n"))
    assert desk.run(commands.change, "approve", proposal.plan.id, "--key", "bob", "--json") == 0
    out, err = capsys.readouterr()
    assert "approved so far by nobody; 2 must approve" in err
    told = json.loads(out)
    assert (told["approvers"], told["needed"], told["missing"]) == (["bob"], 2, 1)
    assert told["why"].endswith("; 1 more must approve")
    with pytest.raises(RefusedChangeError, match="bob approved, so 1 must still sign"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert desk.run(commands.change, "approve", proposal.plan.id, "--key", "alice", "--json") == 0
    out, err = capsys.readouterr()
    assert "approved so far by bob; 2 must approve" in err
    assert json.loads(out)["missing"] == 0
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert {one.approver for one in (change.approval, *change.further)} == {"alice", "bob"}


def test_control_c_at_the_question_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Terminal):
        def readline(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt(size)

    proposal = desk.propose()
    monkeypatch.setattr(sys, "stdin", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        desk.run(commands.change, "approve", proposal.plan.id)
    assert list(approval_folder(desk.state).glob("*")) == []
    assert desk.world.envelope.changes() == []


@pytest.mark.parametrize("how", ["beside", "touched"])
def test_a_preview_that_is_out_of_date_is_made_again_and_what_differs_is_said(
    desk: Desk, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = desk.propose()

    def here(_settings: Any, *, allow_write: bool) -> OpenEnvelope:
        assert not allow_write
        return cast("OpenEnvelope", Here(desk.world.open(allow_write=False)))

    monkeypatch.setattr(approving, "open_envelope", here)
    chat = desk.world.cluster.objects_by_entity["Deployment/llm/chat"]
    args = chat["spec"]["template"]["spec"]["containers"][1]["args"]
    args[1 if how == "touched" else 3] = "--num-gpu-blocks-override=99" if how == "touched" else "2"
    desk.world.cluster.put(chat)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    if how == "touched":
        with pytest.raises(CommandError, match="propose the change again"):
            desk.run(commands.change, "approve", proposal.plan.id)
        return
    assert desk.run(commands.change, "approve", proposal.plan.id, "--json") == 0
    out, err = capsys.readouterr()
    said = err[: err.index("Plan " + proposal.plan.id)]
    assert "The preview is not what it was" in said
    assert "-         - '4'" in said
    assert "+         - '2'" in said
    assert json.loads(out)["preview_sha256"] != proposal.preview_sha256
    change = desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id))
    assert change.state in ("applied", "verifying", "verified")


def test_the_key_of_a_lab_can_be_taken_back(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    settings = desk.start_lab(desk.world.cluster.uid)
    proposal = desk.propose()
    with pytest.raises(CommandError, match="no lab is running"):
        desk.run(commands.keys, "revoke", "lab")
    assert desk.run(commands.change, "approve", proposal.plan.id, "--yes", settings=settings) == 0
    assert desk.run(commands.keys, "revoke", "lab", settings=settings) == 0
    assert "a lab that is started anew has another key" in capsys.readouterr().out
    with pytest.raises(RefusedChangeError, match="lab is no approver here"):
        desk.on_envelope(lambda envelope: envelope.apply(proposal.plan.id), lab=desk.lab)
    with pytest.raises(CommandError, match="the key of this lab was revoked"):
        desk.run(commands.change, "approve", proposal.plan.id, "--yes", settings=settings)
    with pytest.raises(CommandError, match="lab is no approver here"):
        desk.run(commands.keys, "revoke", "lab", settings=settings)
    capsys.readouterr()
    assert desk.run(commands.keys, "new", "bob", settings=settings) == 0
    assert desk.run(commands.keys, "list", "--json", settings=settings) == 0
    out = capsys.readouterr().out
    assert '"alice"' in out
    assert '"lab"' not in out


def test_an_approver_is_revoked_also_where_the_files_of_a_lab_are_broken(desk: Desk) -> None:
    settings = desk.start_lab(desk.world.cluster.uid)
    (desk.lab / "lab.pub").write_text("no key")
    assert desk.run(commands.keys, "revoke", "alice", settings=settings) == 0


def test_a_plan_of_the_command_line_is_told_with_the_user_who_drafted_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(_settings: Any, *, allow_write: bool) -> OpenEnvelope:
        return cast("OpenEnvelope", Here(desk.world.open(allow_write=allow_write)))

    monkeypatch.setattr(plans_cli, "open_envelope", here)
    draft = tmp_path / "draft.yaml"
    draft.write_text(yaml.safe_dump({"title": "Scale", "operations": [scale()], "expect": [EXPECT]}))
    assert desk.run(commands.change, "propose", str(draft)) == 0
    told = [entry.body["principal"] for entry in entries(audit_path(desk.state)) if entry.kind == "proposed"]
    assert told == [f"uid:{os.getuid()}"]
    ((who,),) = desk.world.envelope.journal.rows("SELECT principal FROM proposers")
    assert who == told[0]


@dataclass
class Here:
    """An open envelope without a cluster of its own."""

    envelope: Envelope

    async def aclose(self) -> None:
        await self.envelope.aclose()
