"""The functions and methods of rules: those of CEL and of Kubernetes' libraries, each with the types that it takes.

A signature is `parameter, ... -> result`; `A` stands for any one type, `list<A>` for a list of it. Of a method the
first parameter is what it is called on.
"""
# What a function is given has the types of its signature, which is text to a type checker.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from midwatch_lab.custom.cel.nodes import EvaluationError
from midwatch_lab.custom.cel.values import (
    Optional,
    Quantity,
    TypeName,
    duration,
    int64,
    kind_of,
    read_quantity,
    timestamp,
)
from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled


@dataclass(frozen=True)
class Overload:
    """One form of a function."""

    parameters: tuple[str, ...]
    result: str
    run: Callable[..., Any]


def _table(found: dict[str, list[tuple[str, Callable[..., Any]]]]) -> dict[str, list[Overload]]:
    table: dict[str, list[Overload]] = {}
    for name, forms in found.items():
        for text, run in forms:
            left, _, result = text.partition("->")
            parameters = tuple(part.strip() for part in left.split(",") if part.strip())
            table.setdefault(name, []).append(Overload(parameters, result.strip(), run))
    return table


def _regex(pattern: str) -> Any:
    try:
        return compiled(pattern)
    except PatternError as error:
        raise EvaluationError(str(error)) from error


def _matches(text: str, pattern: str) -> bool:
    return _regex(pattern).search(text) is not None


def _found(text: str, pattern: str) -> str:
    found = _regex(pattern).search(text)
    return found[0] if found else ""


def _to_int(value: Any) -> int:
    try:
        return int64(int(value))
    except ValueError as error:
        raise EvaluationError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from error


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from error


def _to_string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case bytes():
            return value.decode(errors="replace")
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case _:
            return str(value)


