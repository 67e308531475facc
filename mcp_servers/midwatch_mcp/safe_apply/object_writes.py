"""The requests behind the writes of Kubernetes objects, each conditional on the very object that was read."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import orjson

from midwatch_mcp.errors import KubeError, RefusedError, UnreachableError
from midwatch_mcp.kubernetes.client import APPLY, JSON_PATCH, MERGE, STRATEGIC_MERGE, KubeClient
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.kubernetes.execution import execute
from midwatch_mcp.redact import harmless
from midwatch_mcp.safe_apply.errors import (
    BusyError,
    ConflictError,
    FailedError,
    LostError,
    RejectedError,
    TargetError,
    TargetMissingError,
)
from midwatch_mcp.safe_apply.ports import ABSENT, Snapshot, Write

FIELD_MANAGER = "midwatch"
_CONTENT = {"strategic": STRATEGIC_MERGE, "merge": MERGE, "json": JSON_PATCH, "apply": APPLY}
_MEANS: dict[int, type[TargetError]] = {404: TargetMissingError, 409: ConflictError, 412: ConflictError}
_BUSY = 429
_ANSWERED, _LOST = 300, 500
"""From 500 on an HTTP status does not tell whether the write was carried out; below 300 it may have been, and what came
back is not what an API server sends."""
_OUTPUT_BYTES = 16_384
"""Kept of each stream of a command."""

Json = dict[str, Any]


async def write_object(
    client: KubeClient, resource: Resource, place: tuple[str, str], write: Write, *, read: Snapshot, dry_run: bool
) -> Snapshot:
    """Send one write of the object at `place` (namespace, name), and return what it then is.

    Raises:
        TargetError: says whether it was written.
        KubeError, UnreachableError, RefusedError: see `target_error`.
    """
    path = resource.path(*place)
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "dryRun": "All" if dry_run else None}
    match write.form:
        case "strategic" | "merge" | "json" | "apply":
            content = _CONTENT[write.form]
            found = await client.patch(path, locked_body(write, read.version), content_type=content, query=query)
            return snapshot_of(found)
        case "create":
            return snapshot_of(await client.create(resource.path(place[0]), write.body, query=query))
        case "delete":
            options = {**write.body, "preconditions": _preconditions(read)} | ({"dryRun": ["All"]} if dry_run else {})
            # The body decides; the query says the same to whoever reads the server's audit without its bodies.
            await client.delete(path, query={"dryRun": query["dryRun"]}, body=options)
            return ABSENT
        case "evict":
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"namespace": place[0], "name": place[1]},
                "deleteOptions": {**write.body, "preconditions": _preconditions(read)},
            }
            await client.create(f"{path}/eviction", eviction, query={"dryRun": "All" if dry_run else None})
            return ABSENT
        case "exec":
            return await _execute(client, f"{path}/exec", write.body, read)
        case _:
            raise RejectedError(f"an object takes no write of the form {write.form}")


def _preconditions(read: Snapshot) -> Json:
    return {"uid": read.uid, "resourceVersion": read.version}


async def _execute(client: KubeClient, path: str, body: Json, read: Snapshot) -> Snapshot:
    try:
        output = await execute(
            client,
            path,
            container=str(body["container"]),
            argv=body["argv"],
            timeout_s=float(body["timeout_s"]),
            limit=_OUTPUT_BYTES,
        )
    except KubeError as error:
        raise RejectedError(f"the command was not started: {error}") from error
    answer = {
        "exit_code": output.exit_code,
        "stdout": harmless(output.stdout),
        "stderr": harmless(output.stderr),
        "truncated": output.cut,
    }
    if output.exit_code not in body["exit_codes"]:
        said = output.error or f"exit code {output.exit_code}"
        raise FailedError(f"the command ran and failed: {harmless(said)}", answer)
    return Snapshot(read.uid, read.version, read.value, answer)


def locked_body(write: Write, version: str) -> Any:
    """Return a patch that the server takes only while the object has `version`."""
    body = copy.deepcopy(write.body)
    if isinstance(body, list):
        return [*cast("list[Any]", body), {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
    fields = cast("Json", body)
    fields["metadata"] = {**cast("Json", fields.get("metadata") or {}), "resourceVersion": version}
    return fields


def snapshot_of(value: Json) -> Snapshot:
    """Return an object as a snapshot.

    Raises:
        LostError: it is no object: what answers is no API server, and what became of a write is unknown.
    """
    metadata: Any = value.get("metadata")
    if not isinstance(metadata, dict) or not cast("Json", metadata).get("uid"):
        raise LostError(f"the answer is no object but a {value.get('kind', 'document')}, which does not tell anything")
    fields = cast("Json", metadata)
    return Snapshot(
        str(fields["uid"]), str(fields.get("resourceVersion", "")), value
    )  # a tried creation has no version


def target_error(error: KubeError | UnreachableError | RefusedError) -> TargetError:
    """Say of an error what it means for a write: not done, or unknown."""
    text = str(error)
    if isinstance(error, UnreachableError):
        return LostError(text) if error.may_have_arrived else BusyError(text)
    if isinstance(error, RefusedError):
        return RejectedError(text)
    if error.status >= _LOST or error.status < _ANSWERED:
        return LostError(text)
    details = _details(error)
    managers = _conflicting(details)
    if managers:
        return RejectedError(f"fields are held by another manager, and are not taken from it: {managers}")
    if error.status == _BUSY:
        return BusyError(text, error.retry_after_s) if error.retry_after_s else BusyError(text)
    causes = f" ({'; '.join(error.causes)})" if error.causes else ""
    return _MEANS[error.status](text) if error.status in _MEANS else RejectedError(text + causes)


def _details(error: KubeError) -> Json:
    """Return `details` of a Status; what answers through a proxy may send anything."""
    try:
        found: Any = orjson.loads(error.body)
    except orjson.JSONDecodeError:
        return {}
    details: Any = cast("Json", found).get("details") if isinstance(found, dict) else None
    return cast("Json", details) if isinstance(details, dict) else {}


def _conflicting(details: Mapping[str, Any]) -> str:
    """Return which managers hold which fields, where a server-side apply met a conflict; else nothing."""
    causes = details.get("causes")
    found = [
        f"{cause.get('field')}: {cause.get('message')}"
        for cause in cast("list[Json]", causes if isinstance(causes, list) else [])
        if cause.get("reason") == "FieldManagerConflict"
    ]
    return str(harmless("; ".join(found)))
