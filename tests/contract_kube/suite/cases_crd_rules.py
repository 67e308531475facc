"""Rules in CEL: what is refused in a definition, and what they refuse in a custom resource."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import DEFINITIONS, causes, define, definition

CASES: Final = Cases()
GROUP: Final = "rules.example.com"
STRING: Final[dict[str, Any]] = {"type": "string", "maxLength": 20}
INTEGER: Final[dict[str, Any]] = {"type": "integer"}


def ruled(schema: dict[str, Any], rule: str, **fields: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **fields}]}


def thing(rule: str, **fields: Any) -> dict[str, Any]:
    """Return an object with a text, a number and a list, and a rule on it."""
    items = {"type": "array", "items": STRING, "maxItems": 5}
    properties = {"a": STRING, "n": INTEGER, "l": items, "t": {"type": "string", "format": "date-time"}}
    return ruled({"type": "object", "properties": properties}, rule, **fields)


async def sent(api: Api, spec: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"spec": spec}}
    wanted = definition("refused.example.com", "Bad", schema)
    answer = await api.ask("POST", DEFINITIONS, wanted, record=False, dryRun="All")
    api.note(code=answer.code, reason=answer.body.get("reason"), causes=causes(answer.body))
    if len(causes(answer.body)) == 1:
        api.note(message=answer.body["message"])


REFUSED: Final[dict[str, dict[str, Any]]] = {
    "must end": thing("self."),
    "knows the fields of its object": thing('self.b == "x"'),
    "is true or false": thing("self.a"),
    "compares like with like": thing("self.a > 5"),
    "equals like with like": thing("self.a == 5"),
    "adds like to like": thing('self.n + self.a == "x"'),
    "negates what is true or false": thing("!self.n"),
    "combines what is true or false": thing("self.n > 1 && self.a"),
    "is not empty": thing(""),
    "is not blank": thing("  "),
    "has a known reason": thing("true", reason="Foo"),
    "has a message of one line": thing("true", message="a\nb"),
    "has a message that says something": thing("true", message=" "),
    "of several lines needs a message": thing("true\n&& true"),
    "points at a field that there is": thing("true", fieldPath=".zz"),
    "may point at a field": thing("true", fieldPath=".a"),
    "makes a message of text": thing("true", messageExpression="5"),
    "makes a message that compiles": thing("true", messageExpression="self."),
    "makes a message of known fields": thing("true", messageExpression="self.b"),
    "knows its functions": thing("foo(self)"),
    "knows its methods": thing("self.a.foo()"),
    "gives functions what they take": thing("size(self.n) > 1"),
    "gives methods what they take": thing("self.a.startsWith(5)"),
    "knows its names": thing("other == 1"),
    "walks lists": thing("self.n.all(x, true)"),
    "walks lists with a condition": thing("self.l.all(x, x)"),
    "knows the elements of a list": thing("self.l.exists(x, x > 1)"),
    "indexes lists by number": thing('self.l["a"] == "x"'),
    "chooses between like and like": thing('(self.n > 1 ? 1 : "a") == 1'),
    "compares times with times": thing('self.t > "2020-01-01T00:00:00Z"'),
    "does not see what is kept unknown": ruled(
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "self.a == 1"
    ),
    "compares elements of keyed lists alone with their past": {
        "type": "array", "maxItems": 3, "items": ruled(STRING, "self == oldSelf"),
    },
    "holds for the default": ruled({"type": "integer", "default": 1}, "self > 5"),
    "may ask whether there was something": ruled(
        STRING, "oldSelf.hasValue() ? oldSelf.value() == self : true", optionalOldSelf=True
    ),
    "asks for the past where it says so": ruled(STRING, "true", optionalOldSelf=True),
    "stands in no condition": {
        "type": "object", "properties": {"a": STRING},
        "allOf": [{"properties": {"a": {"x-kubernetes-validations": [{"rule": "true"}]}}}],
    },
}  # fmt: skip
for sentence, spec in REFUSED.items():
    CASES.many(f"rules: a rule {sentence}", partial(sent, spec=spec))

ITEM: Final = {
    "type": "object", "required": ["n"],
    "properties": {"n": STRING, "v": ruled(INTEGER, "self >= oldSelf", message="may not shrink")},
}  # fmt: skip
FIELDS: Final[dict[str, Any]] = {
    "min": INTEGER,
    "max": INTEGER,
    "mode": ruled(STRING, "self == oldSelf", message="mode is immutable"),
    "once": ruled(STRING, "!oldSelf.hasValue() || oldSelf.value() == self", optionalOldSelf=True),
    "list": ruled(
        {"type": "array", "maxItems": 5, "items": STRING}, 'self.all(x, x.startsWith("a"))',
        messageExpression='"got " + self[0]',
    ),
    "m": ruled(
        {"type": "object", "maxProperties": 4, "additionalProperties": INTEGER}, "self.all(k, self[k] > 0)",
        reason="FieldValueForbidden", message="only positive",
    ),
    "each": {"type": "object", "maxProperties": 4, "additionalProperties": ruled(INTEGER, "self > 0")},
    "when": ruled({"type": "string", "format": "date-time"}, 'self > timestamp("2020-01-01T00:00:00Z")'),
    "dur": ruled({"type": "string", "format": "duration"}, 'self <= duration("1h")'),
    "ios": ruled({"x-kubernetes-int-or-string": True}, 'type(self) == int ? self > 0 : self.endsWith("%")'),
    "req": ruled(STRING, 'self.matches("^x")', reason="FieldValueRequired", message="needs x"),
    "dup": ruled(STRING, 'self != "dup"', reason="FieldValueDuplicate"),
    "items": {
        "type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": ITEM,
    },
    "err": ruled({"type": "object", "properties": {"a": INTEGER}}, "self.a / 0 == 1"),
    "idx": ruled({"type": "array", "maxItems": 3, "items": INTEGER}, "self[1] == 1"),
    "qty": ruled(STRING, 'quantity(self).isLessThan(quantity("1Gi"))'),
    "url": ruled(STRING, 'isURL(self) && url(self).getHost() == "a"'),
    "among": ruled(INTEGER, "self in [1, 2, 3]"),
    "num": ruled({"type": "number"}, "self * 2.0 < 3.0"),
    "words": ruled(STRING, 'self.split(",").map(x, x.trim()).filter(x, x != "").size() == 2'),
    "x-y": INTEGER,
    "namespace": STRING,
}  # fmt: skip
ON_SPEC: Final = [
    {
        "rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "message": "min must not exceed max",
        "fieldPath": ".min",
    },
    {"rule": "!has(self.x__dash__y) || self.x__dash__y < 5"},
    {
        "rule": '!has(self.__namespace__) || self.__namespace__ != "bad"', "reason": "FieldValueDuplicate",
        "message": "dup",
    },
]  # fmt: skip
ON_ROOT: Final = [
    {"rule": 'self.metadata.name != "forbidden"'},
    {"rule": "size(self.metadata.name) < 10", "message": "long"},
]
SCHEMA: Final = {
    "type": "object", "x-kubernetes-validations": ON_ROOT,
    "properties": {"spec": {"type": "object", "properties": FIELDS, "x-kubernetes-validations": ON_SPEC}},
}  # fmt: skip
RULED: Final = definition(GROUP, "Ruled", SCHEMA)


def manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Ruled", "metadata": {"name": name}, "spec": spec}


async def made(api: Api, specs: list[dict[str, Any]], name: str = "r") -> None:
    home = await define(api, RULED)
    for spec in specs:
        answer = await api.ask("POST", home, manifest(name, spec), record=False, dryRun="All")
        message = answer.body.get("message") if len(causes(answer.body)) < 2 else None
        api.note(code=answer.code, causes=causes(answer.body), message=message)


BROKEN: Final[dict[str, list[dict[str, Any]]]] = {
    "points at a field": [{"min": 5, "max": 1}, {"min": 1, "max": 5}, {"min": 1}],
    "makes its own message": [{"list": ["ab", "b"]}, {"list": []}, {"list": ["a"]}],
    "walks a map": [{"m": {"a": 0}}, {"m": {"a": 1}}, {"each": {"a": 0}}],
    "reads times": [{"when": "2019-01-01T00:00:00Z"}, {"when": "2021-01-01T00:00:00Z"}],
    "reads durations": [{"dur": "2h"}, {"dur": "59m"}],
    "looks at types": [{"ios": 0}, {"ios": "x"}, {"ios": "5%"}, {"ios": 1}],
    "has its own reason": [{"req": "y"}, {"dup": "dup"}, {"namespace": "bad"}],
    "fails to be evaluated": [{"err": {"a": 1}}, {"err": {}}, {"idx": [1]}, {"qty": "zz"}],
    "reads quantities": [{"qty": "2Gi"}, {"qty": "5Mi"}],
    "reads addresses": [{"url": "http://b"}, {"url": "http://a/x"}, {"url": "b"}],
    "looks into a list": [{"among": 7}, {"among": 2}],
    "calculates with doubles": [{"num": 2}, {"num": 1.2}, {"num": 1}],
    "works on words": [{"words": "a, b"}, {"words": "a,,"}],
    "names fields that are no names": [{"x-y": 9}, {"x-y": 1}],
    "waits for valid types": [{"min": "x", "list": ["b"]}, {"when": "x"}],
}
for sentence, specs in BROKEN.items():
    CASES.many(f"rules: a broken rule {sentence}", partial(made, specs=specs))
for name in ("forbidden", "much-too-long"):
    CASES.many(f"rules: a rule on the whole object: {name}", partial(made, specs=[{}], name=name))


@CASES.case("rules: a rule about change")
async def _(api: Api) -> None:
    home = await define(api, RULED)
    spec = {"mode": "A", "once": "A", "items": [{"n": "a", "v": 5}, {"n": "b", "v": 1}], "min": 1}
    await api.setup("POST", home, manifest("r", spec))
    patches: list[dict[str, Any]] = [
        {"mode": "B"}, {"once": "B"}, {"items": [{"n": "b", "v": 0}, {"n": "c", "v": 0}]},
        {"items": [{"n": "b", "v": 2}]}, {"mode": None}, {"mode": "C"}, {"max": 0},
    ]  # fmt: skip
    for patch in patches:
        await api.ask("PATCH", f"{home}/r", {"spec": patch}, "merge")


async def made_stricter(api: Api, kind: str, stricter: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    """Define a kind, make an object, make the schema stricter than the object, and change the object."""
    fields = {"a": STRING, "b": STRING, "n": INTEGER}
    loose = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    home = await define(api, definition("lenient.example.com", kind, loose))
    body = {"apiVersion": "lenient.example.com/v1", "kind": kind, "metadata": {"name": "r"}}
    await api.setup("POST", home, {**body, "spec": {"a": "bad", "b": "bad", "n": 50}})
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {**fields, **stricter}}}}
    patch = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]
    await api.setup("PATCH", f"{DEFINITIONS}/{kind.lower()}s.lenient.example.com", patch, "json")
    probe = {**body, "metadata": {"name": "p"}, "spec": {"a": "bad", "n": 50}}
    while (await api.ask("POST", home, probe, record=False, dryRun="All")).code != 422:
        pass
    for change in changes:
        await api.ask("PATCH", f"{home}/r", change, "merge")


CASES.many("rules: what was invalid before may stay while it is unchanged", partial(
    made_stricter, kind="Lenient", stricter={"b": {**STRING, "enum": ["good"]}, "n": {**INTEGER, "maximum": 9}},
    changes=[
        {"metadata": {"labels": {"x": "y"}}}, {"spec": {"b": "worse"}}, {"spec": {"n": 51}}, {"spec": {"n": 1}},
    ],
))  # fmt: skip
CASES.many("rules: what broke a rule before may stay, with a warning", partial(
    made_stricter, kind="Warned", stricter={"a": ruled(STRING, 'self == "good"')}, changes=[
        {"metadata": {"labels": {"x": "y"}}}, {"spec": {"a": "worse"}}, {"spec": {"n": 1}}, {"spec": {"a": "good"}},
    ],
))  # fmt: skip
