"""Git as plumbing: objects are read and made, one new branch is created, and nothing else of a repository is touched.

A repository may be somebody else's trap, so nothing that it configures is run: no hooks, no monitors, no filters, no
fetches, no signing programs. Files are read from commits and never from the disk, so that no link leads out; contents
are edited as Git keeps them, so that line ends and encodings of a checkout have no part in it. Names go to Git behind
full refs, in its standard input, or not at all; there is no shell.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midwatch_mcp.safe_apply.errors import GitError

MAX_FILE = 4_000_000
"""Bytes of one file; the largest CRD of kube-prometheus has 800,000."""
_MAX_READ = 256_000_000
_SECONDS = 120
_KEPT_ENVIRONMENT = re.compile(
    r"PATH|HOME|XDG_CONFIG_HOME|TMPDIR|EMAIL|GIT_CONFIG_GLOBAL|GIT_CONFIG_NOSYSTEM|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL|DATE)"
)
_SAFE = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false", "core.splitIndex=false"),
    *("index.sparse=false", "protocol.allow=never", "core.sshCommand=false", "credential.helper=", "core.pager=cat"),
    *(
        "commit.gpgSign=false",
        "user.useConfigOnly=true",
        "i18n.commitEncoding=UTF-8",
        "gc.auto=0",
        "core.alternateRefsCommand=",
    ),
)
_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True)
class Entry:
    """One path of a commit's tree."""

    path: str
    mode: str
    blob: str
    size: int


@dataclass(frozen=True)
class Committed:
    """The commit on its branch; `new` when this call made it."""

    branch: str
    commit: str
    new: bool


