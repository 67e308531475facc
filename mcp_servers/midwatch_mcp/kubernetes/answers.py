"""Answers of the Kubernetes API as they came: a body that should be JSON, and an error that should be a Status."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import KubeError
from midwatch_mcp.redact import redact_text

_SHOWN_BODY = 500
_KEPT_BODY = 16_384
_FORBIDDEN = 403
_MAY_NOT = re.compile(r'^.{0,400}User ".{0,300}" cannot [a-z]+ resource ', re.DOTALL)
"""What RBAC says; a quota or an admission rule answers with the same status and says something else."""
_WHO_MAY = ": bind a role that allows it, or ask as one who may (kube_access with who_can names them)"


@dataclass(frozen=True)
class KubeResponse:
    """A successful answer as it came. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the decoded JSON body.

        Raises:
            KubeError: when it is no JSON.
        """
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            shown = _shown(self.content)
            raise KubeError(self.status, "NotJSON", f"the answer is no JSON but: {shown}", body=self.content) from error

    def object(self) -> dict[str, Any]:
        """Return the decoded body, a JSON object.

        Raises:
            KubeError: when it is no JSON, or no object.
        """
        found = self.json()
        if not isinstance(found, dict):
            message = f"the answer is no object but: {_shown(self.content)}"
            raise KubeError(self.status, "NotAnObject", message, body=self.content)
        return cast("dict[str, Any]", found)


def _shown(content: bytes) -> str:
    text = redact_text(clean(content[:_SHOWN_BODY].decode("utf-8", errors="replace"))).strip()
    return text or "an empty body"


def kube_error(status: int, content: bytes, retry_after: str | None = None) -> KubeError:
    """Read the body of an error, a Status object mostly; what answers through a proxy may send anything.

    `retry_after` is the header, which priority and fairness sends with plain text; others have it in the details too.
    """
    # RFC 9110 allows a date as well, which no API server sends.
    after = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    try:
        found: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("kind") != "Status":
        return KubeError(status, "", _shown(content), body=content[:_KEPT_BODY], retry_after_s=after)
    answer = cast("dict[str, Any]", found)
    details = cast("dict[str, Any]", answer.get("details") or {})
    causes = tuple(
        f"{cause.get('field', '')}: {cause.get('message', '')}".removeprefix(": ")
        for cause in cast("list[dict[str, Any]]", details.get("causes") or [])
    )
    message = redact_text(clean(str(answer.get("message") or "the request failed")))
    if status == _FORBIDDEN and _MAY_NOT.search(message):
        message += _WHO_MAY
    told = details.get("retryAfterSeconds")
    if after is None and isinstance(told, int | float):
        after = float(told)
    reason = str(answer.get("reason") or "")
    return KubeError(status, reason, message, causes, body=content[:_KEPT_BODY], retry_after_s=after)
