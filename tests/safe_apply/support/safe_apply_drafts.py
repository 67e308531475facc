"""Generated objects and operations on them, and a reader of its own that finds what has changed."""

import copy
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import strategies as st

from midwatch_mcp.safe_apply.fake_world import deployment

Json = dict[str, Any]
Case = tuple[Json | None, Json]
"""An object that is there before (None: there is none yet), and the operation on it, both with the name NAME."""

NAME = "subject"
NOISE = ("resourceVersion", "generation", "uid", "managedFields", "creationTimestamp")
DRAWN = ("clusterIP", "clusterIPs")
"""Addresses that the server draws for a Service that is made."""

words = st.text(alphabet="abcxyz", min_size=1, max_size=4)
keys = st.sampled_from(["tier", "example.com/note", "a", "b"])
maybe = st.one_of(st.none(), words)


def subject(kind: str, version: str, spec: Json | None = None, *, namespaced: bool = True, **more: Any) -> Json:
    metadata: Json = {"name": NAME, "labels": {"app": NAME, "a": "1"}, "annotations": {"b": "2"}}
    metadata |= {"namespace": "llm"} if namespaced else {}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": metadata,
        **({} if spec is None else {"spec": spec}),
        **more,
    }


@st.composite
def deployments(draw: st.DrawFn) -> Json:
    flags = draw(st.lists(st.sampled_from(["--alpha=1", "--beta", "--gamma=x y", "serve"]), unique=True, max_size=4))
    value = deployment(NAME, args=flags, replicas=draw(st.integers(1, 9)))
    engine = value["spec"]["template"]["spec"]["containers"][1]
    engine["env"] = [{"name": name, "value": name} for name in draw(st.sets(st.sampled_from("PQR"), max_size=3))]
    if draw(st.booleans()):
        engine["resources"] = {"limits": {"cpu": "2", "memory": "1Gi"}}
    if draw(st.booleans()):
        value["spec"]["paused"] = True
    value["metadata"] |= {"labels": {"app": NAME, "a": "1"}, "annotations": {"b": "2"}}
    return value


def on(value: Json, name: str, **args: Any) -> Json:
    metadata = value["metadata"]
    space = {"namespace": metadata["namespace"]} if "namespace" in metadata else {}
    target = {"kind": value["kind"], "name": NAME, **space}
    return {"op": name, "target": target, "args": args}


BUDGET = {"selector": {"matchLabels": {"app": NAME}}, "minAvailable": 2}
SCALER = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}, "maxReplicas": 6}
SERVICE = {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}]}


WORDS = st.sampled_from(["cpu", "memory"])
AMOUNTS = st.sampled_from(["4", "8Gi", "500m"])
STEPS: tuple[Json, ...] = (
    {"op": "replace", "path": "/spec/replicas", "value": 5},
    {"op": "add", "path": "/metadata/labels/tier", "value": "gold"},
    {"op": "remove", "path": "/metadata/annotations/b"},
    {"op": "remove", "path": "/spec/template/spec/containers/0"},
)
SPECS: tuple[Json, ...] = ({}, {"minReadySeconds": 7}, {"revisionHistoryLimit": 3}, {"replicas": 4})
ENGINE: Json = {"container": "engine"}


@st.composite
def arguments_of(draw: st.DrawFn, which: str) -> Json:
    """Draw arguments of an operation on a workload's containers."""
    if which == "set_args":
        flag = st.sampled_from(["--alpha", "--beta", "--delta"])
        return {**ENGINE, "args": draw(st.dictionaries(flag, st.one_of(maybe, st.just(value=True)), min_size=1))}
    if which == "set_env":
        return {**ENGINE, "env": draw(st.dictionaries(st.sampled_from("PQS"), maybe, min_size=1))}
    if which == "set_image":
        return {"images": {draw(st.sampled_from(["engine", "sidecar"])): f"engine:{draw(words)}"}}
    return {**ENGINE, "limits": draw(st.dictionaries(WORDS, AMOUNTS, min_size=1))}


@st.composite
def patch_of(draw: st.DrawFn, form: str) -> Json:
    """Draw a patch of a workload."""
    if form == "strategic":
        part = {"name": draw(st.sampled_from(["engine", "extra"])), "image": f"engine:{draw(words)}"}
        return {"type": form, "patch": {"spec": {"template": {"spec": {"containers": [part]}}}}}
    if form == "json":
        steps = st.lists(st.sampled_from(STEPS), min_size=1, max_size=3, unique_by=lambda step: step["path"])
        return {"type": form, "patch": draw(steps)}
    notes = draw(st.dictionaries(keys, maybe, min_size=1))
    return {"type": form, "patch": {"metadata": {"annotations": notes}, "spec": draw(st.sampled_from(SPECS))}}


