"""The tool surface: what the servers offer, as reviewed data (`surface.json`, CONTRACTS §12)."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field

from midwatch_contracts.model import Model


class ToolSpec(Model):
    """One tool as a client sees it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{2,39}$")
    server: Literal["kubernetes", "metrics", "serving", "changes"]
    title: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool
    cost: Literal["low", "medium", "high"]


@cache
def surface() -> dict[str, ToolSpec]:
    """Return the reviewed tools by name."""
    raw: list[dict[str, Any]] = json.loads(files("midwatch_contracts").joinpath("surface.json").read_text("utf-8"))
    return {spec.name: spec for spec in map(ToolSpec.model_validate, raw)}
