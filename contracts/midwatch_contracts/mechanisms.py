"""The closed vocabulary of what goes wrong (`mechanisms.yaml`, CONTRACTS §1)."""

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from midwatch_contracts.errors import VocabularyError
from midwatch_contracts.model import Model


class Mechanism(Model):
    """One way to go wrong: `id` such as `serving.kv_cache_too_small`, and `parent`, less exact and still right."""

    id: str
    says: str
    layer: Literal["serving", "kubernetes", "load", "telemetry"]
    parent: str | None


@cache
def mechanisms() -> dict[str, Mechanism]:
    """Return the vocabulary by id, in the order of the file.

    Raises:
        VocabularyError: when an id stands twice or a parent does not exist.
    """
    text = files("midwatch_contracts").joinpath("mechanisms.yaml").read_text("utf-8")
    raw: list[dict[str, Any]] = yaml.safe_load(text)
    found = {entry.id: entry for entry in map(Mechanism.model_validate, raw)}
    if len(found) != len(raw):
        raise VocabularyError("mechanisms.yaml has an id twice")
    for entry in found.values():
        if entry.parent is not None and entry.parent not in found:
            raise VocabularyError(f"mechanisms.yaml: {entry.id} has the unknown parent {entry.parent}")
    return found


def mechanism(name: str) -> Mechanism:
    """Return one mechanism.

    Raises:
        VocabularyError: when there is none of that id; the message lists the nearest ids.
    """
    known = mechanisms()
    if name not in known:
        layer = name.split(".", 1)[0] + "."
        near = [key for key in known if key.startswith(layer)] or list(known)
        raise VocabularyError(f"unknown mechanism {name!r}: one of {', '.join(near)}")
    return known[name]


def refines(exact: str, general: str) -> bool:
    """Say whether `exact` is `general` or one of its descendants."""
    current: str | None = mechanism(exact).id
    while current is not None:
        if current == mechanism(general).id:
            return True
        current = mechanism(current).parent
    return False
