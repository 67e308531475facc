"""`serving.adapter`: LoRA adapters of one replica, under vLLM's paths.

Source: https://docs.vllm.ai/en/latest/features/lora/ (`/v1/load_lora_adapter`, `/v1/unload_lora_adapter`; `/v1/models`
names an adapter's path as `root` and its base model as `parent`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched, Undo, refuse
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import escape

AdapterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$")]


class Adapter(Model):
    """`load` an adapter by name from a `path` that the server can read, or `unload` it."""

    load: AdapterName | None = None
    unload: AdapterName | None = None
    path: str | None = Field(default=None, min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _one(self) -> "Adapter":
        if (self.load is None) == (self.unload is None):
            raise ValueError("give either load, with a path, or unload")
        if (self.load is None) != (self.path is None):
            raise ValueError("path goes with load")
        return self

    @property
    def name(self) -> str:
        """The adapter."""
        return str(self.load or self.unload)


class AdapterOperation(OperationKind[Adapter]):
    """Load or unload a LoRA adapter."""

    name = "serving.adapter"
    about = "load a LoRA adapter into one replica, or unload it"
    undone_by = "the opposite; nothing for an unload where the server does not say its path"
    example = {"load": "legal", "path": "/adapters/legal"}  # noqa: RUF012
    kinds = ("Pod",)
    arguments = Adapter
    serving = True
    view = "adapters"
    subresource = "proxy"

    def touched(self, args: Adapter, value: Mapping[str, Any]) -> Touched:
        """Return from where the adapter is loaded, if it is."""
        held = _held(value)
        return {f"/adapters/{escape(args.name)}": [held[args.name]] if args.name in held else []}

    def request(self, args: Adapter, value: Mapping[str, Any]) -> Write:
        """Return the call, as vLLM has it."""
        held = _held(value)
        if args.load is not None and args.load in held:
            raise refuse(
                f"{args.load} is loaded already, from {held[args.load]}: unload it first, in a plan of its own"
            )
        if args.load is not None:
            return Write("call", {"lora_name": args.load, "lora_path": args.path}, "POST", "/v1/load_lora_adapter")
        return Write("call", {"lora_name": args.unload}, "POST", "/v1/unload_lora_adapter")

    def undo(self, args: Adapter, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo | None:
        """Return the opposite."""
        del after
        if args.load is not None:
            return self.name, {"unload": args.load}
        path = _held(before).get(str(args.unload))
        return (self.name, {"load": args.unload, "path": path}) if path else None

    def predicted(self, args: Adapter, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the adapters as they would be: the backend has no dry run of it."""
        held = {name: path for name, path in _held(value).items() if name != args.name}
        return {"adapters": held | ({args.load: args.path} if args.load is not None else {})}


def _held(value: Mapping[str, Any]) -> dict[str, str]:
    return cast("dict[str, str]", value.get("adapters") or {})
