"""Changes that look small and are not: each was once of the class `change`, or touched what is protected."""

import copy
from typing import Any

import pytest

from midwatch_mcp.safe_apply.fake_world import EXPECT, World, deployment

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}
MARK = {"midwatch.io/protected": "yes"}
LINE = ["vllm", "serve", "acme/tiny", "--max-num-seqs", "4"]
PROBE = {"httpGet": {"path": "/health", "port": 8000}}


def merge(body: Json, target: Json = CHAT) -> Json:
    return {"op": "patch", "target": target, "args": {"type": "merge", "patch": body}}


def spec(**fields: Any) -> Json:
    return merge({"spec": fields})


def pod(**fields: Any) -> Json:
    return spec(template={"spec": fields})


def engine(**fields: Any) -> Json:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "engine", **fields}]}}}}
    return {"op": "patch", "target": CHAT, "args": {"type": "strategic", "patch": body}}


def env(**variables: Any) -> Json:
    return {"op": "set_env", "target": CHAT, "args": {"container": "engine", "env": variables}}


def flag(name: str, value: Any) -> Json:
    return {"op": "set_args", "target": CHAT, "args": {"container": "engine", "args": {name: value}}}


def budget(**bounds: Any) -> Json:
    target = {"kind": "PodDisruptionBudget", "namespace": "llm", "name": "chat"}
    return merge({"spec": {"minAvailable": None, "maxUnavailable": None, **bounds}}, target)


def put(world: World, kind: str, version: str, body: Json, name: str = "chat", **metadata: Any) -> None:
    place = {} if kind == "Node" else {"namespace": "llm"}
    world.cluster.put({"apiVersion": version, "kind": kind, "metadata": {"name": name, **place, **metadata}, **body})


def serving(world: World, line: list[str] = LINE, **engine: Any) -> None:
    value = deployment()
    container = value["spec"]["template"]["spec"]["containers"][1]
    container |= {"command": line[:1], "args": line[1:], "readinessProbe": PROBE, **engine}
    world.cluster.put(value)


async def judged(world: World, *operations: Json) -> str:
    draft = {"title": "A draft", "operations": list(operations), "expect": [EXPECT]}
    return (await world.envelope.judge(draft)).risk


