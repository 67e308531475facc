"""Types that Kubernetes' JSON writes in its own way: quantities, times, raw JSON, a number or a text."""

import base64
from collections.abc import Callable
from typing import Any, Final

import orjson

from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import parse_duration, rfc3339, unix_seconds
from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CRD: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_MICRO: Final = 6


def _time(places: int) -> Callable[[Object], str | None]:
    def read(parts: Object) -> str | None:
        seconds, nanos = int(parts.get("seconds", 0)), int(parts.get("nanos", 0))
        if not seconds and not nanos:
            return None
        try:
            text = rfc3339(float(seconds)).partition(".")[0].removesuffix("Z")
        except (ValueError, OverflowError, OSError) as error:
            raise DecodeError(f"a time of {seconds} seconds is out of range") from error
        return f"{text}.{nanos // 1000:06}Z" if places else f"{text}Z"

    return read


def _moment(text: Any) -> Object:
    try:
        seconds = unix_seconds(str(text))
    except ContractError as error:
        raise DecodeError(str(error)) from error
    whole = int(seconds // 1)
    return {"seconds": whole, "nanos": round((seconds - whole) * 1e6) * 1000}


def _duration(parts: Object) -> str:
    seconds = int(parts.get("duration", 0)) / 1e9
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest:g}s"


def _nanoseconds(text: Any) -> Object:
    try:
        return {"duration": round(parse_duration(str(text)) * 1e9)}
    except ContractError as error:
        raise DecodeError(str(error)) from error


def _raw_json(parts: Object) -> Any:
    try:
        return orjson.loads(base64.b64decode(parts.get("raw") or parts.get("Raw") or "") or b"null")
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"a field of raw JSON holds no JSON: {error}") from error


def _as_raw(value: Any) -> Object:
    text = base64.b64encode(orjson.dumps(value)).decode()
    return {"raw": text, "Raw": text}


def _either(scalar: str, many: str) -> tuple[Callable[[Object], Any], Callable[[Any], Object]]:
    """Return the functions of a type that is a schema, or something else (a list, a truth value)."""

    def read(parts: Object) -> Any:
        return parts["schema"] if "schema" in parts else parts.get(scalar, parts.get(many, []))

    def write(value: Any) -> Object:
        if isinstance(value, bool):
            return {"allows": value}
        return {many: value} if isinstance(value, list) else {"allows": True, "schema": value}

    return read, write


SPECIAL: Final[dict[str, tuple[Callable[[Object], Any], Callable[[Any], Object]]]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": (
        lambda parts: parts.get("string") or "0", lambda value: {"string": str(value)},
    ),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": (
        lambda parts: parts.get("strVal", "") if parts.get("type") else parts.get("intVal", 0),
        lambda value: {"type": 1, "strVal": value} if isinstance(value, str) else {"type": 0, "intVal": value},
    ),
    _META + "Time": (_time(0), _moment),
    _META + "MicroTime": (_time(_MICRO), _moment),
    _META + "Duration": (_duration, _nanoseconds),
    _META + "FieldsV1": (_raw_json, _as_raw),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": (_raw_json, _as_raw),
    _CRD + "JSON": (_raw_json, _as_raw),
    _CRD + "JSONSchemaPropsOrArray": _either("", "jSONSchemas"),
    _CRD + "JSONSchemaPropsOrBool": _either("allows", "allows"),
    _CRD + "JSONSchemaPropsOrStringArray": _either("", "property"),
}  # fmt: skip
"""Types that JSON writes in its own way: from the message's fields to JSON, and back."""
