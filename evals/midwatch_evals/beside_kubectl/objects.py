"""The five objects that both sides change, one namespace a side, and what they must be after each round."""

from typing import Any, Final, cast

import httpx2
import yaml

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit

_FIELD_MANAGER: Final = "midwatch"
"""The name by which the changes server owns fields."""
OURS: Final = "ours"
THEIRS: Final = "theirs"
_NAME: Final = "chat"
_LABELS: Final = {"app": _NAME}
_SCALED: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": _NAME}

_PATHS: Final = {
    "ConfigMap": ("api/v1", "configmaps"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
}

Json = dict[str, Any]


def manifests(namespace: str, number: int) -> list[Json]:
    """Return the five as round `number` wants them: one value of each differs from round to round."""
    container = {
        "name": "engine",
        "image": f"example.org/serving:0.{number}",
        "args": ["--max-num-seqs=8"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    }
    template = {"metadata": {"labels": _LABELS}, "spec": {"containers": [container]}}
    metric = {"resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    return [
        _object("v1", "ConfigMap", namespace, data={"limits.yaml": f"max_num_seqs: {8 + number}\n"}),
        _object(
            "apps/v1",
            "Deployment",
            namespace,
            spec={"replicas": 2, "selector": {"matchLabels": _LABELS}, "template": template},
        ),
        _object(
            "apps/v1",
            "StatefulSet",
            namespace,
            spec={
                "serviceName": "cache",
                "replicas": 1 + number % 2,
                "selector": {"matchLabels": _LABELS},
                "template": template,
            },
        ),
        _object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            namespace,
            spec={
                "scaleTargetRef": _SCALED,
                "minReplicas": 2,
                "maxReplicas": 4 + number % 3,
                "metrics": [{"type": "Resource", **metric}],
            },
        ),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            namespace,
            spec={"maxUnavailable": 1 + number % 2, "selector": {"matchLabels": _LABELS}},
        ),
    ]


def _object(api_version: str, kind: str, namespace: str, **rest: Json) -> Json:
    metadata = {"name": _NAME, "namespace": namespace, "labels": _LABELS}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def as_file(number: int) -> str:
    """Return kubectl's file of a round."""
    return yaml.safe_dump_all(manifests(THEIRS, number), sort_keys=False)


def as_draft(number: int) -> Json:
    """Return our draft of the same: five applies, and what must come of them."""
    operations = [
        {"op": "apply", "target": {"kind": one["kind"], "namespace": OURS, "name": _NAME}, "args": {"manifest": one}}
        for one in manifests(OURS, number)
    ]
    image = f"object.spec.template.spec.containers[0].image == 'example.org/serving:0.{number}'"
    expect = {"object": f"Deployment/{OURS}/{_NAME}", "cel": image, "within_s": 30, "hold_s": 0}
    return {"title": f"Release 0.{number} of chat", "operations": operations, "expect": [expect]}


async def make(http: httpx2.AsyncClient) -> None:
    """Make ours, as the manager that will change them; kubectl makes its own by its first apply."""
    for namespace in (OURS, THEIRS):
        (await http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})).raise_for_status()
    media = {"Content-Type": "application/apply-patch+yaml"}
    for one in manifests(OURS, 0):
        answer = await http.patch(
            f"{_path(one)}?fieldManager={_FIELD_MANAGER}", content=yaml.safe_dump(one), headers=media
        )
        answer.raise_for_status()


async def check(http: httpx2.AsyncClient, number: int) -> None:
    """Hold both sides to the round: every value of the manifests is there, and both are the same but for defaults.

    Raises:
        CommandError: one of them is something else.
    """
    for ours, theirs in zip(manifests(OURS, number), manifests(THEIRS, number), strict=True):
        found = [(await http.get(_path(one))).raise_for_status().json() for one in (ours, theirs)]
        for wanted, one in zip((ours, theirs), found, strict=True):
            if not holds(wanted, one):
                where = f"{wanted['kind']} of {wanted['metadata']['namespace']}"
                raise CommandError(f"round {number}: the {where} is not what was written: {one}", Exit.INTERNAL)
        left, right = ({key: one.get(key) for key in ("data", "spec")} for one in found)
        if left != right:
            raise CommandError(f"round {number}: the two {ours['kind']}s differ: {left} and {right}", Exit.INTERNAL)


def holds(wanted: Any, found: Any) -> bool:
    """Say whether everything that a manifest says is so in an object; what a server adds beside it is left aside."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        given, there = cast("Json", wanted), cast("Json", found)
        return all(key in there and holds(value, there[key]) for key, value in given.items())
    if isinstance(wanted, list) and isinstance(found, list):
        ones, others = cast("list[Any]", wanted), cast("list[Any]", found)
        return len(ones) == len(others) and all(map(holds, ones, others))
    return bool(wanted == found)


def _path(one: Json) -> str:
    root, plural = _PATHS[one["kind"]]
    metadata = one["metadata"]
    return f"/{root}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
