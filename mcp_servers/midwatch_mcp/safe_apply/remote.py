"""A changes server over HTTP, as `midwatch change approve --server` meets it: a plan to look at, an approval to bring.

What a server says of a plan is checked here: the plan's id and the preview's hash are computed from what is shown, so
that a person signs what they saw and nothing else.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.errors import ContractError
from midwatch_contracts.plan import Approval, Plan, Preview, check_plan, preview_sha256
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import SettingsError, UnreachableError
from midwatch_mcp.files import check_private
from midwatch_mcp.hosts import is_loopback
from midwatch_mcp.safe_apply.errors import Reason, RefusedChangeError, UnknownPlanError
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal, rehearsal_lines

_MCP = "/mcp"
_TIMEOUT_S = 60.0
_TAKEN = frozenset({200, 201})
_NO_SUCH = 404
_SHOWN = 500


class RemoteServer:
    """One server by URL, with the token that it asks for."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise SettingsError(f"--server: {url!r} is no URL of a server, such as https://ops.example.org:8765/mcp")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise SettingsError(f"--server: {url} is not https: the token would pass in the clear")
        self._base = url.rstrip("/").removesuffix(_MCP)
        self._loopback = is_loopback(parts.hostname)
        self._token = None if token_file is None else _token(token_file)

    async def plan(self, plan_id: str) -> tuple[Plan, Preview, str, list[str]]:
        """Return a plan as the server would carry it out now, the hash over its preview, and lines on its rehearsal.

        Raises:
            UnreachableError: nothing answered, or the token was not taken.
            RefusedChangeError: what is shown is not what the server has, or the server cannot preview it.
        """
        mcp, streamable = importlib.import_module("mcp"), importlib.import_module("mcp.client.streamable_http")
        try:
            async with (
                self._http() as http,
                mcp.Client(streamable.streamable_http_client(self._base + _MCP, http_client=http)) as client,
            ):
                answer = await client.call_tool("change_preview", {"plan_id": plan_id})
        except (mcp.MCPError, OSError, ExceptionGroup, *_errors()) as error:
            raise UnreachableError(f"{self._base}{_MCP}: {_first(error)}", may_have_arrived=False) from error
        if answer.is_error:
            said = " ".join(item.text for item in answer.content if hasattr(item, "text"))
            raise RefusedChangeError("missing", f"{self._base} cannot preview the plan: {clean(said)}")
        data = cast("dict[str, Any]", answer.structured_content)["data"]
        plan, preview, sha256 = shown(data, plan_id)
        return plan, preview, sha256, _rehearsal(data, plan, preview, sha256)

    async def bring(self, approval: Approval) -> None:
        """Put an approval into the server's state folder.

        Raises:
            UnreachableError: nothing answered; the approval may have arrived. Bringing it again does no harm.
            RefusedChangeError: the server did not take it.
        """
        where = f"{self._base}/approvals/{approval.nonce}"
        try:
            async with self._http() as http:
                answer = await http.put(where, content=canonical_bytes(approval))
        except _errors() as error:
            raise UnreachableError(f"{where}: {error}", may_have_arrived=True) from error
        if answer.status_code in _TAKEN:
            return
        reason, message = _refusal(answer)
        if answer.status_code == _NO_SUCH and reason == "unknown_plan":
            raise UnknownPlanError(message)
        raise RefusedChangeError(cast("Reason", reason), f"{self._base} did not take the approval: {message}")

    def _http(self) -> Any:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        http = importlib.import_module("httpx2")
        return http.AsyncClient(timeout=_TIMEOUT_S, headers=headers, trust_env=not self._loopback)


def _errors() -> tuple[type[Exception], ...]:
    return (importlib.import_module("httpx2").HTTPError,)


def _first(error: BaseException) -> str:
    """Return the text of an error, of a group that of its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return clean(str(error))[:_SHOWN] or type(error).__name__


def _token(file: Path) -> str:
    """Return the token of a private file: alone, or after the name as in the server's own file."""
    check_private(file, "--server-token-file")
    words = file.read_text("utf-8", "replace").split()
    if len(words) not in {1, 2}:
        raise SettingsError(f"--server-token-file: {file} holds {len(words)} words: write one token into it")
    return words[-1]


def _rehearsal(data: Mapping[str, Any], plan: Plan, preview: Preview, sha256: str) -> list[str]:
    """Return what the server says of a rehearsal; of another plan or preview it says nothing."""
    try:
        found = Rehearsal.model_validate(data["rehearsal"])
    except (KeyError, ValidationError):
        # A server of before knows of none, and a plan may have had none.
        found = None
    if found is not None and (found.plan_id, found.preview_sha256) != (plan.id, sha256):
        found = None
    return rehearsal_lines(found, plan.id, preview.risk)


def shown(data: Mapping[str, Any], plan_id: str) -> tuple[Plan, Preview, str]:
    """Return the plan that a server shows, and the hash over its preview, both computed from what is shown.

    Raises:
        RefusedChangeError: the hashes are not those that the server states, or it is another plan.
    """
    try:
        plan, preview = Plan.model_validate(data.get("plan")), Preview.model_validate(data.get("preview"))
        check_plan(plan)
        sha256 = preview_sha256(preview)
    except (ValidationError, ContractError) as error:
        raise RefusedChangeError("other_plan", f"{_OTHER}: {str(error).splitlines()[0]}") from error
    if not plan.id.startswith(plan_id) or preview.plan_id != plan.id or sha256 != data.get("preview_sha256"):
        raise RefusedChangeError("other_preview", _OTHER)
    return plan, preview, sha256


_OTHER = (
    "what the server shows of the plan is not what it has (a secret in it is redacted, perhaps): approve it on the "
    "server's own machine"
)


def _refusal(answer: Any) -> tuple[str, str]:
    try:
        error = cast("dict[str, Any]", answer.json())["error"]
        return str(error["reason"]), clean(str(error["message"]))[:_SHOWN]
    except (ValueError, KeyError, TypeError):
        return "read_only", f"HTTP {answer.status_code}: is it a changes server that runs with --allow-write?"
