"""Custom resources against their schema: types, limits, formats, logic, defaults, nulls, unknown fields."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import causes, define, definition

CASES: Final = Cases()
GROUP: Final = "values.example.com"
FORMATS: Final = (
    "date-time", "date", "duration", "uuid", "email", "ipv4", "ipv6", "cidr", "uri", "byte", "hostname", "mac",
    "password", "weird",
)  # fmt: skip
PORT: Final = {
    "type": "object", "required": ["name"],
    "properties": {"name": {"type": "string"}, "v": {"type": "integer"}, "proto": {"type": "string", "default": "TCP"}},
}  # fmt: skip
FIELDS: Final[dict[str, Any]] = {
    "need": {"type": "string"},
    "s": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
    "i": {"type": "integer", "minimum": 1, "maximum": 10},
    "ix": {
        "type": "integer", "exclusiveMinimum": True, "minimum": 1, "exclusiveMaximum": True, "maximum": 10,
        "multipleOf": 3,
    },
    "i32": {"type": "integer", "format": "int32"},
    "i64": {"type": "integer", "format": "int64"},
    "n": {"type": "number", "minimum": 0.5},
    "fl": {"type": "number", "format": "float"},
    "b": {"type": "boolean"},
    "e": {"type": "string", "enum": ["a", "b"]},
    "l": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 2},
    "m": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2},
    "any": {"type": "object", "additionalProperties": True},
    "ios": {"x-kubernetes-int-or-string": True},
    "keep": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"k": {"type": "string"}},
    },
    "nul": {"type": "string", "nullable": True},
    "emb": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "map": {
        "type": "array", "items": PORT, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "proto"],
    },
    "of": {
        "type": "integer", "oneOf": [{"minimum": 5}, {"maximum": 3}], "anyOf": [{"minimum": 0}],
        "allOf": [{"maximum": 100}], "not": {"enum": [50]},
    },
    "both": {"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 0}]},
    "def": {
        "type": "object",
        "properties": {
            "x": {"type": "string", "default": "dx"},
            "y": {"type": "object", "default": {}, "properties": {"z": {"type": "integer", "default": 7}}},
        },
    },
    "defl": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer", "default": 3}}}},
    **{name: {"type": "string", "format": name} for name in FORMATS},
}  # fmt: skip
SPEC: Final = {"type": "object", "required": ["need"], "properties": FIELDS}
STATUS: Final = {"type": "object", "properties": {"r": {"type": "integer"}}}
SCHEMA: Final = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
CHECKS: Final = definition(GROUP, "Check", SCHEMA, subresources={"status": {}})


def manifest(spec: Any = None, **metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"apiVersion": f"{GROUP}/v1", "kind": "Check", "metadata": {"name": "c", **metadata}}
    if spec is not None:
        found["spec"] = {"need": "x", **spec} if isinstance(spec, dict) else spec
    return found


async def made(api: Api, values: list[Any], *, key: str = "") -> None:
    """Create one object a value, as a dry run, and note what came of each."""
    home = await define(api, CHECKS)
    for value in values:
        body = manifest({key: value} if key else value)
        answer = await api.ask("POST", home, body, record=False, dryRun="All")
        kept = {name: answer.body.get(name) for name in ("spec", "status", "reason")}
        message = answer.body.get("message") if len(causes(answer.body)) < 2 else None
        api.note(
            code=answer.code, warnings=answer.headers.get("warning"), causes=causes(answer.body), **kept, m=message
        )


VALUES: Final[dict[str, tuple[str, list[Any]]]] = {
    "text has its type and limits": ("s", [5, "a", "toolong", "ABC", "abc", ["x"], {}, True, 1.5]),
    "null stands for a field that is not there": ("s", [None]),
    "whole numbers have their type and limits": ("i", [0, 11, "5", 1.5, 5.0, True, None, 10**20]),
    "limits may be exclusive, and numbers multiples": ("ix", [1, 10, 4, 3]),
    "int32 is 32 bits wide": ("i32", [2**31, 2**31 - 1, -(2**31)]),
    "int64 is 64 bits wide": ("i64", [2**63, 2**63 - 1]),
    "a number may be whole": ("n", [0.1, 1, 0.5, "x"]),
    "a float is 32 bits wide": ("fl", [1e300, 1.5]),
    "true and false are no text": ("b", ["x", True, 0]),
    "an enum is closed": ("e", ["c", 1, "a"]),
    "a list has its type and limits": ("l", [[], ["a", "b", "c"], ["abcd", 5], [None], {}, ["a"]]),
    "a map has its type and limits": ("m", [{}, {"a": 1, "b": 2, "c": 3}, {"a": "x"}, {"a": None}, {"a": 1}]),
    "what any field may hold loses what is inside": ("any", [{"x": [1, {"y": None}]}, {"x": {"y": 1}}]),
    "a number or text is nothing else": ("ios", [5, "x", 1.5, True, {}]),
    "a part that keeps unknown fields checks the known": ("keep", [{"a": 1, "k": "v", "n": None}, {"k": 1}]),
    "a nullable field may be null": ("nul", [None, "x", 5]),
    "sets have no element twice": ("set", [["a", "b", "a"], ["a", "b"]]),
    "keyed lists have no key twice": (
        "map", [[{"name": "a"}, {"name": "a", "proto": "TCP"}], [{"v": 1}], [{"name": "a"}, {"name": "b"}]],
    ),
    "anyOf, oneOf, allOf and not are judged": ("of", [4, 5, 1, 50, 101, -1]),
    "two of oneOf are too many": ("both", [1, 0]),
    "defaults fill in deep": ("def", [{}, {"x": None, "y": None}, {"x": "own"}]),
    "defaults fill in elements": ("defl", [[{}, {"q": 1}]]),
    "an embedded object has kind and version": ("emb", [
        {}, {"apiVersion": 1, "kind": "X"}, {"apiVersion": "a/b/c", "kind": "P o"},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "foo": "bar"}, "spec": {"a": 1}},
    ]),
    "an embedded object has metadata": ("emb", [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "X_", "labels": {"a_": "@"}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": 5}},
    ]),
}  # fmt: skip
for sentence, (key, values) in VALUES.items():
    CASES.many(f"values: {sentence}", partial(made, key=key, values=values))

TEXTS: Final[dict[str, list[str]]] = {
    "date-time": ["x", "2020-01-01T00:00:00Z", "2020-01-01", "2020-01-01T00:00:00"],
    "date": ["x", "2020-01-01", "2020-02-30"],
    "duration": ["x", "5m", "1 day", "1h30m", ""],
    "uuid": ["x", "6654f512-6568-4186-97e3-6e3d2000c96e"],
    "email": ["x", "a@b.c"],
    "ipv4": ["x", "1.2.3.4", "::1"],
    "ipv6": ["x", "::1", "1.2.3.4"],
    "cidr": ["x", "10.0.0.0/8", "10.0.0.0"],
    "uri": ["x", "http://a/b", "/a", "a b", "a:b"],
    "byte": ["%%%", "YQ=="],
    "hostname": ["_x_", "a.b-c", "a.com", "localhost", "1.2.3.4"],
    "mac": ["x", "00:11:22:33:44:55"],
    "password": ["x"],
    "weird": ["x"],
}
for name, texts in TEXTS.items():
    CASES.many(f"values: the format {name}", partial(made, key=name, values=texts))

CASES.many("values: an object without a spec is fine, one that lacks what is required not", partial(
    made, values=[None, "x", {"need": None}, {"s": 5, "i": "x", "e": "q", "b": 1}]
))  # fmt: skip


async def unknown(api: Api, validation: str) -> None:
    home = await define(api, CHECKS)
    body = {**manifest({"zz": 1, "def": {"zz": 1}, "defl": [{"a": 1}]}, foo=1), "top": 1}
    await api.ask("POST", home, body, fieldValidation=validation)


for validation in ("Strict", "Warn", "Ignore"):
    CASES.many(f"values: unknown fields under {validation}", partial(unknown, validation=validation))
