"""`--as git`: a commit on a new branch, and nothing else touched."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from git_desk import GitDesk, op
from midwatch_contracts.command import CommandError
from midwatch_mcp.safe_apply.audit_log import audit_path, entries

CHAT = """\
# Chat: the engine
apiVersion: apps/v1
kind: Deployment
metadata:
  name: chat   # do not rename
  namespace: llm
spec:
  replicas: 2      # two is enough
  template:
    spec:
      containers:
        - name: engine
          image: "vllm/vllm-openai:v0.10.0"
          env:
            - {name: HF_TOKEN, value: canary-1}
            - {name: LEVEL, value: info}
          args: [--model=x, --api-key=canary-2, --max-num-seqs=256]
"""
OTHER = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other, namespace: llm}\nspec: {replicas: 1}\n"


@pytest.fixture
def desk(tmp_path: Path) -> GitDesk:
    return GitDesk(tmp_path)


def told(desk: GitDesk) -> list[str]:
    path = audit_path(desk.settings.state)
    return [f"{entry.kind} {entry.body.get('reason', '')}".strip() for entry in entries(path)] if path.exists() else []


def test_the_commit_changes_the_one_value_and_nothing_else_is_touched(
    desk: GitDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    base = desk.commit({"apps/chat.yaml": f"{OTHER}---\n{CHAT}", "README.md": "x\n"})
    desk.write({"README.md": "not committed\n", "apps/new.yaml": CHAT})
    before = desk.surroundings()
    assert desk.propose(op("scale", replicas=4), words=("--json",)) == 0
    said = json.loads(capsys.readouterr().out)
    assert desk.surroundings() == before
    assert desk.proposed("apps/chat.yaml") == f"{OTHER}---\n{CHAT}".replace("replicas: 2 ", "replicas: 4 ")
    assert said["git"]["branch"] == desk.branch() == f"midwatch/{said['plan_id'][:12]}"
    assert said["git"]["base"] == base == desk.git("rev-parse", f"{said['git']['commit']}^").strip()
    assert desk.git("diff", "--stat", "main", desk.branch()).endswith("1 file changed, 1 insertion(+), 1 deletion(-)\n")
    message = desk.git("log", "-1", "--format=%an <%ae>%n%B", desk.branch())
    assert message.startswith("Ann <ann@example.org>\nA change\n")
    assert f"Midwatch-Plan: {said['plan_id']}" in message
    assert told(desk) == ["proposed"]
    assert f"git revert {said['git']['commit']}" in said["body"]
    assert "-  replicas: 2\n+  replicas: 4\n" in said["body"]


def test_list_and_show_tell_it_and_nobody_approves_or_applies_it(
    desk: GitDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.commit({"chat.yaml": CHAT})
    desk.propose(op("scale", replicas=4), words=("--json",))
    plan = json.loads(capsys.readouterr().out)["plan_id"]
    assert desk.run("list") == 0
    assert "in git                proposed" in capsys.readouterr().out
    assert desk.run("show", plan) == 0
    shown = capsys.readouterr().out
    assert f"on branch midwatch/{plan[:12]}" in shown
    assert "git.edit of chat.yaml in " in shown
    assert "Changes in Git, preview" in shown
    for verb in ("approve", "preview"):
        with pytest.raises(CommandError, match="approved by merging the branch") as caught:
            desk.run(verb, plan)
        assert caught.value.code == 2
    with pytest.raises(CommandError, match="approved by merging the branch"):
        desk.run("apply", plan)


def test_the_plan_holds_both_contents_and_the_way_back(desk: GitDesk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.commit({"chat.yaml": CHAT})
    desk.propose(op("scale", replicas=4), words=("--json",))
    desk.run("show", json.loads(capsys.readouterr().out)["plan_id"], "--json")
    (one,) = json.loads(capsys.readouterr().out)["plan"]["operations"]
    assert one["target"] == {"git": {"repo": str(desk.repo), "path": "chat.yaml"}}
    assert desk.git("cat-file", "blob", one["args"]["before"]) == CHAT
    assert desk.git("cat-file", "blob", one["args"]["after"]) == desk.proposed("chat.yaml")
    assert (one["undo"]["args"]["before"], one["undo"]["args"]["after"]) == (
        one["args"]["after"],
        one["args"]["before"],
    )


def test_the_same_draft_again_is_the_same_commit(desk: GitDesk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.commit({"chat.yaml": CHAT})
    desk.propose(op("scale", replicas=4), words=("--json",))
    first = json.loads(capsys.readouterr().out)["git"]
    desk.propose(op("scale", replicas=4), words=("--json",))
    again = json.loads(capsys.readouterr().out)["git"]
    assert again == {**first, "new": False}
    with pytest.raises(CommandError, match="with another content"):
        desk.propose(op("scale", replicas=5), words=("--branch", first["branch"]))


def test_credentials_are_in_no_text(desk: GitDesk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.commit({"chat.yaml": CHAT})
    body = desk.folder / "body.md"
    operation = op("set_env", container="engine", env={"LEVEL": "debug"})
    assert desk.propose(operation, words=("--body", str(body))) == 0
    out, err = capsys.readouterr()
    journal = (desk.settings.state / "changes.sqlite").read_bytes() + audit_path(desk.settings.state).read_bytes()
    assert "+          value: debug" in body.read_text()
    assert out.split() == [out.split()[0], desk.branch(), desk.git("rev-parse", desk.branch()).strip()]
    message = desk.git("log", "-1", "--format=%B", desk.branch())
    assert "canary" not in out + err + body.read_text() + message + journal.decode(errors="replace")
    assert "canary-1" in desk.proposed("chat.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "says", "code"),
    [
        (op("drain", "Node", obj="n1", namespace=""), "drain has no meaning in Git: it acts on what runs", 4),
        (op("exec", "Pod", argv=["ls"]), "exec has no meaning in Git", 4),
        (op("rollout_undo", to_revision=0), "git revert", 4),
        (op("delete"), "remove the manifest from the repository yourself", 4),
        (
            {"op": "serving.drain", "target": {"serving": "Pod/llm/x"}, "args": {"draining": True}},
            "no meaning in Git",
            4,
        ),
        (op("scale", replicas=2), "Git says that already", 2),
        (op("scale", replicas=-1), "arguments of scale do not fit", 2),
        (op("scale", obj="none", replicas=3), "no manifest of Deployment llm/none is in the repository", 2),
        (op("scale", namespace="elsewhere", replicas=3), "no manifest of Deployment elsewhere/chat", 2),
        (op("scale", namespace="kube-system", replicas=3, obj="dns"), "does not allow changes in the namespace", 4),
        (op("patch", type="merge", patch={"status": {"replicas": 1}}), "the server itself sets", 4),
        (op("patch", type="json", patch=[{"op": "remove", "path": "/spec/none"}]), "does not fit", 2),
        (op("patch", type="merge", patch={"spec": {"template": {"spec": {"hostNetwork": True}}}}), "hostNetwork", 4),
        (op("set_env", container="engine", env={"API_TOKEN": "x"}), "secret", 2),
        (op("set_image", obj="odd", images={"engine": "x:1"}), "not of the form that its kind has", 2),
    ],
)
def test_what_cannot_be_done_in_git_is_refused_with_the_reason_and_leaves_nothing(
    desk: GitDesk, operation: dict[str, Any], says: str, code: int
) -> None:
    dns = CHAT.replace("name: chat ", "name: dns ").replace("namespace: llm", "namespace: kube-system")
    odd = OTHER.replace("other", "odd").replace("{replicas: 1}", "{template: [1]}")
    desk.commit({"chat.yaml": CHAT, "dns.yaml": dns, "odd.yaml": odd})
    before = desk.surroundings()
    with pytest.raises(CommandError, match=says) as caught:
        desk.propose(operation)
    assert caught.value.code == code
    assert desk.branches() == ["main"]
    assert desk.surroundings() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "words", "says"),
    [
        ({"a.yaml": CHAT, "b.yaml": CHAT}, (), "stands at 2 places: choose with --path: a.yaml, b.yaml"),
        ({"a.yaml": CHAT}, ("--path", "../x"), "leads out of the repository"),
        ({"a.yaml": CHAT}, ("--path", "/etc"), "leads out of the repository"),
        ({"a.yaml": CHAT}, ("--path", "b.yaml"), "no manifest of Deployment llm/chat is below b.yaml"),
        ({"a.yaml": CHAT}, ("--base=--output=x",), "no commit"),
        ({"a.yaml": CHAT}, ("--branch=-f",), "no name for a new branch"),
        ({"a.yaml": CHAT}, ("--branch", "a..b"), "no name for a branch"),
        ({"a.yaml": CHAT}, ("--branch", "main"), "no name for a new branch"),
        ({"a.yaml": CHAT}, ("--branch", "main/x"), "update-ref failed"),
        ({"a.yaml": CHAT}, ("--author", "Ann"), "is not of the form"),
        ({"a.yaml": CHAT + "a: [\n"}, (), "a.yaml is no YAML"),
        ({"a.yaml": CHAT + "kind: Deployment\n"}, (), "a.yaml:18: the key 'kind' stands twice"),
        ({"a.yaml": CHAT.replace("replicas: 2", "replicas: {{ .Values.n }}")}, (), "template.+--values FILE"),
        ({"a.yaml": CHAT.encode() + b"# \xff\n"}, (), "not UTF-8"),
        ({"a.yaml": CHAT + "# " + "x" * 4_000_000}, (), "at most 4000000 are read"),
    ],
)  # fmt: skip
def test_what_cannot_be_found_or_read_is_refused_and_leaves_nothing(
    desk: GitDesk, files: dict[str, str | bytes], words: tuple[str, ...], says: str
) -> None:
    desk.commit(files)
    before = desk.surroundings()
    with pytest.raises(CommandError, match=says) as caught:
        desk.propose(op("scale", replicas=4), words=words)
    assert caught.value.code == 2
    assert desk.branches() == ["main"]
    assert desk.surroundings() == before


def test_links_and_submodules_are_not_followed(desk: GitDesk, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(CHAT)
    (desk.repo / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    commit = desk.commit({"a.txt": "x"})
    desk.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    desk.git("commit", "-q", "-m", "module")
    for path, says in (("link.yaml", "symbolic link"), ("module/chat.yaml", "submodule")):
        with pytest.raises(CommandError, match=says):
            desk.propose(op("scale", replicas=4), words=("--path", path))
    with pytest.raises(CommandError, match="no manifest"):
        desk.propose(op("scale", replicas=4))


def test_nothing_that_a_repository_configures_is_run(
    desk: GitDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    trap.chmod(0o755)
    desk.commit({"chat.yaml": CHAT, ".gitattributes": "*.yaml filter=trap diff=trap\n"})
    for name in ("filter.trap.clean", "filter.trap.smudge", "diff.trap.textconv", "core.fsmonitor", "gpg.program"):
        desk.git("config", name, str(trap))
    for name, value in (("commit.gpgSign", "true"), ("core.pager", str(trap)), ("diff.external", str(trap))):
        desk.git("config", name, value)
    for hook in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-checkout"):
        os.link(trap, desk.repo / ".git" / "hooks" / hook)
    assert desk.propose(op("scale", replicas=4)) == 0
    assert not ran.exists()
    assert (
        "hooks were not run (a repository's own programs never are): pre-commit, commit-msg" in capsys.readouterr().err
    )
    assert desk.proposed("chat.yaml") == CHAT.replace("replicas: 2 ", "replicas: 4 ")


def test_the_content_is_that_of_git_whatever_line_ends_a_checkout_has(
    desk: GitDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = CHAT.replace("\n", "\r\n")
    desk.commit({"crlf.yaml": kept.replace("chat", "bye"), "lf.yaml": CHAT})
    desk.git("config", "core.autocrlf", "true")
    desk.write({"lf.yaml": CHAT.replace("\n", "\r\n")})
    assert desk.propose(op("scale", replicas=4), op("scale", obj="bye", replicas=4)) == 0
    both = desk.repo / ".git"
    assert both.is_dir()
    assert desk.git("diff", "--numstat", "main", desk.branch()) == "1\t1\tcrlf.yaml\n1\t1\tlf.yaml\n"
    assert "uncommitted" not in capsys.readouterr().err.replace("what is not committed", "")


def test_uncommitted_changes_of_the_file_are_said(desk: GitDesk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.commit({"chat.yaml": CHAT})
    desk.write({"chat.yaml": CHAT + "# mine\n"})
    assert desk.propose(op("scale", replicas=4)) == 0
    assert "uncommitted changes are left out, of files that this changes: chat.yaml" in capsys.readouterr().err


def test_a_commit_has_somebody_behind_it(desk: GitDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.commit({"chat.yaml": CHAT})
    desk.git("config", "--unset", "user.name")
    desk.git("config", "--unset", "user.email")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="Git does not know whose commit this is"):
        desk.propose(op("scale", replicas=4))
    assert desk.branches() == ["main"]
    assert desk.propose(op("scale", replicas=4), words=("--author", "Bo <bo@example.org>")) == 0
    assert desk.git("log", "-1", "--format=%an %ae %cn", desk.branch()) == "Bo bo@example.org Bo\n"


def test_a_title_is_words_in_the_text_and_a_line_in_the_commit(
    desk: GitDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.commit({"chat.yaml": CHAT})
    title = "--amend [x](http://evil)\n```\n# @all " + "y" * 100
    assert desk.propose(op("annotate", annotations={"a": "``` \n# no"}), title=title) == 0
    body = capsys.readouterr().out
    assert body.startswith("# --amend \\[x\\](http://evil)\\\\n\\`\\`\\`\\\\n\\# \\@all yyy")
    assert "````diff\n" in body
    subject = desk.git("log", "-1", "--format=%s", desk.branch())
    assert subject.startswith("--amend [x](http://evil)\\n```")
    assert len(subject) <= 73


def test_lists_json_and_namespaces_that_a_deployer_gives_are_found(desk: GitDesk) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chat"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "chat"}, "spec": {"replicas": 2}},
    ]}  # fmt: skip
    text = json.dumps(listed, indent=2)
    desk.commit({"all.json": text, "other.yaml": CHAT.replace("namespace: llm", "namespace: test")})
    assert desk.propose(op("scale", replicas=4)) == 0
    assert desk.proposed("all.json") == text.replace('"replicas": 2', '"replicas": 4')


def test_the_options_of_git_are_for_git(desk: GitDesk) -> None:
    draft = desk.folder / "draft.yaml"
    draft.write_text("title: x\n")
    with pytest.raises(CommandError, match="--repo is for --as git"):
        desk.run("propose", str(draft), "--repo", "x")
    desk.repo = desk.folder
    with pytest.raises(CommandError, match="not in the working tree of a Git repository"):
        desk.propose(op("scale", replicas=4))
