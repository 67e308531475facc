"""create, and replace: names, versions, uids, and objects that are made by PUT."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from contract_harness import Api, Cases
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()
Obj: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Obj], Any]
"""From the object that is there to the body that is to replace it."""
HOME: Final = ("v1", "configmaps")


async def posted(api: Api, *, metadata: Any, query: dict[str, str] | None = None) -> None:
    api.scrub("Gen_[a-z0-9]{5}", "Gen_<generated>")
    await api.ask("POST", api.path(*HOME), {"metadata": metadata, "data": {"a": "b"}}, query=query)


CREATES: Final[dict[str, tuple[Any, dict[str, str]]]] = {
    "a name is made up from generateName": ({"generateName": "gen-"}, {}),
    "a name goes before generateName": ({"name": "c", "generateName": "gen-"}, {}),
    "a long generateName is cut": ({"generateName": "g" * 70}, {}),
    "a bad generateName is invalid": ({"generateName": "Gen_"}, {}),
    "an empty generateName is as none": ({"generateName": ""}, {}),
    "a dry run makes a name up too": ({"generateName": "gen-"}, {"dryRun": "All"}),
    "a dry run of a create": ({"name": "c"}, {"dryRun": "All"}),
    "a dry run that is not All, of a create": ({"name": "c"}, {"dryRun": "Some"}),
    "dryRun given twice": ({"name": "c"}, {"dryRun": "All,All"}),
    "an empty dryRun": ({"name": "c"}, {"dryRun": ""}),
    "a create under a field manager": ({"name": "c"}, {"fieldManager": "me"}),
    "a field manager that is too long": ({"name": "c"}, {"fieldManager": "m" * 129}),
    "a field manager that does not print": ({"name": "c"}, {"fieldManager": "a\tb"}),
    "a fieldValidation that is no word, of a create": ({"name": "c"}, {"fieldValidation": "Some"}),
    "labels and annotations of a create": ({"name": "c", "labels": {"a": "b"}, "annotations": {"c": "d"}}, {}),
    "owner references of a create": (
        {
            "name": "c",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x", "controller": True},
                {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "y", "controller": True},
            ],
        },
        {},
    ),
    "an owner reference that stands twice": (
        {"name": "c", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}] * 2}, {},
    ),
}  # fmt: skip
for sentence, (metadata, query) in CREATES.items():
    CASES.many(sentence, partial(posted, metadata=metadata, query=query))


async def replaced(api: Api, *, change: Change, query: dict[str, str] | None = None) -> None:
    body = {"metadata": {"name": "c"}, "data": {"a": "b"}}
    made = await api.setup("POST", api.path(*HOME), body)
    sent = change(made)
    await api.ask("PUT", api.path(*HOME, "c"), sent, query=query)
    await api.ask("GET", api.path(*HOME, "c"))


def with_metadata(**fields: Any) -> Change:
    return lambda made: {**made, "metadata": {**made["metadata"], **fields}, "data": {"x": "y"}}


def bare(**fields: Any) -> Change:
    return lambda _made: {"metadata": {"name": "c"}, **fields}


REPLACES: Final[dict[str, tuple[Change, dict[str, str]]]] = {
    "a replace with the version that is there": (with_metadata(), {}),
    "a replace with an old version": (with_metadata(resourceVersion="1"), {}),
    "a replace with a version that is no number": (with_metadata(resourceVersion="x"), {}),
    "a replace without a version": (bare(data={"x": "y"}), {}),
    "a replace that takes everything away": (bare(), {}),
    "a replace with what is there": (lambda made: made, {}),
    "a replace with another uid": (with_metadata(uid="00000000-0000-0000-0000-000000000000"), {}),
    "a replace with an empty uid": (with_metadata(uid=""), {}),
    "a replace with another creation time": (with_metadata(creationTimestamp="2020-01-01T00:00:00Z"), {}),
    "a replace with another name": (with_metadata(name="d"), {}),
    "a replace without a name": (with_metadata(name=""), {}),
    "a replace with another namespace": (with_metadata(namespace="other"), {}),
    "a replace with a generation": (with_metadata(generation=9), {}),
    "a replace with a deletion time": (with_metadata(deletionTimestamp="2020-01-01T00:00:00Z"), {}),
    "a replace with another selfLink": (with_metadata(selfLink="/x"), {}),
    "a replace of the kind": (lambda made: {"kind": "Secret", "apiVersion": "v1", "metadata": made["metadata"]}, {}),
    "a replace by another manager": (with_metadata(), {"fieldManager": "other"}),
    "a dry run of a replace": (with_metadata(), {"dryRun": "All"}),
    "a replace with an unknown field, strictly": (bare(foo=1), {"fieldValidation": "Strict"}),
    "a replace with an unknown field": (bare(foo=1), {}),
    "a replace that empties managedFields": (with_metadata(managedFields=[{}]), {}),
    "a replace with managedFields of its own": (
        with_metadata(
            managedFields=[
                {
                    "manager": "me", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {"f:a": {}}},
                }
            ]
        ),
        {},
    ),
    "a replace with bad managedFields": (with_metadata(managedFields=[{"manager": "me", "operation": "Nope"}]), {}),
    "a replace with an array": (lambda _made: [], {}),
    "a replace with labels that are bad": (with_metadata(labels={"a b": "c"}), {}),
}  # fmt: skip
for sentence, (change, query) in REPLACES.items():
    CASES.many(sentence, partial(replaced, change=change, query=query))


@CASES.case("a replace of what is not there is NotFound")
async def _(api: Api) -> None:
    body = {"metadata": {"name": "c"}, "data": {"a": "b"}}
    await api.ask("PUT", api.path(*HOME, "c"), body)
    await api.ask("PUT", api.path(*HOME, "c"), {**body, "metadata": {"name": "c", "resourceVersion": "5"}})


@CASES.case("a Lease, Endpoints and a Service are made by PUT, a ServiceAccount is not")
async def _(api: Api) -> None:
    leases = api.path("coordination.k8s.io/v1", "leases", "l")
    await api.ask("PUT", leases, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    await api.ask("PUT", leases, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "you"}})
    await api.ask("PUT", api.path("v1", "endpoints", "e"), {"metadata": {"name": "e"}})
    await api.ask("PUT", api.path("v1", "serviceaccounts", "s"), {"metadata": {"name": "s"}})
    await api.ask("PUT", api.path("v1", "services", "s"), {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})


@CASES.case("a Deployment's main door leaves status, its status door leaves spec")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    made = await api.setup("POST", home, {**chat_topology(api.namespace, "chat")[1], "status": {"replicas": 5}})
    changed = {**made, "spec": {**made["spec"], "replicas": 7}, "status": {"replicas": 4, "readyReplicas": 4}}
    changed["metadata"] = {**made["metadata"], "labels": {"a": "b"}}
    put = await api.ask("PUT", f"{home}/chat/status", changed)
    again = {**changed, "metadata": {**changed["metadata"], "resourceVersion": put.body["metadata"]["resourceVersion"]}}
    await api.ask("PUT", f"{home}/chat", {**again, "status": {"replicas": 1}})
    await api.ask("GET", f"{home}/chat")


@CASES.case("a Scale is replaced, with its version and without")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat_topology(api.namespace, "chat")[1])
    path = f"{home}/chat/scale"
    first = (await api.ask("GET", path)).body
    await api.ask("PUT", path, {**first, "spec": {"replicas": 2}})
    await api.ask("PUT", path, {**first, "spec": {"replicas": 3}})
    await api.ask("PUT", path, {"metadata": {"name": "chat"}, "spec": {"replicas": 3}})
    await api.ask("PUT", path, {"metadata": {"name": "chat", "namespace": api.namespace}, "spec": {"replicas": 3}})
    await api.ask("PUT", path, {"metadata": {"name": "other"}, "spec": {"replicas": 3}})
    await api.ask("PUT", path, {"metadata": {"name": "chat"}, "spec": {"replicas": "3"}})
    await api.ask("PUT", path, {"metadata": {"name": "chat"}, "spec": {"replicas": -3}})
    await api.ask("PUT", path, {"metadata": {"name": "chat"}, "spec": {}}, dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "chat"}, "spec": {"replicas": 1}})
    await api.ask("DELETE", path)
    await api.ask("GET", f"{home}/chat")
