"""What a CustomResourceDefinition may not say, outside its schemas. Each is a dry run, so nothing stays."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import DEFINITIONS, causes, definition

CASES: Final = Cases()
Change = Callable[[dict[str, Any]], Any]


async def sent(api: Api, change: Change) -> None:
    wanted = definition("refused.example.com", "Bad")
    change(wanted)
    answer = await api.ask("POST", DEFINITIONS, wanted, record=False, dryRun="All")
    body = answer.body
    api.note(code=answer.code, reason=body.get("reason"), causes=causes(body), spec=body.get("spec"))
    if len(causes(body)) == 1:
        api.note(message=body["message"], details=body["details"])


def spec(**fields: Any) -> Change:
    return lambda wanted: wanted["spec"].update(fields)


def names(**fields: Any) -> Change:
    return lambda wanted: wanted["spec"]["names"].update(fields)


def version(**fields: Any) -> Change:
    return lambda wanted: wanted["spec"]["versions"][0].update(fields)


def versions(*changes: dict[str, Any]) -> Change:
    def change(wanted: dict[str, Any]) -> None:
        first = wanted["spec"]["versions"][0]
        wanted["spec"]["versions"] = [{**first, **one} for one in changes]

    return change


def grouped(group: str) -> Change:
    def change(wanted: dict[str, Any]) -> None:
        wanted["spec"]["group"] = group
        wanted["metadata"]["name"] = f"bads.{group}"

    return change


FIELDS: Final = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "object"}, "s": {"type": "string"}}},
    },
}  # fmt: skip
SELECTABLE: Final = (".spec.a", ".spec.s", ".spec.s", ".metadata.name", ".spec.none", ".spec[0]", "")

CHANGES: Final[dict[str, Change]] = {
    "a definition is made as it was sent, with defaults": lambda _wanted: None,
    "a definition is named plural.group": lambda wanted: wanted["metadata"].update(name="other.refused.example.com"),
    "a definition needs a spec": lambda wanted: wanted.pop("spec"),
    "a definition of nothing lacks everything": lambda wanted: wanted.update(spec={}),
    "a group is a DNS subdomain": spec(group="Bad_Group"),
    "a group has a dot": grouped("single"),
    "a group of Kubernetes needs an approval": grouped("foo.k8s.io"),
    "a scope is one of two": spec(scope="Sideways"),
    "a scope is required": lambda wanted: wanted["spec"].pop("scope"),
    "a plural is a DNS label": names(plural="Bad_s"),
    "a kind is a label in mixed case": names(kind="bad kind"),
    "a listKind is not the kind": names(listKind="Bad"),
    "a listKind is made from the kind": lambda wanted: wanted["spec"]["names"].pop("listKind"),
    "a short name is a DNS label": names(shortNames=["X_", "ok"]),
    "a category is a DNS label": names(categories=["X_"]),
    "a singular is a DNS label": names(singular="X_"),
    "a definition needs a version": spec(versions=[]),
    "two versions are not stored": versions({}, {"name": "v2"}),
    "one version is stored": versions({"storage": False}),
    "a version has a name of its own": versions({}, {"storage": False}),
    "a version is a DNS label": versions({"name": "V1_"}),
    "a version needs a schema": lambda wanted: wanted["spec"]["versions"][0].pop("schema"),
    "an empty schema is none": version(schema={}),
    "a warning needs a deprecated version": version(deprecated=False, deprecationWarning="x"),
    "a scale needs paths under spec and status": version(
        subresources={"scale": {"specReplicasPath": "x", "statusReplicasPath": ".spec.a", "labelSelectorPath": ".foo"}}
    ),
    "a scale needs its paths": version(subresources={"scale": {}}),
    "a column needs a name, a type and a path": version(
        additionalPrinterColumns=[
            {"name": "", "type": "foo", "jsonPath": "bad"},
            {"name": "x", "type": "string"},
            {"name": "y", "type": "integer", "format": "zz", "jsonPath": ".a"},
        ]
    ),
    "a selectable field is a scalar that the schema has": version(
        schema={"openAPIV3Schema": FIELDS}, selectableFields=[{"jsonPath": path} for path in SELECTABLE]
    ),
    "a webhook needs an address": spec(conversion={"strategy": "Webhook"}),
    "a conversion is one of two": spec(conversion={"strategy": "Foo"}),
    "unknown fields are not preserved by the definition": spec(preserveUnknownFields=True),
    "an unknown field of a definition is dropped": spec(foo=True),
    "versions that differ are judged one by one": versions(
        {}, {"name": "v2", "storage": False, "schema": {"openAPIV3Schema": {"type": "array"}}}
    ),
}  # fmt: skip

for sentence, change in CHANGES.items():
    CASES.many(f"definition: {sentence}", partial(sent, change=change))


@CASES.case("an unknown field in a definition is refused when validation is strict")
async def _(api: Api) -> None:
    wanted = definition("refused.example.com", "Bad", {"type": "object", "foo": 1})
    await api.ask("POST", DEFINITIONS, wanted, dryRun="All", fieldValidation="Strict")
    await api.ask("POST", DEFINITIONS, wanted, dryRun="All", fieldValidation="Warn")
