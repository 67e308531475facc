"""Roles and bindings as objects: defaults, what is invalid, what may not change, tables, patches and applies."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import CLUSTER_BINDINGS, CLUSTER_ROLES, RBAC, binding, named, role, rule

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
GET_PODS: Final = rule("get", "pods")
VERSION: Final = f"{RBAC}/v1"


def home(api: Api, plural: str) -> str:
    return api.path(VERSION, plural) if plural in ("roles", "rolebindings") else f"/apis/{VERSION}/{plural}"


async def created(plural: str, bodies: list[Any], api: Api) -> None:
    for body in bodies:
        await api.ask("POST", home(api, plural), body, dryRun="All")


NAMES: Final[list[Any]] = [{"metadata": {"name": name}, "rules": []} for name in ("a/b", "X:y:*", "..", ".", "a%b", "")]
RULES: Final[list[Any]] = [
    {},
    {"rules": []},
    {"rules": None},
    {"rules": [{}]},
    {"rules": [{"verbs": []}]},
    {"rules": [{"verbs": ["get"]}]},
    {"rules": [{"verbs": ["get"], "resources": ["pods"]}]},
    {"rules": [{"verbs": ["get"], "apiGroups": [""]}]},
    {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
    {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x", "y/*/z", "*a"]}]},
    {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"], "apiGroups": [""], "resources": ["a"]}]},
    {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"], "resourceNames": ["a"]}]},
    {"rules": [{"verbs": ["", "*"], "apiGroups": ["*", "A B"], "resources": ["*/x", "//"], "resourceNames": [""]}]},
    {"rules": [GET_PODS, {"verbs": ["get"], "apiGroups": []}]},
    {"rules": "all"},
    {"rules": [{"verbs": "get"}]},
    {"rules": [GET_PODS], "colour": "red"},
]
for _plural in ("roles", "clusterroles"):
    _bodies = [{"metadata": {"name": "x"}, **fields} for fields in RULES]
    CASES.many(f"rules of {_plural} need verbs, and resources or paths", partial(created, _plural, _bodies))
    CASES.many(f"names of {_plural} are segments of a path", partial(created, _plural, NAMES))

REFERENCE: Final = {"kind": "ClusterRole", "name": "view"}
REFERENCES: Final[list[Any]] = [
    {},
    {"roleRef": {}},
    {"roleRef": REFERENCE},
    {"roleRef": {"kind": "Foo", "name": "a/b", "apiGroup": "x"}},
    {"roleRef": {"kind": "Role", "name": "r"}},
    {"roleRef": {**REFERENCE, "name": ""}},
    {"roleRef": {**REFERENCE, "name": ".."}},
]
SUBJECTS: Final[list[Any]] = [
    [{"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "name": "s"}],
    [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}, {"kind": "ServiceAccount", "name": "S_"}],
    [{"kind": "ServiceAccount", "name": "", "namespace": ""}, {"kind": "User", "name": "", "apiGroup": "x"}],
    [{"kind": "ServiceAccount", "name": "s", "namespace": "n", "apiGroup": "x"}, {"kind": "Foo", "name": "a"}, {}],
    [{"kind": "User", "name": "a", "namespace": "b"}, {"kind": "Group", "name": "g", "apiGroup": "x"}],
    [],
]
for _plural in ("rolebindings", "clusterrolebindings"):
    _bodies = [{"metadata": {"name": "x"}, **fields} for fields in REFERENCES]
    CASES.many(f"roleRefs of {_plural} name a role of a kind that fits", partial(created, _plural, _bodies))
    _bodies = [{"metadata": {"name": "x"}, "roleRef": REFERENCE, "subjects": found} for found in SUBJECTS]
    CASES.many(f"subjects of {_plural} get their API group and must be of a kind", partial(created, _plural, _bodies))

AGGREGATIONS: Final[list[Any]] = [
    {"aggregationRule": {}},
    {"aggregationRule": {"clusterRoleSelectors": []}},
    {"aggregationRule": {"clusterRoleSelectors": [{}]}},
    {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a b": "c"}}, {"matchLabels": {"a": "b"}}]}},
    {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Bad"}]}]}},
    {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}, "rules": [GET_PODS]},
]
CASES.many(
    "an aggregation rule needs selectors that are good",
    partial(created, "clusterroles", [{"metadata": {"name": "x"}, **fields} for fields in AGGREGATIONS]),
)


async def fixed(plural: str, api: Api) -> None:
    name = api.unique("b")
    path = home(api, plural)
    await api.setup("POST", path, {"metadata": {"name": name}, "roleRef": REFERENCE})
    for reference in ({**REFERENCE, "name": "edit"}, {"kind": "Foo", "name": ""}, {**REFERENCE, "apiGroup": "x"}):
        await api.ask("PUT", f"{path}/{name}", {"metadata": {"name": name}, "roleRef": reference})
    await api.ask("PATCH", f"{path}/{name}", {"roleRef": {"name": "edit"}}, "merge")
    added = {"subjects": [{"kind": "User", "name": "jane"}]}
    await api.ask("PATCH", f"{path}/{name}", added, "merge")
    await api.ask("PATCH", f"{path}/{name}", {"subjects": [{"kind": "Group", "name": "devs"}]}, "strategic")
    await api.ask("PATCH", f"{path}/{name}", [{"op": "add", "path": "/subjects/-", "value": {"kind": "User"}}], "json")
    await api.ask("PUT", f"{path}/{name}", {"metadata": {"name": name}, "roleRef": REFERENCE})
    await api.ask("DELETE", f"{path}/{name}")


for _plural in ("rolebindings", "clusterrolebindings"):
    CASES.many(f"{_plural} keep their role, and their subjects may change", partial(fixed, _plural))


@CASES.case("roles are patched, replaced and made by a PUT, and show empty rules")
async def _(api: Api) -> None:
    path = home(api, "roles")
    await api.ask("PUT", f"{path}/a", role("a", GET_PODS))
    await api.ask("PATCH", f"{path}/a", {"rules": [rule("list", "pods")]}, "strategic")
    await api.ask("PATCH", f"{path}/a", [{"op": "add", "path": "/rules/-", "value": GET_PODS}], "json")
    await api.ask("PATCH", f"{path}/a", {"rules": None}, "merge")
    await api.ask("PATCH", f"{path}/a", [{"op": "add", "path": "/rules/-", "value": GET_PODS}], "json")
    await api.ask("PUT", f"{path}/a", role("a"))
    await api.ask("GET", f"{path}/a")
    await api.ask("GET", path)
    await api.ask("DELETE", path)


@CASES.case("rules of an applied role have one owner, and another's apply conflicts")
async def _(api: Api) -> None:
    path, kind = f"{home(api, 'roles')}/a", {"apiVersion": VERSION, "kind": "Role"}
    await api.ask("PATCH", path, {**kind, **role("a", GET_PODS)}, "apply", fieldManager="one")
    await api.ask("PATCH", path, {**kind, **role("a", rule("list", "pods"))}, "apply", fieldManager="two")
    forced: Any = {"fieldManager": "two", "force": "true"}
    await api.ask("PATCH", path, {**kind, **role("a", rule("list", "pods"))}, "apply", **forced)
    await api.ask("PATCH", path, {**kind, "metadata": {"name": "a"}}, "apply", fieldManager="two")
    await api.ask("GET", path)


@CASES.case("subjects of an applied binding are owned as one, and its role cannot be applied away")
async def _(api: Api) -> None:
    path, kind = f"{home(api, 'rolebindings')}/a", {"apiVersion": VERSION, "kind": "RoleBinding"}
    given = {**kind, **binding("a", "view", named("User", "jane"))}
    await api.ask("PATCH", path, given, "apply", fieldManager="one")
    await api.ask("PATCH", path, {**kind, **binding("a", "edit", named("User", "jane"))}, "apply", fieldManager="one")
    more = {**kind, **binding("a", "view", named("User", "jane"), named("Group", "devs"))}
    await api.ask("PATCH", path, more, "apply", fieldManager="two")
    await api.ask("PATCH", path, more, "apply", fieldManager="one")


async def tables(plural: str, api: Api) -> None:
    path, name = home(api, plural), api.unique("t")
    account = {"kind": "ServiceAccount", "name": "s", "namespace": "n"}
    subjects = [named("User", "u"), named("Group", "g"), account, named("User", "v")]
    body = binding(name, "view", *subjects) if "binding" in plural else role(name, GET_PODS)
    await api.setup("POST", path, {**body, "metadata": {"name": name, "labels": {"case": name}}})
    await api.ask("GET", path, accept=TABLE, labelSelector=f"case={name}")
    await api.ask("GET", f"{path}/{name}", accept=TABLE, includeObject="None")


for _plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"):
    CASES.many(f"{_plural} have the original's columns", partial(tables, _plural))


async def bootstrapped(plural: str, api: Api) -> None:
    await api.ask("GET", home(api, plural), labelSelector="kubernetes.io/bootstrapping=rbac-defaults")


CASES.many("a cluster begins with the original's cluster roles", partial(bootstrapped, "clusterroles"))
CASES.many("a cluster begins with the original's cluster role bindings", partial(bootstrapped, "clusterrolebindings"))


@CASES.case("kube-system begins with the original's roles and bindings")
async def _(api: Api) -> None:
    for plural in ("roles", "rolebindings"):
        for namespace in ("kube-system", "kube-public"):
            await api.ask("GET", f"/apis/{VERSION}/namespaces/{namespace}/{plural}")


@CASES.case("cluster roles and their bindings are listed, watched and deleted by label")
async def _(api: Api) -> None:
    for path, body in ((CLUSTER_ROLES, role(api.unique("r"))), (CLUSTER_BINDINGS, binding(api.unique("b"), "view"))):
        body["metadata"]["labels"] = {"case": api.namespace}
        chosen: Any = {"labelSelector": f"case={api.namespace}"}
        await api.setup("POST", path, body)
        await api.ask("GET", path, **chosen)
        async with api.watch(path, resourceVersion="0", **chosen) as watch:
            await watch.events(1)
            await api.ask("DELETE", path, **chosen)
            await watch.events(1)
