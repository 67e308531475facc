"""A real Git repository in a folder, and what of it must stay as it was."""

import subprocess
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml

from midwatch_contracts.command import Settings
from midwatch_mcp.commands import change

EXPECT = [{"object": "Deployment/llm/chat", "cel": "object.status.readyReplicas >= 1.0", "within_s": 60, "hold_s": 1}]


def op(
    name: str, kind: str = "Deployment", *, obj: str = "chat", namespace: str = "llm", **args: Any
) -> dict[str, Any]:
    target = {"kind": kind, "name": obj} | ({"namespace": namespace} if namespace else {})
    return {"op": name, "target": target, "args": args}


class GitDesk:
    """`midwatch change propose --as git` on a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.repo.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ann")
        self.git("config", "user.email", "ann@example.org")
        self.settings = Settings(state=folder / "state")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.repo, capture_output=True, text=True, check=True)  # noqa: S607
        return done.stdout

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: dict[str, str | bytes]) -> str:
        self.write(files)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--no-verify", "-m", "before")
        return self.git("rev-parse", "HEAD").strip()

    def run(self, *words: str) -> int:
        parser = ArgumentParser()
        change.configure(parser)
        return change.run(parser.parse_args(words), self.settings)

    def propose(self, *operations: dict[str, Any], words: tuple[str, ...] = (), title: str = "A change") -> int:
        draft = self.folder / "draft.yaml"
        draft.write_text(yaml.safe_dump({"title": title, "operations": list(operations), "expect": EXPECT}))
        return self.run("propose", str(draft), "--as", "git", "--repo", str(self.repo), "--no-cluster", *words)

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def branch(self) -> str:
        """Return the one branch that was proposed."""
        (found,) = [name for name in self.branches() if name != "main"]
        return found

    def proposed(self, path: str) -> str:
        return self.git("show", f"{self.branch()}:{path}")

    def surroundings(self) -> dict[str, Any]:
        """Return what a proposal leaves as it is: files, index, HEAD and its reflog, settings, other branches."""
        git = self.repo / ".git"
        kept = [git / name for name in ("index", "HEAD", "logs/HEAD", "config", "ORIG_HEAD", "COMMIT_EDITMSG")]
        files = [path for path in self.repo.rglob("*") if ".git" not in path.parts and path.is_file()]
        return {str(path): path.read_bytes() for path in [*kept, *files] if path.exists()} | {
            "main": self.git("rev-parse", "main")
        }