class Repository:
    """One repository with a working tree, at one commit."""

    def __init__(self, folder: Path, ref: str = "HEAD") -> None:
        """Open the repository that a folder lies in, at the commit that `ref` names.

        Raises:
            GitError: there is none, or no such commit.
        """
        if not folder.is_dir():
            raise GitError(f"--repo {folder}: there is no such folder")
        self._folder = folder
        try:
            top = self._git("rev-parse", "--show-toplevel", "--show-prefix").decode().split("\n")
        except GitError as error:
            raise GitError(f"--repo {folder} is not in the working tree of a Git repository: {error}") from error
        self.top, self.prefix = Path(top[0]), top[1]
        self._folder = self.top
        try:
            found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except GitError as error:
            raise GitError(f"{self.top} has no commit {ref!r} (is there one yet?)") from error
        self.base = found.decode().strip()
        self.tree = {entry.path: entry for entry in self._tree()}

    # Reading

    def _tree(self) -> list[Entry]:
        listed = self._git("ls-tree", "-r", "-z", "-l", "--full-tree", self.base)
        found: list[Entry] = []
        for line in filter(None, listed.split(b"\0")):
            head, _, name = line.partition(b"\t")
            mode, _, blob, size = head.decode().split()
            found.append(Entry(os.fsdecode(name), mode, blob, int(size) if size.isdecimal() else 0))
        return found

    def relative(self, path: str) -> str:
        """Return a path as the repository's trees have it; it is written as seen from --repo, or in full.

        Raises:
            GitError: it leads out of the repository, through a link, or into a submodule.
        """
        joined = Path(path) if Path(path).is_absolute() else self.top / self.prefix / path
        normal = Path(os.path.normpath(joined))
        if not normal.is_relative_to(self.top):
            raise GitError(f"{path} leads out of the repository {self.top}")
        name = normal.relative_to(self.top).as_posix()
        for above in [name, *(parent.as_posix() for parent in Path(name).parents)]:
            entry = self.tree.get(above)
            if entry is not None and entry.mode == _LINK:
                raise GitError(f"{path}: {above} is a symbolic link, which is not followed: name what it points to")
            if entry is not None and entry.mode == _SUBMODULE:
                raise GitError(f"{path}: {above} is a submodule, a repository of its own: give that one as --repo")
        return "" if name == "." else name

    def file(self, path: str) -> Entry:
        """Return one regular file.

        Raises:
            GitError: there is none of that name.
        """
        entry = self.tree.get(path)
        if entry is None or entry.mode in (_LINK, _SUBMODULE):
            raise GitError(f"{path} is not in the commit {self.base[:12]} as a file of its own")
        return entry

    def files(self, under: str = "") -> list[Entry]:
        """Return the regular files below a folder, or the one file of that name."""
        return [
            entry
            for path, entry in self.tree.items()
            if (not under or path == under or path.startswith(under + "/")) and entry.mode not in (_LINK, _SUBMODULE)
        ]

    def read(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Return the contents of files by path.

        Raises:
            GitError: one is too large, or all of them together are.
        """
        large = next((entry for entry in entries if entry.size > MAX_FILE), None)
        if large is not None:
            raise GitError(f"{large.path} has {large.size} bytes, and at most {MAX_FILE} are read: name another --path")
        if sum(entry.size for entry in entries) > _MAX_READ:
            raise GitError(f"there are more than {_MAX_READ} bytes to look through: name a --path")
        if not entries:
            return {}
        asked = "".join(f"{entry.blob}\n" for entry in entries).encode()
        answer, found = self._git("cat-file", "--batch", given=asked), dict[str, bytes]()
        at = 0
        for entry in entries:
            end = answer.index(b"\n", at)
            head = answer[at:end].split()
            if len(head) != 3 or head[1] != b"blob":  # noqa: PLR2004 (name, type, size)
                raise GitError(f"{entry.path} cannot be read: its object {entry.blob} is missing (a partial clone?)")
            size = int(head[2])
            found[entry.path] = answer[end + 1 : end + 1 + size]
            at = end + 2 + size
        return found

    def uncommitted(self, paths: Mapping[str, bytes]) -> list[str]:
        """Return which of some files stand otherwise in the index or on the disk, line ends aside."""
        staged = self._git("diff-index", "--cached", "--name-only", "-z", "--no-renames", "--no-ext-diff", self.base)
        found = {os.fsdecode(name) for name in staged.split(b"\0") if name} & set(paths)
        for path, content in paths.items():
            try:
                handle = os.open(self.top / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(handle, "rb") as stream:
                    present = stream.read(MAX_FILE)
            except OSError:
                found.add(path)
                continue
            if present.replace(b"\r\n", b"\n") != content.replace(b"\r\n", b"\n"):
                found.add(path)
        return sorted(found)

    def unheard_hooks(self) -> list[str]:
        """Return the hooks of a commit that a person's `git commit` would run here, and this does not."""
        try:
            own = self._git("config", "--get", "--type=path", "core.hooksPath", safe=False).decode().strip()
        except GitError:
            own = self._git("rev-parse", "--git-path", "hooks", safe=False).decode().strip()
        names = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "reference-transaction")
        return [name for name in names if os.access(self.top / own / name, os.X_OK)]

    # Writing

    def put(self, content: bytes) -> str:
        """Store a file's content, and return its object's name."""
        return self._git("hash-object", "-w", "-t", "blob", "--no-filters", "--stdin", given=content).decode().strip()

    def commit(self, files: Mapping[str, Entry], message: str, author: tuple[str, str] | None) -> str:
        """Make a commit of the base with some files written anew; it is on no branch yet."""
        who: dict[str, str] = {}
        if author is not None:
            who = {"GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1]}
            who |= {"GIT_COMMITTER_NAME": author[0], "GIT_COMMITTER_EMAIL": author[1]}
        with tempfile.TemporaryDirectory(prefix="midwatch-git-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", self.base, more=index)
            lines = [f"{entry.mode} {entry.blob}\t".encode() + os.fsencode(path) for path, entry in files.items()]
            self._git("update-index", "-z", "--index-info", given=b"".join(one + b"\0" for one in lines), more=index)
            tree = self._git("write-tree", more=index).decode().strip()
        try:
            made = self._git("commit-tree", tree, "-p", self.base, given=message.encode(), more=who)
        except GitError as error:
            if "ident" not in str(error) and "tell me who you are" not in str(error):
                raise
            raise GitError(
                'Git does not know whose commit this is: set user.name and user.email, or give --author "NAME <MAIL>"'
            ) from error
        return made.decode().strip()

    def check_branch(self, name: str) -> str | None:
        """Return the commit that a branch is at, or None where the name is free.

        Raises:
            GitError: it is no name for a branch.
        """
        ref = f"refs/heads/{name}"
        try:
            self._git("check-ref-format", ref)
        except GitError as error:
            raise GitError(f"--branch {name!r} is no name for a branch") from error
        if name.startswith("-") or self._head() == ref:
            raise GitError(f"--branch {name!r} is no name for a new branch")
        try:
            return self._git("rev-parse", "--verify", "--quiet", "--end-of-options", ref).decode().strip()
        except GitError:
            return None

    def same_change(self, commit: str, other: str) -> bool:
        """Say whether two commits have the same content on the same base."""
        names = [f"{one}{part}" for one in (commit, other) for part in ("^{tree}", "^1", "^{commit}")]
        try:
            found = [self._git("rev-parse", "--verify", "--quiet", "--end-of-options", name) for name in names]
        except GitError:
            return False
        return found[:2] == found[3:5]

    def create_branch(self, name: str, commit: str, reason: str) -> None:
        """Create a branch; it must not be there.

        Raises:
            GitError: it is, or another one is in its way.
        """
        self._git("update-ref", "-m", f"midwatch: {reason}", f"refs/heads/{name}", commit, "0" * len(commit))

    def _head(self) -> str:
        try:
            return self._git("symbolic-ref", "--quiet", "HEAD").decode().strip()
        except GitError:
            return ""  # a detached HEAD is on no branch

    def _git(self, *words: str, given: bytes = b"", more: Mapping[str, str] | None = None, safe: bool = True) -> bytes:
        """Run one plumbing command; `safe=False` only where the repository's own settings are what is asked for."""
        environment = {name: value for name, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(name)}
        environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        environment |= {
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            **(more or {}),
        }
        settings = [word for one in _SAFE for word in ("-c", one)] if safe else []
        try:
            done = subprocess.run(
                ["git", *settings, "-C", str(self._folder), *words],  # noqa: S607 (the user's own git)
                input=given,
                capture_output=True,
                env=environment,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed here, or not on PATH") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(f"git {words[0]} did not end within {_SECONDS} s") from error
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[:400]
            raise GitError(f"git {words[0]} failed: {said or f'exit code {done.returncode}'}")
        return done.stdout