def _to_bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "0"):
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _between(text: str, start: int, end: int) -> str:
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {start if not 0 <= start <= len(text) else end}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _is(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except EvaluationError:
            return False
        return True

    return check


def _url(text: str) -> Any:
    try:
        found = urlsplit(text)
        _ = found.port
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from error
    if not found.scheme and not text.startswith("/"):
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return found


def _ip(text: str) -> Any:
    try:
        return ip_address(text)
    except ValueError as error:
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string') from error


def _cidr(text: str) -> Any:
    try:
        if "/" in text:
            return ip_network(text, strict=False)
    except ValueError as error:
        raise EvaluationError(f'network address parse error during conversion from string: "{text}"') from error
    raise EvaluationError(f'network address parse error during conversion from string: "{text}"')


def _first(found: list[Any], what: str) -> Any:
    if not found:
        raise EvaluationError(f"{what} called on empty list")
    return min(found) if what == "min" else max(found)


def _position(found: list[Any], value: Any) -> int:
    return next((index for index, item in enumerate(found) if item == value), -1)


def _last_position(found: list[Any], value: Any) -> int:
    return next((index for index in range(len(found) - 1, -1, -1) if found[index] == value), -1)


def _sorted(found: list[Any]) -> bool:
    return all(one <= two for one, two in pairwise(found))


def _whole(found: Quantity) -> int:
    if found.amount != int(found.amount):
        raise EvaluationError("cannot convert value to integer")
    return int(found.amount)


def _value(found: Optional) -> Any:
    if not found.there:
        raise EvaluationError("optional.none() dereference")
    return found.value


def _split(text: str, mark: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not mark:
        return list(text)
    return text.split(mark, most - 1 if most > 0 else -1)


def _sign(value: Any) -> int:
    return (value > 0) - (value < 0)


FUNCTIONS: Final = _table({
    "size": [(f"{kind} -> int", len) for kind in ("string", "bytes", "list<A>", "map<A>")],
    "int": [(f"{kind} -> int", _to_int) for kind in ("int", "double", "string")]
    + [("timestamp -> int", lambda value: int(value.timestamp()))],
    "uint": [(f"{kind} -> int", _to_int) for kind in ("int", "double", "string")],
    "double": [(f"{kind} -> double", _to_double) for kind in ("int", "double", "string")],
    "string": [(f"{kind} -> string", _to_string)
               for kind in ("string", "int", "double", "bool", "bytes", "timestamp", "duration")],
    "bool": [("bool -> bool", bool), ("string -> bool", _to_bool)],
    "bytes": [("bytes -> bytes", bytes), ("string -> bytes", str.encode)],
    "timestamp": [("string -> timestamp", timestamp), ("timestamp -> timestamp", lambda value: value)],
    "duration": [("string -> duration", duration), ("duration -> duration", lambda value: value)],
    "dyn": [("A -> dyn", lambda value: value)],
    "type": [("A -> type", lambda value: TypeName(kind_of(value)))],
    "matches": [("string, string -> bool", _matches)],
    "quantity": [("string -> quantity", read_quantity)],
    "isQuantity": [("string -> bool", _is(read_quantity))],
    "url": [("string -> url", _url)],
    "isURL": [("string -> bool", _is(_url))],
    "ip": [("string -> ip", _ip)],
    "isIP": [("string -> bool", _is(_ip))],
    "cidr": [("string -> cidr", _cidr)],
    "isCIDR": [("string -> bool", _is(_cidr))],
    "sets.contains": [("list<A>, list<A> -> bool", lambda one, two: all(item in one for item in two))],
    "sets.intersects": [("list<A>, list<A> -> bool", lambda one, two: any(item in one for item in two))],
    "sets.equivalent": [("list<A>, list<A> -> bool", lambda one, two: all(item in one for item in two)
                         and all(item in two for item in one))],
    "math.greatest": [("A, A -> A", max)],
    "math.least": [("A, A -> A", min)],
    "base64.encode": [("bytes -> string", lambda value: b64encode(value).decode())],
    "base64.decode": [("string -> bytes", b64decode)],
    "optional.of": [("A -> optional<A>", lambda value: Optional(there=True, value=value))],
    "optional.none": [("-> optional<A>", lambda: Optional(there=False))],
})  # fmt: skip
METHODS: Final = _table({
    "size": [(f"{kind} -> int", len) for kind in ("string", "bytes", "list<A>", "map<A>")],
    "contains": [("string, string -> bool", lambda text, part: part in text)],
    "startsWith": [("string, string -> bool", str.startswith)],
    "endsWith": [("string, string -> bool", str.endswith)],
    "matches": [("string, string -> bool", _matches)],
    "charAt": [("string, int -> string", _at)],
    "indexOf": [("string, string -> int", str.find), ("string, string, int -> int", str.find),
                ("list<A>, A -> int", _position)],
    "lastIndexOf": [("string, string -> int", str.rfind), ("list<A>, A -> int", _last_position)],
    "lowerAscii": [("string -> string", str.lower)],
    "upperAscii": [("string -> string", str.upper)],
    "replace": [("string, string, string -> string", str.replace),
                ("string, string, string, int -> string", str.replace)],
    "split": [("string, string -> list<string>", _split), ("string, string, int -> list<string>", _split)],
    "substring": [("string, int -> string", lambda text, start: _between(text, start, len(text))),
                  ("string, int, int -> string", _between)],
    "trim": [("string -> string", str.strip)],
    "reverse": [("string -> string", lambda text: text[::-1]), ("list<A> -> list<A>", lambda found: found[::-1])],
    "join": [("list<string> -> string", "".join),
             ("list<string>, string -> string", lambda found, mark: mark.join(found))],
    "find": [("string, string -> string", _found)],
    "findAll": [("string, string -> list<string>",
                 lambda text, pattern: [found[0] for found in _regex(pattern).finditer(text)])],
    "isSorted": [("list<A> -> bool", _sorted)],
    "sum": [("list<A> -> A", sum)],
    "min": [("list<A> -> A", lambda found: _first(found, "min"))],
    "max": [("list<A> -> A", lambda found: _first(found, "max"))],
    "slice": [("list<A>, int, int -> list<A>", lambda found, start, end: found[start:end])],
    "sign": [("quantity -> int", lambda found: _sign(found.amount))],
    "isInteger": [("quantity -> bool", lambda found: found.amount == int(found.amount))],
    "asInteger": [("quantity -> int", _whole)],
    "asApproximateFloat": [("quantity -> double", lambda found: float(found.amount))],
    "add": [("quantity, quantity -> quantity", lambda one, two: Quantity(one.amount + two.amount)),
            ("quantity, int -> quantity", lambda one, two: Quantity(one.amount + two))],
    "sub": [("quantity, quantity -> quantity", lambda one, two: Quantity(one.amount - two.amount)),
            ("quantity, int -> quantity", lambda one, two: Quantity(one.amount - two))],
    "isLessThan": [("quantity, quantity -> bool", lambda one, two: one.amount < two.amount)],
    "isGreaterThan": [("quantity, quantity -> bool", lambda one, two: one.amount > two.amount)],
    "compareTo": [("quantity, quantity -> int", lambda one, two: _sign(one.amount - two.amount))],
    "getScheme": [("url -> string", lambda found: found.scheme)],
    "getHost": [("url -> string", lambda found: found.netloc.rpartition("@")[2])],
    "getHostname": [("url -> string", lambda found: found.hostname or "")],
    "getPort": [("url -> string", lambda found: "" if found.port is None else str(found.port))],
    "getEscapedPath": [("url -> string", lambda found: found.path)],
    "getQuery": [("url -> map<list<string>>", lambda found: parse_qs(found.query, keep_blank_values=True))],
    "family": [("ip -> int", lambda found: found.version)],
    "isLoopback": [("ip -> bool", lambda found: found.is_loopback)],
    "isUnspecified": [("ip -> bool", lambda found: found.is_unspecified)],
    "isGlobalUnicast": [("ip -> bool", lambda found: not (found.is_multicast or found.is_loopback
                                                          or found.is_link_local or found.is_unspecified))],
    "ip": [("cidr -> ip", lambda found: found.network_address)],
    "masked": [("cidr -> cidr", lambda found: found)],
    "prefixLength": [("cidr -> int", lambda found: found.prefixlen)],
    "containsIP": [("cidr, string -> bool", lambda found, text: _ip(text) in found),
                   ("cidr, ip -> bool", lambda found, one: one in found)],
    "containsCIDR": [("cidr, string -> bool", lambda found, text: _cidr(text).subnet_of(found)),
                     ("cidr, cidr -> bool", lambda found, one: one.subnet_of(found))],
    "getFullYear": [("timestamp -> int", lambda value: value.year)],
    "getMonth": [("timestamp -> int", lambda value: value.month - 1)],
    "getDate": [("timestamp -> int", lambda value: value.day)],
    "getDayOfMonth": [("timestamp -> int", lambda value: value.day - 1)],
    "getDayOfWeek": [("timestamp -> int", lambda value: value.isoweekday() % 7)],
    "getDayOfYear": [("timestamp -> int", lambda value: value.timetuple().tm_yday - 1)],
    "getHours": [("timestamp -> int", lambda value: value.hour),
                 ("duration -> int", lambda value: int(value.total_seconds() // 3600))],
    "getMinutes": [("timestamp -> int", lambda value: value.minute),
                   ("duration -> int", lambda value: int(value.total_seconds() // 60))],
    "getSeconds": [("timestamp -> int", lambda value: value.second),
                   ("duration -> int", lambda value: int(value.total_seconds()))],
    "hasValue": [("optional<A> -> bool", lambda found: found.there)],
    "value": [("optional<A> -> A", _value)],
    "orValue": [("optional<A>, A -> A", lambda found, other: found.value if found.there else other)],
})  # fmt: skip