ON_CHAT: dict[str, tuple[Json, str]] = {
    "another model by its place": (engine(args=["serve", "evil/tiny", "--max-num-seqs", "4"]), "dangerous"),
    "another model behind a switch": (engine(args=[*LINE[1:], "--enable-x", "evil/tiny"]), "dangerous"),
    "an address in a flag": (flag("--some-endpoint", "http://evil.example"), "dangerous"),
    "a file in a flag": (flag("--some-file", "/etc/passwd"), "dangerous"),
    "a number in a flag": (flag("--max-num-seqs", 8), "change"),
    "a word in a flag": (flag("--kv-cache-dtype", "fp8"), "change"),
    "an address in a variable": (env(OPENAI_BASE_URL="http://evil.example"), "dangerous"),
    "a word in a variable": (env(LOG_LEVEL="debug"), "change"),
    "all GPUs of the node": (env(NVIDIA_VISIBLE_DEVICES="all"), "forbidden"),
    "another library": (env(VLLM_NCCL_SO_PATH="/tmp/x.so"), "forbidden"),
    "modules from elsewhere": (env(HF_MODULES_CACHE="x"), "forbidden"),
    "options of Java": (env(_JAVA_OPTIONS="-javaagent:x"), "forbidden"),
    "hooks of .NET": (env(DOTNET_STARTUP_HOOKS="x"), "forbidden"),
    "no check of certificates": (env(NODE_TLS_REJECT_UNAUTHORIZED="0"), "forbidden"),
    "a processor of requests": (flag("--enable-custom-logit-processor", True), "forbidden"),
    "a server of tools": (flag("--tool-server", "evil"), "forbidden"),
    "another place for code": (flag("--code-revision", "x"), "dangerous"),
    "a value that is kept elsewhere": (
        env(EXTRA={"valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}),
        "dangerous",
    ),
    "no probe": (engine(readinessProbe=None), "dangerous"),
    "another probe": (engine(readinessProbe={"periodSeconds": 5}), "change"),
    "no time to end": (pod(terminationGracePeriodSeconds=0), "dangerous"),
    "one node": (pod(nodeSelector={"kubernetes.io/hostname": "n1"}), "dangerous"),
    "a container less": (
        pod(
            containers=[
                {
                    "name": "engine",
                    "image": "engine:1",
                    "command": LINE[:1],
                    "args": LINE[1:],
                    "readinessProbe": PROBE,
                    "ports": [{"containerPort": 8000}],
                }
            ]
        ),
        "dangerous",
    ),
    "a gate before the pods": (pod(schedulingGates=[{"name": "example.com/never"}]), "dangerous"),
    "a surge": (spec(strategy={"rollingUpdate": {"maxSurge": "1000%"}}), "dangerous"),
}


@pytest.mark.parametrize("what", ON_CHAT)
async def test_what_an_engine_runs_on_is_seen(world: World, what: str) -> None:
    operation, risk = ON_CHAT[what]
    serving(world)
    assert await judged(world, operation) == risk


@pytest.mark.parametrize(
    ("held", "bounds", "risk"),
    [
        ({"minAvailable": 2}, {"maxUnavailable": 1000}, "dangerous"),
        ({"minAvailable": 2}, {"maxUnavailable": 1}, "dangerous"),
        ({"minAvailable": "90%"}, {"minAvailable": "1%"}, "dangerous"),
        ({"minAvailable": "90%"}, {"minAvailable": "80%"}, "change"),
        ({"maxUnavailable": "10%"}, {"maxUnavailable": "99%"}, "dangerous"),
        ({"maxUnavailable": "10%"}, {"maxUnavailable": "20%"}, "change"),
        ({"maxUnavailable": 1}, {"maxUnavailable": 0}, "dangerous"),
        ({"minAvailable": "90%"}, {"minAvailable": "100%"}, "dangerous"),
        ({"minAvailable": "50%"}, {"minAvailable": 1}, "dangerous"),
    ],
)
async def test_a_budget_is_compared_in_its_own_unit(world: World, held: Json, bounds: Json, risk: str) -> None:
    put(world, "PodDisruptionBudget", "policy/v1", {"spec": {"selector": {"matchLabels": {"app": "chat"}}, **held}})
    assert await judged(world, budget(**bounds)) == risk


async def test_the_autoscaler_of_a_protected_workload_is_protected(world: World) -> None:
    body = {
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}, "maxReplicas": 4}
    }
    put(world, "HorizontalPodAutoscaler", "autoscaling/v2", body)
    target = {"kind": "HorizontalPodAutoscaler", "namespace": "llm", "name": "chat"}
    bounds = merge({"spec": {"maxReplicas": 5}}, target)
    assert await judged(world, bounds) == "change"
    world.cluster.put(deployment(annotations=MARK))
    assert await judged(world, bounds) == "forbidden"


async def test_what_a_protected_workload_takes_in_is_protected_and_its_deletion_dangerous(world: World) -> None:
    put(world, "ConfigMap", "v1", {"data": {"a": "b"}})
    target = {"kind": "ConfigMap", "namespace": "llm", "name": "chat"}
    changed, deleted = merge({"data": {"a": "c"}}, target), {"op": "delete", "target": target, "args": {}}
    assert await judged(world, changed) == "change"
    assert await judged(world, deleted) == "change"
    value = deployment()
    value["spec"]["template"]["spec"]["volumes"] = [{"name": "x", "configMap": {"name": "chat"}}]
    world.cluster.put(value)
    assert await judged(world, changed) == "change"
    assert await judged(world, deleted) == "dangerous"
    value["metadata"]["annotations"] = MARK
    world.cluster.put(copy.deepcopy(value))
    assert await judged(world, changed) == "forbidden"


async def test_a_replica_that_takes_requests_again_is_not_taken_away(world: World) -> None:
    put(world, "Service", "v1", {"spec": {"selector": {"app": "chat"}}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    put(world, "Pod", "v1", {"spec": {}, "status": ready}, "chat-1", labels={"app": "chat"})
    world.cluster.put_backend("Pod/llm/chat-1")
    drained = {"op": "serving.drain", "target": {"serving": "Pod/llm/chat-1"}, "args": {}}
    assert await judged(world, drained) == "dangerous"
    world.cluster.put_backend("Pod/llm/chat-1", draining=True)
    assert await judged(world, {**drained, "args": {"draining": False}}) == "change"


async def test_a_plan_that_leaves_no_node_to_schedule_on_is_dangerous(world: World) -> None:
    for name in ("n1", "n2", "n3"):
        put(world, "Node", "v1", {"spec": {"unschedulable": True} if name == "n3" else {}}, name)
    first, second = ({"op": "cordon", "target": {"kind": "Node", "name": name}, "args": {}} for name in ("n1", "n2"))
    assert await judged(world, first) == "change"
    assert await judged(world, first, second) == "dangerous"
