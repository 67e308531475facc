"""The inputs of a run: given, else read from an alert, else the default; each checked against its type."""

import math
from collections.abc import Mapping
from typing import Any

from midwatch_contracts.alert import Alert
from midwatch_contracts.cel import BOOL, STRING, Type, Unit, number
from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import parse_duration
from midwatch_tsg.errors import InputError, TemplateError
from midwatch_tsg.model import Guide, Input
from midwatch_tsg.templates import names_in, render_value

MAX_STRING = 1000
_BOOLEANS = {"true": True, "false": False}


def resolve(guide: Guide, given: Mapping[str, Any], alert: Alert | None = None) -> dict[str, Any]:
    """Return the value of every input: strings, doubles (durations in seconds), booleans.

    Text is read as the type says, so `--input window=20s` and an alert's label both fit.

    Raises:
        InputError: naming every input that is missing or unknown, or the first that does not fit its type.
    """
    known = {declared.name for declared in guide.inputs}
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f"{guide.id} has no input {', '.join(unknown)}: it has {', '.join(sorted(known)) or 'none'}")
    values: dict[str, Any] = {}
    missing: list[str] = []
    for declared in guide.inputs:
        raw = given.get(declared.name)
        raw = _from_alert(declared, alert) if raw is None else raw
        if raw is None and declared.default is not None:
            raw = _default(declared, values)
        if raw is None:
            missing.append(declared.name + (f" (or the alert's {declared.source[6:]})" if declared.source else ""))
        else:
            values[declared.name] = read(declared, raw)
    if missing:
        raise InputError(f"{guide.id} needs {', '.join(missing)}: give them as --input NAME=VALUE")
    return values


def _from_alert(declared: Input, alert: Alert | None) -> str | None:
    if alert is None or declared.source is None:
        return None
    _, part, name = declared.source.split(".", 2)
    return (alert.labels if part == "labels" else alert.annotations).get(name)


def _default(declared: Input, values: Mapping[str, Any]) -> Any:
    """Return a default with the inputs before it filled in; None when one of those is missing itself."""
    if not names_in(declared.default) <= set(values):
        return None
    try:
        return render_value(declared.default, values)
    except TemplateError as error:
        raise InputError(f"the default of `{declared.name}`: {error}") from error


def read(declared: Input, raw: Any) -> Any:
    """Return a value of the input's type.

    Raises:
        InputError: when `raw` does not fit.
    """
    match declared.type:
        case "string":
            return _string(declared, raw)
        case "boolean":
            value = _BOOLEANS.get(raw.lower()) if isinstance(raw, str) else raw
            if not isinstance(value, bool):
                raise InputError(f"`{declared.name}` is {raw!r}: write true or false")
            return value
        case "duration":
            return _duration(declared, raw)
        case "number":
            return _number(declared, raw)


def _string(declared: Input, raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise InputError(f"`{declared.name}` is {raw!r}: write some text")
    if len(raw) > MAX_STRING or any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in raw):  # noqa: PLR2004 (controls, surrogates)
        raise InputError(f"`{declared.name}` must be one line of at most {MAX_STRING} characters")
    return raw


def _number(declared: Input, raw: Any) -> float:
    try:
        value = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"`{declared.name}` is {raw!r}: write a number")
    return value


def _duration(declared: Input, raw: Any) -> float:
    if isinstance(raw, str):
        try:
            value = parse_duration(raw)
        except ContractError as error:
            raise InputError(f"`{declared.name}`: {error}") from error
    else:
        value = _number(declared, raw)
    if value < 0:
        raise InputError(f"`{declared.name}` is {value:g} s: a duration is not negative")
    return value


def input_type(declared: Input) -> Type:
    """Return the type of an input, as expressions see it."""
    units: dict[str, Unit] = {u: u for u in ("seconds", "bytes", "cores", "ratio", "count", "per_second")}
    match declared.type:
        case "string":
            return STRING
        case "boolean":
            return BOOL
        case "duration":
            return number("seconds")
        case "number":
            return number(units.get(declared.unit or ""))
