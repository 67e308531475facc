"""What a fake serving backend does when it is called."""

from typing import Any, cast

from midwatch_mcp.safe_apply.errors import RejectedError, TargetMissingError
from midwatch_mcp.safe_apply.ports import Write

Json = dict[str, Any]


def called(held: Json, write: Write) -> Json:
    """Change what a backend holds as a call says, and return its answer.

    Raises:
        TargetError: as of the real one.
    """
    body = cast("Json", write.body or {})
    path = write.path.partition("?")[0]
    if path == "/admin/drain":
        draining = write.method == "POST"
        held |= {"draining": draining, "grace_s": body.get("grace_s") if draining else None}
        return {"draining": draining}
    known = {
        "/v1/load_lora_adapter": _load,
        "/v1/unload_lora_adapter": _unload,
        "/admin/cancel": _cancel,
        "/reset_prefix_cache": _reset,
    }
    if path not in known or write.method != "POST":
        raise RejectedError(f"a backend has no {write.method} {path}")
    return known[path](held, body)


def _load(held: Json, body: Json) -> Json:
    if body["lora_name"] in held["adapters"]:
        raise RejectedError(f"the adapter {body['lora_name']} is loaded already")
    held["adapters"][body["lora_name"]] = body["lora_path"]
    return {}


def _unload(held: Json, body: Json) -> Json:
    if held["adapters"].pop(body["lora_name"], None) is None:
        raise TargetMissingError(f"the adapter {body['lora_name']} is not loaded")
    return {}


def _cancel(held: Json, body: Json) -> Json:
    gone = [one for one in body["ids"] if held["requests"].pop(one, None) is not None]
    return {"cancelled": gone, "unknown": [one for one in body["ids"] if one not in gone]}


def _reset(held: Json, body: Json) -> Json:
    del body
    if held["requests"]:
        raise RejectedError("requests hold blocks of the cache")
    return {"success": True}
