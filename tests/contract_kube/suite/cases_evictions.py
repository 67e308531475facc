"""Evictions: which pods go, what a disruption budget says to it, and what it counts."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
LABELS: Final = {"a": "b"}
SPEC: Final = {"nodeName": "n", "containers": [{"name": "a", "image": "i"}]}
READY: Final = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
UNREADY: Final = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
EVICTION: Final[dict[str, Any]] = {"metadata": {"name": "p"}}


async def pod(api: Api, status: dict[str, Any], name: str = "p", **metadata: Any) -> dict[str, Any]:
    home = api.path("v1", "pods")
    await api.setup("POST", home, {"metadata": {"name": name, "labels": LABELS, **metadata}, "spec": SPEC})
    made = await api.setup("PATCH", f"{home}/{name}/status", {"status": status}, "merge")
    return made["metadata"]


async def budget(api: Api, name: str = "b", *, spec: dict[str, Any] | None = None, **status: Any) -> None:
    """A budget whose controller would have said `status`; nobody else writes it here."""
    home = api.path("policy/v1", "poddisruptionbudgets")
    body = {"selector": {"matchLabels": LABELS}, "minAvailable": 1, **(spec or {})}
    await api.setup("POST", home, {"metadata": {"name": name}, "spec": body})
    whole = {
        "observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1,
        **status,
    }  # fmt: skip
    await api.setup("PATCH", f"{home}/{name}/status", {"status": whole}, "merge")


async def look(api: Api, *, budgets: bool = True) -> None:
    await api.ask("GET", api.path("v1", "pods"))
    if budgets:
        await api.ask("GET", api.path("policy/v1", "poddisruptionbudgets"))


async def evict(api: Api, body: Any = EVICTION, **options: Any) -> None:
    await api.ask("POST", api.path("v1", "pods", "p", "eviction"), body, **options)


PODS: Final[dict[str, dict[str, Any]]] = {
    "a running pod": READY,
    "a pod that is not ready": UNREADY,
    "a pending pod": {"phase": "Pending"},
    "a pod that has succeeded": {"phase": "Succeeded"},
    "a pod that has failed": {"phase": "Failed"},
}
BUDGETS: Final[dict[str, dict[str, Any]]] = {
    "without any budget": {},
    "with a budget that allows one": {"disruptionsAllowed": 1},
    "with a budget that allows two": {"disruptionsAllowed": 2, "currentHealthy": 3},
    "with a budget that allows none": {"disruptionsAllowed": 0},
    "with a budget that lacks healthy pods": {"currentHealthy": 0},
    "with a budget that wants none healthy": {"desiredHealthy": 0},
}


async def tried(api: Api, *, status: dict[str, Any], allowance: dict[str, Any]) -> None:
    await pod(api, status)
    if allowance:
        await budget(api, **allowance)
    await evict(api)
    await look(api)


for which_, status_ in PODS.items():
    for how_, allowance_ in BUDGETS.items():
        CASES.many(f"an eviction of {which_} {how_}", partial(tried, status=status_, allowance=allowance_))


@CASES.case("an eviction of a pod that is being deleted asks no budget")
async def _(api: Api) -> None:
    await pod(api, READY)
    await budget(api)
    await api.setup("DELETE", api.path("v1", "pods", "p"))
    await evict(api)
    await look(api)


@CASES.case("an eviction while a finalizer holds the pod")
async def _(api: Api) -> None:
    await pod(api, READY, finalizers=["x.io/y"])
    await evict(api, {**EVICTION, "deleteOptions": {"gracePeriodSeconds": 0}})
    await look(api)
    await evict(api)
    await look(api)


@CASES.case("two budgets over one pod are not supported, and a budget over other pods is not asked")
async def _(api: Api) -> None:
    await pod(api, READY)
    await budget(api, "b", disruptionsAllowed=1)
    await budget(api, "c", disruptionsAllowed=1)
    await evict(api)
    await look(api)
    await api.setup("DELETE", api.path("policy/v1", "poddisruptionbudgets", "c"))
    await budget(api, "d", spec={"selector": {"matchLabels": {"a": "z"}}})
    await evict(api)
    await look(api)


@CASES.case("a budget that selects by expressions, one that selects all, and one that selects nothing")
async def _(api: Api) -> None:
    await pod(api, READY)
    expression = {"key": "a", "operator": "In", "values": ["b", "c"]}
    await budget(api, "b", spec={"selector": {"matchExpressions": [expression]}})
    await evict(api)
    await api.setup("DELETE", api.path("policy/v1", "poddisruptionbudgets", "b"))
    await budget(api, "c", spec={"selector": {}})
    await evict(api)
    await api.setup("DELETE", api.path("policy/v1", "poddisruptionbudgets", "c"))
    await budget(api, "d", spec={"selector": None})
    await evict(api)
    await look(api)


@CASES.case("a budget that its controller has not seen yet asks for patience")
async def _(api: Api) -> None:
    await pod(api, READY)
    await budget(api, disruptionsAllowed=1, observedGeneration=None)
    await evict(api)
    await look(api)


@CASES.case("a budget that could not be worked out says so")
async def _(api: Api) -> None:
    await pod(api, READY)
    condition = {
        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no controller",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    await budget(api, conditions=[condition])
    await evict(api)
    await api.setup(
        "PATCH", api.path("policy/v1", "poddisruptionbudgets", "b", "status"),
        {"status": {"conditions": [{**condition, "reason": "InsufficientPods"}]}}, "merge",
    )  # fmt: skip
    await evict(api)


@CASES.case("an unhealthy pod may always be evicted where the budget says so, and a healthy one not")
async def _(api: Api) -> None:
    await pod(api, UNREADY)
    await pod(api, READY, "q")
    await budget(api, spec={"unhealthyPodEvictionPolicy": "AlwaysAllow"}, currentHealthy=0)
    await evict(api)
    await api.ask("POST", api.path("v1", "pods", "q", "eviction"), {"metadata": {"name": "q"}})
    await look(api)


@CASES.case("an unhealthy pod under IfHealthyBudget goes while the others are healthy")
async def _(api: Api) -> None:
    await pod(api, UNREADY)
    await budget(api, spec={"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, currentHealthy=0)
    await evict(api)
    await api.setup(
        "PATCH", api.path("policy/v1", "poddisruptionbudgets", "b", "status"), {"status": {"currentHealthy": 1}},
        "merge",
    )  # fmt: skip
    await evict(api)
    await look(api)


@CASES.case("a dry run of an eviction, by the query and by the body, leaves all as it was")
async def _(api: Api) -> None:
    await pod(api, READY)
    await budget(api, disruptionsAllowed=1)
    await evict(api, dryRun="All")
    await evict(api, {**EVICTION, "deleteOptions": {"dryRun": ["All"]}})
    await evict(api, {**EVICTION, "deleteOptions": {"dryRun": ["All"]}}, dryRun="All")
    await evict(api, {**EVICTION, "deleteOptions": {"dryRun": ["Some"]}})
    await evict(api, {**EVICTION, "deleteOptions": {"dryRun": ["Some"]}}, dryRun="All")
    await evict(api, dryRun="x")
    await look(api)


@CASES.case("an eviction gives the pod the grace that it says, or none")
async def _(api: Api) -> None:
    await pod(api, READY)
    await evict(api, {**EVICTION, "deleteOptions": {"gracePeriodSeconds": 7}})
    await look(api, budgets=False)
    await evict(api, {**EVICTION, "deleteOptions": {"gracePeriodSeconds": -3}})
    await look(api, budgets=False)
    await evict(api, {**EVICTION, "deleteOptions": {"gracePeriodSeconds": 0}})
    await look(api, budgets=False)


@CASES.case("an eviction that was meant for another pod is a conflict")
async def _(api: Api) -> None:
    made = await pod(api, READY)
    await budget(api, disruptionsAllowed=9)
    wrong: tuple[dict[str, str], ...] = ({"uid": "x"}, {"resourceVersion": "1"}, {"uid": "x", "resourceVersion": "1"})
    for conditions in wrong:
        await evict(api, {**EVICTION, "deleteOptions": {"preconditions": conditions}})
        await evict(api, {**EVICTION, "deleteOptions": {"preconditions": conditions}}, dryRun="All")
    await look(api)
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    await evict(api, {**EVICTION, "deleteOptions": {"preconditions": right}})
    await look(api)


@CASES.case("an eviction of a pending pod at the wrong version is a conflict")
async def _(api: Api) -> None:
    await pod(api, {"phase": "Pending"})
    await evict(api, {**EVICTION, "deleteOptions": {"preconditions": {"resourceVersion": "1"}}})
    await look(api, budgets=False)
