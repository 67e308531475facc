"""The options of list and watch: which go together, and the tokens by which a list is continued."""

import base64
import binascii
import json
import posixpath
from typing import Any, Final, cast

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.go_json import GoJSONError, read
from midwatch_lab.errors import ApiError
from midwatch_lab.status import FieldFault, forbidden_field

_MATCH: Final = "resourceVersionMatch"
INCONSISTENT: Final = -1
"""The version in a token that goes on in what is there now, for who was told that the list's own version is gone."""
_ENCODING: Final = "meta.k8s.io/v1"
_URL_ALPHABET: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def check(call: Call, *, watch: bool) -> None:
    """Refuse options that do not go together, or are not what they must be.

    Raises:
        ApiError: 400 or 422.
    """
    for name in ("timeoutSeconds", "limit"):
        call.number(name)
    faults = _watch_faults(call) if watch else _list_faults(call)
    if faults:
        raise status.invalid("ListOptions", "meta.k8s.io", "", faults)


def _list_faults(call: Call) -> list[FieldFault]:
    faults: list[FieldFault] = []
    match, version = call.query(_MATCH), call.query("resourceVersion")
    if match:
        if not version:
            faults.append(forbidden_field(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided"))
        if call.query("continue"):
            faults.append(forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            faults.append(status.unsupported(_MATCH, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            faults.append(forbidden_field(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in call.request.query_params:
        faults.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return faults


def _watch_faults(call: Call) -> list[FieldFault]:
    faults: list[FieldFault] = []
    match, initial = call.query(_MATCH), "sendInitialEvents" in call.request.query_params
    if initial and match != "NotOlderThan":
        faults.append(forbidden_field(_MATCH, f"sendInitialEvents requires setting {_MATCH} to NotOlderThan"))
    if match and not initial:
        detail = f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"
        faults.append(forbidden_field(_MATCH, detail))
    if match and match != "NotOlderThan":
        faults.append(status.unsupported(_MATCH, match, ("NotOlderThan",)))
    if call.query("continue"):
        faults.append(forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
    return faults


def write_token(version: int, start: str) -> str:
    """Return the token that continues a list of a version after a key: `name`, or `namespace/name`."""
    text = json.dumps({"v": _ENCODING, "rv": version, "start": f"{start}\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> tuple[int, str]:
    """Return the version and the key of a token.

    Raises:
        ApiError: 400 when it is none.
    """
    bad = next((place for place, char in enumerate(token) if char not in _URL_ALPHABET), None)
    if bad is not None or len(token) % 4 == 1:
        raise _bad_key(f"illegal base64 data at input byte {len(token) if bad is None else bad}")
    try:
        found, _ = read(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (GoJSONError, binascii.Error) as error:
        raise _bad_key(str(error)) from error
    if not isinstance(found, dict):
        raise _bad_key("json: cannot unmarshal into Go value of type storage.continueToken")
    fields = cast("dict[str, Any]", found)
    if fields.get("v") != _ENCODING:
        raise _bad_key(f"server does not recognize this encoded version {fields.get('v', '')}")
    version, start = fields.get("rv"), fields.get("start")
    if isinstance(version, bool) or not isinstance(version, int) or version == 0:
        raise _bad_key(f"incorrect encoded start resourceVersion (version {_ENCODING})")
    if not isinstance(start, str) or not start:
        raise _bad_key(f"encoded start key empty (version {_ENCODING})")
    if posixpath.normpath("/" + start) != "/" + start:
        raise _bad_key(start)
    return version, start.removesuffix("\0")


def _bad_key(why: str) -> ApiError:
    return status.bad_request(f"invalid continue token: continue key is not valid: {why}")
