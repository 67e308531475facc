"""JSON paths of printer columns, such as `.spec.ports[?(@.name=="web")].port` (k8s.io/client-go, util/jsonpath)."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_lab.errors import SelectorError
from midwatch_lab.objects import Object

Step: TypeAlias = Callable[[Any], Iterable[Any]]

_TOKEN: Final = re.compile(
    r"\.\.(?P<deep>[^.\[\]\s]+)"
    r"|\.(?P<name>(?:\\.|[^.\[\]\s\\])+)"
    r"|\[(?P<quoted>'[^']*'|\"[^\"]*\")\]"
    r"|\[\?\((?P<filter>.*?)\)\]"
    r"|\[(?P<slice>-?\d*:-?\d*(?::\d*)?|\*|-?\d+)\]"
    r"|(?P<self>\.)$"
)
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_FILTER: Final = re.compile(r"\s*(?P<left>@[^\s=!<>]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*)?")


@lru_cache(maxsize=512)
def compiled(path: str) -> Callable[[Any], list[Any]]:
    """Return a function from an object to the values that a path finds in it.

    Raises:
        SelectorError: when the path does not parse.
    """
    steps: list[Step] = []
    place = 0
    while place < len(path):
        found = _TOKEN.match(path, place)
        if found is None:
            raise SelectorError(f"JSON path {path!r} does not parse at {path[place:]!r}")
        steps.append(_step(found))
        place = found.end()

    def find(value: Any) -> list[Any]:
        values = [value]
        for step in steps:
            values = [inner for outer in values for inner in step(outer)]
        return values

    return find


def _step(found: re.Match[str]) -> Step:
    if found["self"]:
        return lambda value: [value]
    if found["deep"]:
        name = found["deep"]
        return lambda value: _deep(value, name)
    if found["name"] is not None:
        return _named(re.sub(r"\\(.)", r"\1", found["name"]))
    if found["quoted"]:
        return _named(found["quoted"][1:-1])
    if found["filter"] is not None:
        return _filtered(found["filter"])
    return _sliced(found["slice"])


def _named(name: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if not isinstance(value, dict):
            return ()
        fields = cast("Object", value)
        if name == "*":
            return list(fields.values())
        return [fields[name]] if name in fields else ()

    return step


def _deep(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in cast("Object", value).items():
            if key == name:
                yield inner
            yield from _deep(inner, name)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _deep(inner, name)


def _sliced(text: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, dict) and text == "*":
            return list(cast("Object", value).values())
        if not isinstance(value, list):
            return ()
        items = cast("list[Any]", value)
        if text == "*":
            return items
        if ":" in text:
            return items[slice(*(int(part) if part else None for part in text.split(":")))]
        index = int(text)
        return [items[index]] if -len(items) <= index < len(items) else ()

    return step


def _filtered(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise SelectorError(f"JSON path filter {text!r} does not parse")
    left = compiled(found["left"][1:])
    sign: str | None = found["op"]
    right = _literal(found["right"]) if sign else None

    def holds(item: Any) -> bool:
        values = left(item)
        if not sign or not values:
            return bool(values)
        value = values[0]
        if sign in ("==", "!="):
            return (value == right) is (sign == "==")
        if isinstance(value, str) is not isinstance(right, str) or not isinstance(value, str | int | float):
            return False
        return bool(_ORDER[sign](value, right))

    def step(value: Any) -> Iterable[Any]:
        return [item for item in cast("list[Any]", value) if holds(item)] if isinstance(value, list) else ()

    return step


def _literal(text: str) -> Any:
    if text[:1] in "'\"":
        return text[1:-1]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SelectorError(f"JSON path filter: {text!r} is no value") from error
