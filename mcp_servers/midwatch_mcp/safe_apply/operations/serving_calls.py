"""`serving.reset_cache`, `serving.cancel` and `serving.drain`: calls of one replica of a serving backend."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.ports import Write


class ResetCache(Model):
    """`running: true` preempts the requests that hold blocks; without it the backend may refuse."""

    running: bool = False


class ResetCacheOperation(OperationKind[ResetCache]):
    """Forget the cached prefixes of one replica."""

    name = "serving.reset_cache"
    about = "forget the prefix cache of one replica"
    undone_by = "nothing (it fills again)"
    example = {"running": False}  # noqa: RUF012
    kinds = ("Pod",)
    arguments = ResetCache
    serving = True
    view = "process"
    subresource = "proxy"
    proof = "answer"

    def touched(self, args: ResetCache, value: Mapping[str, Any]) -> Touched:
        """Return that nothing tells: the cache fills again at once."""
        del args, value
        return {"/prefix_cache": []}

    def request(self, args: ResetCache, value: Mapping[str, Any]) -> Write:
        """Return the call."""
        del value
        query = "?reset_running_requests=true" if args.running else ""
        return Write("call", None, "POST", f"/reset_prefix_cache{query}")

    def undo(self, args: ResetCache, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Return that there is none."""
        del args, before, after

    def predicted(self, args: ResetCache, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the replica as it is."""
        del args
        return dict(value)

    def shown(self, args: ResetCache, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return that the cache is empty."""
        del value
        return {"prefix_cache": {"empty": True, "preempts_running": args.running}} if done else {}


class Cancel(Model):
    """`ids` of requests (serving_requests lists them), or `all: true` for those that there are at propose."""

    ids: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(default=(), max_length=1000)
    all: Literal[True] | None = None


class CancelOperation(OperationKind[Cancel]):
    """Abort requests of one replica."""

    name = "serving.cancel"
    about = "abort requests of one replica; which ones is fixed in the plan"
    undone_by = "nothing"
    example = {"ids": ["cmpl-1"]}  # noqa: RUF012
    kinds = ("Pod",)
    arguments = Cancel
    serving = True
    view = "requests"
    subresource = "proxy"
    proof = "answer"

    def touched(self, args: Cancel, value: Mapping[str, Any]) -> Touched:
        """Return that nothing tells: a request also ends by itself, and one that ended is no reason to stop."""
        del args, value
        return {"/requests": []}

    def request(self, args: Cancel, value: Mapping[str, Any]) -> Write:
        """Return the call."""
        del value
        return Write("call", {"ids": list(args.ids)}, "POST", "/admin/cancel")

    def undo(self, args: Cancel, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Return that there is none."""
        del args, before, after

    def predicted(self, args: Cancel, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the replica as it is."""
        del args
        return dict(value)

    def shown(self, args: Cancel, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return the ids, by the plan alone: which of them still run changes from moment to moment."""
        del value
        return {"requests": [] if done else list(args.ids)}


class DrainReplica(Model):
    """`draining: false` lets it take requests again. `grace_s`: after that, requests that still run are aborted."""

    draining: bool = True
    grace_s: float | None = Field(default=None, ge=0, le=3600)


class DrainReplicaOperation(OperationKind[DrainReplica]):
    """Let one replica take no new requests."""

    name = "serving.drain"
    about = "let one replica take no new requests and finish those it has"
    undone_by = "taking requests again; nothing where grace_s aborts those that run"
    example = {"draining": True}  # noqa: RUF012
    kinds = ("Pod",)
    arguments = DrainReplica
    serving = True
    view = "drain"
    subresource = "proxy"

    def touched(self, args: DrainReplica, value: Mapping[str, Any]) -> Touched:
        """Return whether it drains."""
        del args
        return {"/draining": [value.get("draining") is True]}

    def request(self, args: DrainReplica, value: Mapping[str, Any]) -> Write:
        """Return the call."""
        del value
        if not args.draining:
            return Write("call", None, "DELETE", "/admin/drain")
        return Write("call", {} if args.grace_s is None else {"grace_s": args.grace_s}, "POST", "/admin/drain")

    def undo(self, args: DrainReplica, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo | None:
        """Return the opposite; requests that a grace period aborts do not come back."""
        del before, after
        return None if args.draining and args.grace_s is not None else (self.name, {"draining": not args.draining})

    def predicted(self, args: DrainReplica, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the drain as it would be: the backend has no dry run of it."""
        return {**value, "draining": args.draining, "grace_s": args.grace_s if args.draining else None}

    def shown(self, args: DrainReplica, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return whether it drains, without how many requests run at this moment."""
        del args, done
        return {key: value.get(key) for key in ("draining", "grace_s")}
