"""What a schema in a definition may not say: structural rules, list and map types, defaults."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import DEFINITIONS, causes, definition

CASES: Final = Cases()
OBJECT: Final = "object"
STRING: Final[dict[str, Any]] = {"type": "string"}


async def sent(api: Api, schema: dict[str, Any]) -> None:
    answer = await api.ask(
        "POST", DEFINITIONS, definition("refused.example.com", "Bad", schema), record=False, dryRun="All"
    )
    body = answer.body
    api.note(code=answer.code, reason=body.get("reason"), causes=causes(body), spec=body.get("spec"))
    if len(causes(body)) == 1:
        api.note(message=body["message"])


def field(**schema: Any) -> dict[str, Any]:
    """Return a root with the schema of `spec`."""
    return {"type": OBJECT, "properties": {"spec": {key.replace("__", "-"): value for key, value in schema.items()}}}


def kubernetes(kind: str, **schema: Any) -> dict[str, Any]:
    """Return a root with a `spec` that has extensions: `list_type` is `x-kubernetes-list-type`."""
    own = {f"x-kubernetes-{key[2:].replace('_', '-')}": value for key, value in schema.items() if key.startswith("x_")}
    rest = {key: value for key, value in schema.items() if not key.startswith("x_")}
    return {"type": OBJECT, "properties": {"spec": {"type": kind, **rest, **own}}}


def keyed(item: dict[str, Any], *keys: str) -> dict[str, Any]:
    return kubernetes("array", items=item, x_list_type="map", x_list_map_keys=list(keys))


def root(**properties: Any) -> dict[str, Any]:
    return {"type": OBJECT, "properties": properties}


LABELS: Final = {"type": OBJECT, "properties": {"labels": {"type": OBJECT, "additionalProperties": STRING}}}
SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "the root has a type": {},
    "the root is an object": {"type": "array", "items": STRING},
    "the root is not nullable": {"type": OBJECT, "nullable": True},
    "the root has no default": {"type": OBJECT, "default": {}},
    "a field has a type": field(),
    "an array has items": field(type="array"),
    "an item has a type": field(type="array", items={}),
    "a type is one of six": field(type="strang"),
    "null is no type": field(type="null"),
    "properties exclude additionalProperties": field(
        type=OBJECT, properties={"a": STRING}, additionalProperties=STRING
    ),
    "additionalProperties may be false": field(type=OBJECT, additionalProperties=False),
    "a pattern is a regular expression": field(type="string", pattern="("),
    **{
        f"a pattern {text} is none of RE2": field(type="string", pattern=text)
        for text in ("[a", "*a", "a**", "a{1001}", "(?=a)", "\\8", "a\\", "a)", "[b-a]", "(?P<a", "\\pZ)")
    },
    "a pattern may say what Python's cannot": field(type="string", pattern=r"^\pL+[[:digit:]]\z"),
    "an unknown format is accepted": field(type="string", format="weird"),
    "uniqueItems is forbidden": field(type="array", items=STRING, uniqueItems=True),
    "a reference is forbidden": {"type": OBJECT, "properties": {"spec": {"$ref": "#/x"}}},
    "definitions are forbidden": field(type=OBJECT, definitions={"a": STRING}),
    "patternProperties are forbidden": field(type=OBJECT, patternProperties={"a": STRING}),
    "dependencies are forbidden": field(type=OBJECT, dependencies={"a": ["b"]}),
    "metadata is not specified": root(metadata=LABELS),
    "a name in metadata may be restricted": root(
        metadata={"type": OBJECT, "properties": {"name": {"type": "string", "pattern": "^a"}}}
    ),
    "metadata, kind and version have their types": root(
        metadata=STRING, apiVersion={"type": OBJECT}, kind={"type": "integer"}
    ),
    "metadata has no defaults": root(
        metadata={"type": OBJECT, "properties": {"name": {"type": "string", "default": "x"}}}
    ),
    "preserve-unknown-fields is not false": kubernetes(OBJECT, x_preserve_unknown_fields=False),
    "an embedded resource has fields": kubernetes(OBJECT, x_embedded_resource=True),
    "an embedded resource is an object": kubernetes("string", x_embedded_resource=True),
    "an embedded resource has no free fields": kubernetes(
        OBJECT, additionalProperties=STRING, x_embedded_resource=True, x_preserve_unknown_fields=True
    ),
    "a number or text may be said by anyOf": root(
        spec={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    ),
    "allOf adds no type": field(type=OBJECT, allOf=[{"type": OBJECT}]),
    "not adds no type": {"type": OBJECT, "properties": {"spec": {"type": "string", "not": {"type": "string"}}}},
    "oneOf reaches no metadata": {"type": OBJECT, "oneOf": [{"properties": {"metadata": {"minProperties": 1}}}]},
    "conditions of the root know its fields": {
        "type": OBJECT, "properties": {"a": {"type": OBJECT, "properties": {"b": STRING}}, "l": STRING},
        "allOf": [{"properties": {"a": {"properties": {"c": {"pattern": "x"}}}}}],
        "not": {"properties": {"l": {"items": {"pattern": "x"}}}},
    },
    "anyOf adds conditions only": field(
        type=OBJECT,
        anyOf=[
            {
                "description": "x", "default": {}, "nullable": True, "additionalProperties": STRING, "title": "t",
                "x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-int-or-string": True,
                "x-kubernetes-list-type": "set", "x-kubernetes-map-type": "atomic",
            }
        ],
    ),
    "a default has the type of its field": field(type="string", default=5),
    "a default has no unknown fields": field(type=OBJECT, default={"zz": 1}, properties={"a": STRING}),
    "a default has what is required": field(type=OBJECT, default={}, required=["a"], properties={"a": STRING}),
    "a default is checked deep": field(type=OBJECT, default={"a": 5}, properties={"a": STRING}),
    "a default matches the pattern": field(type="string", pattern="^a", default="b"),
    "a default is one of the enum": field(type="string", enum=["a"], default="b"),
    "a null default is none": field(type="string", default=None),
    "an enum may have another type": field(type="string", enum=[1, 2]),
    "a minimum above the maximum is accepted": field(type="integer", minimum=5, maximum=1),
    "a list type is one of three": kubernetes("array", items=STRING, x_list_type="foo"),
    "a list type needs an array": kubernetes(OBJECT, x_list_type="atomic"),
    "a map has keys": kubernetes("array", items={"type": OBJECT}, x_list_type="map"),
    "the keys of a map are fields": keyed({"type": OBJECT, "properties": {"b": STRING}}, "a"),
    "the keys of a map are required or have defaults": keyed({"type": OBJECT, "properties": {"a": STRING}}, "a"),
    "the keys of a map are not nullable": keyed(
        {"type": OBJECT, "required": ["a"], "properties": {"a": {"type": "string", "nullable": True}}}, "a"
    ),
    "a map has objects": keyed(STRING, "a"),
    "the keys of a map are scalars, each once": keyed(
        {"type": OBJECT, "required": ["a"], "properties": {"a": {"type": OBJECT}}}, "a", "a"
    ),
    "keys need a map": kubernetes("array", items=STRING, x_list_map_keys=["a"]),
    "keys need a map and not a set": kubernetes("array", items=STRING, x_list_type="set", x_list_map_keys=["a"]),
    "a set has scalars": kubernetes("array", items={"type": OBJECT}, x_list_type="set"),
    "a set has no nulls": kubernetes("array", items={"type": "string", "nullable": True}, x_list_type="set"),
    "a map type is one of two": kubernetes(OBJECT, x_map_type="foo"),
    "a map type needs an object": kubernetes("array", items=STRING, x_map_type="atomic"),
}  # fmt: skip

for sentence, schema in SCHEMAS.items():
    CASES.many(f"schema: {sentence}", partial(sent, schema=schema))
