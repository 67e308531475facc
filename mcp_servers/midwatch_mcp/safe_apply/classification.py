"""The reviewed table of what every request to a cluster may do (`classification.yaml`), and hazards inside objects.

The table has a row for each resource and subresource that Kubernetes serves, and a class for each verb of it. It is
written by `classification_rows.py` from discovery, where what nobody has reviewed is `forbidden`, and held against the
original API server by a test. `hazards.yaml` is written by hand: fields, environment variables and flags that matter
more than the object they stand in; `metadata_keys.yaml` is the same for keys of labels and annotations. A request
that no file knows is forbidden (CONTRACTS §6).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import yaml
from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.plan import Risk

SPECIAL_VERBS: dict[str, str] = {
    "bind": "gives away a role that its giver need not hold",
    "escalate": "writes more rights into a role than its writer holds",
    "impersonate": "acts as somebody else",
    "approve": "signs credentials of any user",
    "sign": "signs credentials of any user",
    "attest": "vouches for trust anchors",
    "use": "takes a pod security policy",
    "proxy": "any request to any backend",
}
"""Verbs of RBAC that discovery does not list. All are forbidden."""


class Row(Model):
    """One resource or subresource: its kind, and the verbs of each class."""

    kind: str
    read: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    dangerous: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    why: str = ""

    def of(self, verb: str) -> Risk:
        """Return the class of a verb; one that is not listed is forbidden."""
        classes: tuple[tuple[Risk, tuple[str, ...]], ...] = (
            ("read", self.read),
            ("change", self.change),
            ("dangerous", self.dangerous),
        )
        for risk, verbs in classes:
            if verb in verbs:
                return risk
        return "forbidden"

    @property
    def verbs(self) -> tuple[str, ...]:
        """Every verb that has a class, sorted."""
        return tuple(sorted({*self.read, *self.change, *self.dangerous, *self.forbidden}))


class Hazard(Model):
    """A name that raises the class of whatever changes it, and why."""

    name: str
    risk: Literal["change", "dangerous", "forbidden"] = Field(alias="class")
    why: str
    new: Literal["judged", "free"] = "judged"
    """`free`: it may stand in an object that is made, and is judged where an object is changed."""
    harmless: tuple[Any, ...] = ()
    """Values that may stand in an object that is made."""


@dataclass(frozen=True)
class Hazards:
    """The hand-written names, by where they stand."""

    fields: Mapping[str, Hazard]
    """Names of fields, at any depth of an object."""
    places: Mapping[str, Hazard]
    """Fields that count in one kind only: `Kind/spec/name`, where `*` is every element of a list."""
    keys: tuple[Hazard, ...]
    """Globs of keys of labels and annotations, in order: the first that fits decides."""
    flags: Mapping[str, Hazard]
    """Command-line flags, without their dashes."""
    environment: Mapping[str, Hazard]
    """Names of environment variables, or their beginnings where they end in `*`."""
    programs: frozenset[str]
    """Programs that run what their arguments say."""
    shells: frozenset[str]
    """Those of them that are a command wherever they stand in a line."""
    program_files: tuple[str, ...]
    """Ends of names of files that are code."""
    program_places: tuple[str, ...]
    """Globs of paths whose files are run, loaded or trusted."""
    user_keys: frozenset[str]
    """Fields whose keys are chosen by people, so that a key of a known name there is no such field."""


@dataclass(frozen=True)
class Verdict:
    """The class of one kind of request, and the reason that the table gives."""

    risk: Risk
    why: str


@cache
def table() -> Mapping[str, Row]:
    """Return the rows by `plural[.group][/subresource]`."""
    raw = cast("dict[str, Any]", yaml.safe_load(_text("classification.yaml")))
    return {name: Row.model_validate(row) for name, row in raw["resources"].items()}


@cache
def kinds() -> Mapping[tuple[str, str], str]:
    """Return the row's name by (group, kind), for what is no subresource."""
    found: dict[tuple[str, str], str] = {}
    for name, row in table().items():
        if "/" not in name:
            found[name.partition(".")[2], row.kind] = name
    return found


@cache
def hazards() -> Hazards:
    """Return the hand-written names."""
    raw, keys = (cast("dict[str, Any]", yaml.safe_load(_text(name))) for name in ("hazards.yaml", "metadata_keys.yaml"))

    def named(section: str) -> dict[str, Hazard]:
        found = [Hazard.model_validate(entry) for entry in raw[section]]
        return {hazard.name: hazard for hazard in found}

    return Hazards(
        fields=named("fields"),
        places=named("places"),
        keys=tuple(Hazard.model_validate(entry) for entry in keys["keys"]),
        flags=named("flags"),
        environment=named("environment"),
        programs=frozenset(raw["programs"]),
        shells=frozenset(raw["shells"]),
        program_files=tuple(raw["program_files"]),
        program_places=tuple(raw["program_places"]),
        user_keys=frozenset(raw["user_keys"]),
    )


def known(group: str, kind: str) -> bool:
    """Say whether Kubernetes itself has a kind: others are custom resources."""
    return (group, kind) in kinds()


def verdict(verb: str, group: str, kind: str, subresource: str = "") -> Verdict:
    """Return the class of a request; what is not in the table is forbidden."""
    if verb in SPECIAL_VERBS:
        return Verdict("forbidden", SPECIAL_VERBS[verb])
    base = kinds().get((group, kind))
    name = base if base is None or not subresource else f"{base}/{subresource}"
    row = None if name is None else table().get(name)
    what = f"{verb} {name or kind + '.' + group}"
    if row is None:
        return Verdict("forbidden", f"{what} is not in the table of what is known")
    risk = row.of(verb)
    if risk == "forbidden" and verb not in row.forbidden:
        return Verdict(risk, f"{what} is not in the table of what is known")
    why = f": {row.why}" if row.why and risk in ("dangerous", "forbidden") else ""
    return Verdict(risk, f"{what} is {risk}{why}")


def _text(name: str) -> str:
    return files("midwatch_mcp.safe_apply").joinpath(name).read_text("utf-8")