@st.composite
def workload_cases(draw: st.DrawFn) -> Case:
    value = draw(deployments())
    which = draw(st.sampled_from(["containers", "patch", "scale", "rollout", "apply"]))
    if which == "containers":
        name = draw(st.sampled_from(["set_args", "set_env", "set_image", "set_resources"]))
        return value, on(value, name, **draw(arguments_of(name)))
    if which == "patch":
        return value, on(value, which, **draw(patch_of(draw(st.sampled_from(["strategic", "json", "merge"])))))
    if which == "scale":
        return value, on(value, which, replicas=draw(st.integers(0, 12)))
    if which == "rollout":
        able = ["rollout_resume"] if "paused" in value["spec"] else ["rollout_restart", "rollout_pause"]
        return value, on(value, draw(st.sampled_from(able)))
    spec = draw(st.sampled_from([{"minReadySeconds": 9}, {"progressDeadlineSeconds": 700}]))
    return value, on(value, "apply", manifest={"metadata": {"labels": {"tier": draw(words)}}, "spec": spec})


def furniture() -> dict[str, Json]:
    """Return an object of each kind that is no workload."""
    found = [
        subject("ConfigMap", "v1", data={"limit": "4"}),
        subject("PodDisruptionBudget", "policy/v1", dict(BUDGET)),
        subject("HorizontalPodAutoscaler", "autoscaling/v2", {"minReplicas": 2, **SCALER}),
        subject("Service", "v1", copy.deepcopy(SERVICE)),
        subject("Node", "v1", {}, namespaced=False),
        subject("Pod", "v1", {"containers": [{"name": "engine", "image": "engine:1"}]}),
    ]
    return {value["kind"]: value for value in found}


RESTORABLE = ["ConfigMap", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Service"]


@st.composite
def bound_cases(draw: st.DrawFn) -> Case:
    """Draw an operation that fits one kind only."""
    there = furniture()
    which = draw(st.sampled_from(["hpa_bounds", "pdb", "cordon", "uncordon", "evict"]))
    there["Node"]["spec"] = {"unschedulable": True} if which == "uncordon" else {}
    if which == "hpa_bounds":
        value, args = (
            there["HorizontalPodAutoscaler"],
            {"min": draw(st.integers(1, 4)), "max": draw(st.integers(4, 12))},
        )
    elif which == "pdb":
        value, args = there["PodDisruptionBudget"], {"maxUnavailable": draw(st.integers(0, 3))}
    elif which == "evict":
        value, args = there["Pod"], {}
    else:
        value, args = there["Node"], {}
    return value, on(value, which, **args)


@st.composite
def other_cases(draw: st.DrawFn) -> Case:
    """Draw an operation that fits any kind."""
    there = furniture()
    which = draw(st.sampled_from(["label", "annotate", "create", "delete"]))
    if which in ("label", "annotate"):
        value = there[draw(st.sampled_from([*RESTORABLE, "Node"]))]
        names = "labels" if which == "label" else "annotations"
        return value, on(value, which, **{names: draw(st.dictionaries(keys, maybe, min_size=1))})
    value = there[draw(st.sampled_from(RESTORABLE if which == "create" else [*RESTORABLE, "Pod"]))]
    if which == "delete":
        return value, on(value, which)
    manifest = {key: item for key, item in value.items() if key not in ("kind", "apiVersion")}
    return None, on(value, which, manifest=manifest)


cases = st.one_of(workload_cases(), workload_cases(), bound_cases(), other_cases())


def renamed(value: Any, name: str) -> Any:
    """Return a case with another name for its object."""
    if isinstance(value, dict):
        return {key: renamed(item, name) for key, item in cast("Json", value).items()}
    if isinstance(value, list):
        return [renamed(item, name) for item in cast("list[Any]", value)]
    return name if value == NAME else value


# The reader: it shares nothing with the code under test


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Flatten a value."""
    if isinstance(value, dict) and value:
        for key, item in cast("Json", value).items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(cast("list[Any]", value)):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def difference(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """What a reader finds to have changed, by the place of each leaf."""
    old, new = dict(leaves(before)), dict(leaves(after))
    absent = object()
    places = [path for path in {**old, **new} if old.get(path, absent) != new.get(path, absent)]
    return {"/".join(map(str, path)): (old.get(path), new.get(path)) for path in places}


def seen(value: Json | None, *, made: bool = False) -> Json:
    """Return an object as a reader compares it: without status and versions; {} where there is none."""
    if not value or value["metadata"].get("deletionTimestamp"):
        return {}
    found = copy.deepcopy({key: item for key, item in value.items() if key != "status"})
    for name in NOISE:
        found["metadata"].pop(name, None)
    for name in ("labels", "annotations"):
        if not found["metadata"].get(name):
            found["metadata"].pop(name, None)  # the API server keeps no empty ones, the world in memory does
    if made and found["kind"] == "Service":
        for name in DRAWN:
            found["spec"].pop(name, None)
    return found


def rebuilt(before: Json, shown: tuple[tuple[str, Any, Any], ...]) -> Json:
    """Put the pairs of a preview into an object, as somebody would who has only the preview."""
    after = copy.deepcopy(before)
    for pointer, _, new in shown:
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        place: Any = after
        for part in above:
            place = _step(place, part)
        if new is None:
            del place[_key(place, last)]
        else:
            place[_key(place, last)] = new
    return after


def _step(place: Any, part: str) -> Any:
    if isinstance(place, dict):
        return cast("Json", place).setdefault(part, {})
    return place[int(part)]


def _key(place: Any, part: str) -> Any:
    return int(part) if isinstance(place, list) else part
