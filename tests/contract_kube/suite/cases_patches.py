"""Merge, strategic merge and JSON patches of a Deployment: good ones, their dry runs, and bad ones."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()


def engine(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "engine", **fields}]}}}}


async def patched(api: Api, *, kind: str, patch: Any, query: dict[str, str], before: tuple[Any, ...] = ()) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat_topology(api.namespace, "chat")[1])
    for one in before:
        await api.setup("PATCH", f"{home}/chat", one, "strategic")
    await api.ask("PATCH", f"{home}/chat", patch, kind, query=query)
    await api.ask("GET", f"{home}/chat")


A_VARIABLE = engine(env=[{"name": "A", "value": "1"}], args=["--x"])
GOOD: Final[dict[str, tuple[str, Any]]] = {
    "a merge patch sets replicas": ("merge", {"spec": {"replicas": 2}}),
    "a merge patch adds labels and annotations": (
        "merge", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}},
    ),
    "a merge patch with null removes a label": ("merge", {"metadata": {"labels": {"app.kubernetes.io/name": None}}}),
    "a merge patch reaches deep into the template": (
        "merge", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}},
    ),
    "a strategic patch merges env by name": (
        "strategic", engine(env=[{"name": "B", "value": "2"}], resources={"limits": {"cpu": "0.5"}}),
    ),
    "a strategic patch replaces a plain list": ("strategic", engine(args=["--y"])),
    "a strategic patch deletes an element by $patch": ("strategic", engine(env=[{"name": "A", "$patch": "delete"}])),
    "a strategic patch keeps only $retainKeys": (
        "strategic", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    ),
    "a strategic patch changes the strategy": (
        "strategic", {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}},
    ),
    "a strategic patch adds a port": ("strategic", engine(ports=[{"containerPort": 9000, "name": "more"}])),
    "a JSON patch replaces replicas": ("json", [{"op": "replace", "path": "/spec/replicas", "value": 4}]),
    "a JSON patch appends to a list": (
        "json", [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--y"}],
    ),
    "a JSON patch removes resources": (
        "json", [{"op": "remove", "path": "/spec/template/spec/containers/0/resources"}],
    ),
}  # fmt: skip
BAD: Final[dict[str, tuple[str, Any]]] = {
    "a merge patch with text for a number is refused": ("merge", {"spec": {"replicas": "x"}}),
    "a strategic patch with text for a number is refused": ("strategic", {"spec": {"replicas": "x"}}),
    "negative replicas are invalid": ("strategic", {"spec": {"replicas": -1}}),
    "a selector does not change": ("strategic", {"spec": {"selector": {"matchLabels": {"app": "y"}}}}),
    "an empty image is invalid": ("strategic", engine(image="")),
    "a limit that is no quantity is refused": ("strategic", engine(resources={"limits": {"cpu": "abc"}})),
    "a request above its limit is invalid": (
        "strategic", engine(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
    ),
    "a negative probe period is invalid": ("strategic", engine(readinessProbe={"periodSeconds": -1})),
    "an unknown pull policy is not supported": ("strategic", engine(imagePullPolicy="Sometimes")),
    "a bad container name is invalid": (
        "strategic", {"spec": {"template": {"spec": {"containers": [{"name": "E_x"}]}}}},
    ),
    "a template without containers is invalid": ("merge", {"spec": {"template": {"spec": {"containers": []}}}}),
    "a Deployment's pods restart always": ("merge", {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}),
    "labels that the selector does not match are invalid": (
        "merge", {"spec": {"template": {"metadata": {"labels": {"a": "b", "app.kubernetes.io/name": "z"}}}}},
    ),
    "Recreate takes no rollingUpdate": ("merge", {"spec": {"strategy": {"type": "Recreate"}}}),
    "maxSurge and maxUnavailable are not both zero": (
        "merge", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}},
    ),
    "a percentage is a number and a percent sign": (
        "merge", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "ten"}}}},
    ),
    "the progress deadline is longer than minReadySeconds": (
        "merge", {"spec": {"progressDeadlineSeconds": 1, "minReadySeconds": 5}},
    ),
    "a patch does not rename": ("merge", {"metadata": {"name": "other"}}),
    "bad labels are invalid": ("merge", {"metadata": {"labels": {"a b": "c d"}}}),
    "a patch that carries an old resourceVersion conflicts": (
        "merge", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}},
    ),
    "a JSON patch below what is not there is refused": (
        "json", [{"op": "replace", "path": "/spec/foo/x", "value": 1}],
    ),
    "a JSON patch whose test fails is refused": ("json", [{"op": "test", "path": "/spec/replicas", "value": 77}]),
    "a JSON patch with an unknown operation is refused": (
        "json", [{"op": "foo", "path": "/spec/replicas", "value": 1}],
    ),
}  # fmt: skip
OPTIONS: Final[dict[str, tuple[dict[str, Any], dict[str, str]]]] = {
    "a patch with an unknown field is refused when validation is strict": (
        {"spec": {"foo": 1}}, {"fieldValidation": "Strict"},
    ),
    "a patch with an unknown field is warned of": ({"spec": {"foo": 1}}, {}),
    "a patch with an unknown field passes in silence when told to ignore": (
        {"spec": {"foo": 1}}, {"fieldValidation": "Ignore"},
    ),
    "fieldValidation is one of three words": ({}, {"fieldValidation": "Some"}),
    "dryRun is All or nothing": ({}, {"dryRun": "Some"}),
}  # fmt: skip

for sentence, (kind, patch) in GOOD.items():
    run = partial(patched, kind=kind, patch=patch, before=(A_VARIABLE,))
    CASES.many(sentence, partial(run, query={}))
    CASES.many(f"{sentence}, as a dry run", partial(run, query={"dryRun": "All"}))
for sentence, (kind, patch) in BAD.items():
    CASES.many(sentence, partial(patched, kind=kind, patch=patch, query={}))
for sentence, (patch, query) in OPTIONS.items():
    CASES.many(sentence, partial(patched, kind="merge", patch=patch, query=query))
