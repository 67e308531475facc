"""`serving.config`: new values in the versioned configuration of a serving backend (CONTRACTS §8)."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import escape, lookup

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class ServingConfig(Model):
    """`values`: new value by vLLM's argument name; null restores the default."""

    values: dict[Name, bool | int | float | str | None] = Field(min_length=1)


class ServingConfigOperation(OperationKind[ServingConfig]):
    """PATCH /admin/config of one replica."""

    name = "serving.config"
    about = "configuration of one replica, by vLLM argument name; on a vLLM server it becomes set_args of its workload"
    undone_by = "the values as they were"
    example = {"values": {"max_num_seqs": 8}}  # noqa: RUF012
    kinds = ("Pod",)
    serving = True
    subresource = "proxy"
    arguments = ServingConfig

    def touched(self, args: ServingConfig, value: Mapping[str, Any]) -> Touched:
        """Return each value as it is."""
        pointers = [f"/values/{escape(name)}" for name in args.values]
        return {pointer: lookup(value, pointer) for pointer in pointers}

    def request(self, args: ServingConfig, value: Mapping[str, Any]) -> Write:
        """Return the body of the PATCH."""
        del value
        return Write("config", {"values": args.values})

    def undo(
        self, args: ServingConfig, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Return the values as they were."""
        del after
        old = {name: lookup(before, f"/values/{escape(name)}") for name in args.values}
        return self.name, {"values": {name: value[0] if value else None for name, value in old.items()}}
