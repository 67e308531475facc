"""The jail: what may be changed at all, read from a TOML file at every call (CONTRACTS §5 and §6)."""

import os
import re
import tempfile
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.errors import PolicyError
from midwatch_mcp.safe_apply.operations import OPERATIONS

LEVELS = ("observe", "diagnose", "propose", "assist", "act", "keep watch")
"""Autonomy levels 0 to 5."""
PROPOSE, ASSIST = 2, 3

Glob = Annotated[str, Field(min_length=1)]


class Namespaces(Model):
    """Globs; `deny` wins."""

    allow: tuple[Glob, ...] = ("*",)
    deny: tuple[Glob, ...] = ("kube-*",)

    def has(self, namespace: str) -> bool:
        """Say whether a namespace is inside. Cluster-wide objects have none and are outside."""
        return (
            bool(namespace)
            and any(fnmatchcase(namespace, glob) for glob in self.allow)
            and not any(fnmatchcase(namespace, glob) for glob in self.deny)
        )


class Limits(Model):
    """What lies beyond is `dangerous`."""

    max_objects: int = Field(default=10, ge=1)
    max_scale_factor: float = Field(default=4.0, ge=1)
    """Largest ratio of new to old replicas, either way. Zero replicas is beyond every factor."""


class ApprovalRules(Model):
    """What an approval must be."""

    max_age_s: float = Field(default=24 * 3600.0, gt=0)
    """Longest time between `issued` and `expires`."""


class Policy(Model):
    """The jail. Unknown fields are errors: a misspelt limit would be no limit."""

    schema_: Literal["midwatch.policy/v1"] = Field(default="midwatch.policy/v1", alias="schema")
    autonomy: int = Field(default=ASSIST, ge=0, le=5)
    frozen: str | None = None
    """While set, nothing new is written; the text is the reason that is shown."""
    namespaces: Namespaces = Namespaces()
    kinds: tuple[str, ...] = (
        "Deployment",
        "StatefulSet",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "ConfigMap",
        "Service",
        "Pod",
        "Node",
    )
    cluster_kinds: tuple[str, ...] = ("Node",)
    """Kinds without a namespace that may be changed, where `kinds` has them too."""
    operations: tuple[str, ...] = tuple(name for name in OPERATIONS if name != "exec")
    """`exec` runs anything at all: who wants it writes it down."""
    protected_labels: dict[str, Glob] = Field(default_factory=lambda: {"midwatch.io/protected": "*"})
    """Objects that carry one of these labels, with a value that the glob matches, are not touched."""
    limits: Limits = Limits()
    approvals: ApprovalRules = ApprovalRules()


def policy_path(state: Path, given: Path | None) -> Path:
    """Return where the policy file is: the one given, or `<state>/policy.toml`."""
    return given or state / "policy.toml"


def load(path: Path, *, required: bool = False) -> Policy:
    """Read the policy; the built-in one where there is no file and none is required.

    Raises:
        PolicyError: names the file and each field that does not fit. A policy that cannot be read allows nothing.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if required:
            raise PolicyError(f"there is no policy file {path}: write one, or leave the setting out") from error
        return Policy()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"the policy {path} cannot be read: {error}") from error
    try:
        return Policy.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PolicyError(f"the policy {path} does not fit: {wrong}") from error


_FROZEN_LINE = re.compile(r"^\s*frozen\s*=.*\n?", re.MULTILINE)


def set_frozen(path: Path, reason: str | None) -> Policy:
    """Write `frozen` into the policy file (None takes it out), leaving every other line as it is.

    Raises:
        PolicyError: when the file does not fit before, or would not after.
    """
    load(path)
    text = path.read_text("utf-8") if path.exists() else 'schema = "midwatch.policy/v1"\n'
    table = re.search(r"^\s*\[", text, re.MULTILINE)
    head, tail = (text[: table.start()], text[table.start() :]) if table else (text, "")
    head = _FROZEN_LINE.sub("", head)
    if reason is not None:
        head = f"frozen = {_toml_string(reason)}\n" + head
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(path, head + tail, reason)
    return load(path)


def _replace(path: Path, text: str, frozen: str | None) -> None:
    """Put `text` in the place of the file, once it is known to say what it shall."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".policy-", suffix=".toml")
    written = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        said = load(written).frozen
        if said == frozen:
            written.replace(path)
    finally:
        written.unlink(missing_ok=True)
    if said != frozen:
        raise PolicyError(f"the line `frozen` of {path} cannot be written by machine: edit the file by hand")


def _toml_string(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
