"""Jobs: defaults, generated selectors and labels, and what is refused."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

POD: Final[dict[str, Any]] = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]}
INDEXED: Final[dict[str, Any]] = {"completionMode": "Indexed", "completions": 3}


def manifest(name: str = "work", pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"spec": POD | (pod or {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template} | spec}


def labelled(labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return manifest(template={"metadata": {"labels": labels}, "spec": POD}, **spec)


def failing(*rules: Any, pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return manifest(pod=pod, podFailurePolicy={"rules": list(rules)}, **spec)


def succeeding(*rules: Any) -> dict[str, Any]:
    return manifest(successPolicy={"rules": list(rules)}, **INDEXED)


MADE: Final[dict[str, dict[str, Any]]] = {
    "a small one": manifest(),
    "one with a generated name": {"metadata": {"generateName": "work-"}, "spec": manifest()["spec"]},
    "one with dots in its name": manifest("a.b"),
    "one that runs three at a time": manifest(parallelism=3),
    "one that runs none": manifest(parallelism=0),
    "one of five": manifest(completions=5, parallelism=2),
    "one that is suspended": manifest(suspend=True),
    "an indexed one": manifest(**INDEXED),
    "an indexed one with a limit an index": manifest(backoffLimitPerIndex=1, maxFailedIndexes=2, **INDEXED),
    "an indexed one with very many": manifest(completionMode="Indexed", completions=200_000, parallelism=20_000),
    "one with limits": manifest(activeDeadlineSeconds=0, ttlSecondsAfterFinished=60, backoffLimit=0),
    "one whose pods are replaced when they failed": manifest(podReplacementPolicy="Failed"),
    "one that somebody else looks after": manifest(managedBy="example.com/controller"),
    "one that reads exit codes": failing({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2]}}),
    "one that reads conditions": failing({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}),
    "one that is enough at two": succeeding({"succeededIndexes": "0-1", "succeededCount": 1}),
    "one with labels of its own": labelled({"app": "x"}),
    "one with its own selector": labelled({"app": "x"}, manualSelector=True, selector={"matchLabels": {"app": "x"}}),
    "one whose pods start again": manifest(pod={"restartPolicy": "OnFailure"}),
}
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "nothing": {"metadata": {"name": "work"}, "spec": {}},
    "a name too long": manifest("a" * 64),
    "a name in capitals": manifest("Abc"),
    "negative numbers": manifest(
        parallelism=-1, completions=-1, backoffLimit=-1, activeDeadlineSeconds=-1, ttlSecondsAfterFinished=-1
    ),
    "an unknown mode": manifest(completionMode="X"),
    "too much at once": manifest(completionMode="Indexed", completions=200_000, parallelism=200_000),
    "names too long for its pods": manifest("a" * 60, completionMode="Indexed", completions=1000),
    "a limit an index without indexes": manifest(backoffLimitPerIndex=1, maxFailedIndexes=1),
    "negative limits an index": manifest(backoffLimitPerIndex=-1, maxFailedIndexes=-1, **INDEXED),
    "failed indexes without a limit": manifest(maxFailedIndexes=2, **INDEXED),
    "more failed indexes than indexes": manifest(backoffLimitPerIndex=1, maxFailedIndexes=4, **INDEXED),
    "too many with a limit an index": manifest(
        completionMode="Indexed", completions=200_000, parallelism=20_000, backoffLimitPerIndex=1
    ),
    "pods that never end": manifest(pod={"restartPolicy": "Always"}),
    "pods of which nothing is said": manifest(pod={"restartPolicy": None}),
    "labels that are another's": labelled({"controller-uid": "x", "job-name": "y"}),
    "a selector of its own": labelled({"a": "b"}, selector={"matchLabels": {"a": "b"}}),
    "its own selector, which is missing": manifest(manualSelector=True),
    "its own selector, of others": manifest(manualSelector=True, selector={"matchLabels": {"a": "b"}}),
    "an unknown replacement": manifest(podReplacementPolicy="X"),
    "a replacement against its policy": failing(podReplacementPolicy="TerminatingOrFailed"),
    "a manager without a domain": manifest(managedBy="X"),
    "a manager too long": manifest(managedBy="x.y/" + "z" * 70),
    "nonsense in its policy": failing(
        {"action": "X", "onExitCodes": {"operator": "Y", "values": [0, 2, 2], "containerName": "zz"}},
        {"action": "Ignore"},
        {"action": "FailIndex", "onPodConditions": [{"type": "D T"}]},
    ),
    "both at once in its policy": failing(
        {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": []}, "onPodConditions": [{"type": "D"}]}
    ),
    "a policy for pods that start again": failing(pod={"restartPolicy": "OnFailure"}),
    "success without indexes": manifest(successPolicy={"rules": [{"succeededCount": 1}]}),
    "success without rules": succeeding(),
    "nonsense in its success": succeeding(
        {"succeededCount": 5, "succeededIndexes": "0-7"}, {}, {"succeededIndexes": "a"}, {"succeededCount": -1}
    ),
    "a container without an image": manifest(pod={"containers": [{"name": "work"}]}),
    "bad labels in the template": labelled({"x y": "z"}),
    "a limit as text": manifest(backoffLimit="6"),
}


def jobs(api: Api, *rest: str) -> str:
    return api.path("batch/v1", "jobs", *rest)


async def _make(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", jobs(api), body, dryRun="All", fieldManager="m")


for word, body in MADE.items():
    CASES.many(f"job: {word} is made", partial(_make, body=body))
for word, body in REFUSED.items():
    CASES.many(f"job: {word} is refused", partial(_make, body=body))


async def _delete(api: Api, query: dict[str, Any], body: Any) -> None:
    await api.setup("POST", jobs(api), manifest(), fieldManager="m")
    await api.ask("DELETE", jobs(api, "work"), body, **query)
    await api.ask("GET", jobs(api, "work"))


for word, query, options in (
    ("nobody says how", {}, None),
    ("its pods go with it", {"propagationPolicy": "Background"}, None),
    ("its pods go first", {"propagationPolicy": "Foreground"}, None),
    ("its pods stay", {"propagationPolicy": "Orphan"}, None),
    ("the body says that its pods stay", {}, {"propagationPolicy": "Orphan"}),
    ("the old way", {"orphanDependents": "false"}, None),
):
    CASES.many(f"job: a deletion where {word}", partial(_delete, query=query, body=options))


@CASES.case("job: those who delete all are told of the pods, and so are those who delete none")
async def _(api: Api) -> None:
    await api.setup("POST", jobs(api), manifest(), fieldManager="m")
    await api.ask("DELETE", jobs(api, "other"))
    await api.ask("DELETE", jobs(api))
    await api.ask("DELETE", jobs(api), propagationPolicy="Background")


@CASES.case("job: apply makes one, and again")
async def _(api: Api) -> None:
    await api.ask("PATCH", jobs(api, "work"), manifest(), "apply", fieldManager="a")
    await api.ask("PATCH", jobs(api, "work"), manifest(parallelism=2), "apply", fieldManager="a")
    await api.ask("PATCH", jobs(api, "work"), manifest(parallelism=3), "apply", fieldManager="b")
    await api.ask("GET", jobs(api, "work"))
