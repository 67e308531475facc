"""Line 5 of the checklist: canaries where clusters keep secrets, and none of them in anything that leaves a server."""

import base64
from pathlib import Path
from typing import Any

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era, answer_text
from midwatch_mcp.testing.cluster import KindDouble
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio

CANARY = "canary7Qx9Zp2Lw4"
ENCODED = base64.b64encode(CANARY.encode()).decode()
CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("kubernetes", "kube_get", {"kind": "Secret", "name": "creds", "namespace": "llm"}),
    ("kubernetes", "kube_describe", {"kind": "Secret", "name": "creds", "namespace": "llm"}),
    ("kubernetes", "kube_list", {"kind": "Secret", "namespace": "llm"}),
    ("kubernetes", "kube_list", {"kind": "Secret"}),
    ("kubernetes", "kube_get", {"kind": "Pod", "name": "chat-new-a", "namespace": "llm"}),
    ("kubernetes", "kube_describe", {"kind": "Pod", "name": "chat-new-a", "namespace": "llm"}),
    ("kubernetes", "kube_get", {"kind": "Deployment", "name": "chat", "namespace": "llm"}),
    ("kubernetes", "kube_get", {"kind": "ConfigMap", "name": "settings", "namespace": "llm"}),
    ("kubernetes", "kube_rollout", {"name": "chat", "namespace": "llm"}),
    ("kubernetes", "kube_logs", {"pod": "chat-new-a", "namespace": "llm"}),
    ("kubernetes", "kube_logs", {"pod": "chat-new-a", "namespace": "llm", "grep": CANARY}),
    ("kubernetes", "kube_logs", {"pod": "chat-new-a", "namespace": "llm", "grep": "connect"}),
    ("kubernetes", "kube_events", {"namespace": "llm"}),
    ("kubernetes", "kube_topology", {"namespace": "llm", "service": "chat"}),
    ("metrics", "metrics_query", {"query": "up"}),
    ("metrics", "metrics_alerts", {}),
    ("metrics", "metrics_targets", {}),
    ("serving", "serving_status", {"namespace": "llm", "service": "chat"}),
    ("serving", "serving_config", {"namespace": "llm", "service": "chat"}),
    ("serving", "serving_probe", {"namespace": "llm", "service": "chat"}),
)


def seed(world: World) -> None:
    cluster = world.cluster
    cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "creds",
                "namespace": "llm",
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": f'{{"stringData":{{"k":"{CANARY}"}}}}'
                },
            },
            "type": "Opaque",
            "data": {"innocent": ENCODED},
            "stringData": {"innocent": CANARY},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "llm"},
            "data": {"db.conf": f"host=db\npassword={CANARY}\n", "apiKey": CANARY},
        },
    )
    for kind, name in (("deployments", "chat"), ("replicasets", "chat-new"), ("replicasets", "chat-old")):
        template = cluster.store["apps/v1", kind, "llm", name]["spec"]["template"]
        expose(template["spec"]["containers"][0], f"{CANARY}{name}")
    expose(cluster.store["v1", "pods", "llm", "chat-new-a"]["spec"]["containers"][0], CANARY)
    cluster.logs["chat-new-a"] = (
        f"connect with Authorization: Bearer {CANARY}\nconnect to postgres://ann:{CANARY}@db/x\n"
        f'{{"api_key": "{CANARY}"}}\n'
    )
    cluster.store["v1", "events", "llm", "e4"]["message"] = f"pull failed: token={CANARY}"
    world.metrics.vectors["up"] = [({"url": f"http://ann:{CANARY}@host/"}, "1")]
    world.metrics.alerts = [
        {"labels": {"alertname": "A"}, "annotations": {"runbook": f"use password: {CANARY}"}, "state": "firing"}
    ]
    world.metrics.targets = [{"labels": {}, "health": "down", "lastError": f"Bearer {CANARY} was refused"}]
    world.backends["chat-new-a"].values = {"max_num_seqs": 4, "api_key": CANARY}
    world.backends["chat-new-a"].words = ("the key is ", f"api_key={CANARY}")


def expose(container: dict[str, Any], secret: str) -> None:
    container["args"] = [*container["args"], f"--api-key={secret}", "--hf-token", secret]
    container["env"] = [{"name": "HF_TOKEN", "value": secret}, {"name": "DB_PASSWORD", "value": secret}]


def written(state: Path) -> str:
    return "\n".join(file.read_text("utf-8") for file in state.rglob("*") if file.is_file())


@pytest.mark.parametrize(("server", "tool", "arguments"), CALLS, ids=[f"{call[1]}-{n}" for n, call in enumerate(CALLS)])
async def test_no_secret_leaves_a_server_or_reaches_its_files(
    *,
    server: str,
    tool: str,
    arguments: dict[str, Any],
    settings: ServerSettings,
    world: World,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seed(world)
    answer = await Caller.of(server, settings).call(tool, arguments)
    assert not answer.is_error, answer_text(answer)
    said = answer_text(answer) + str(answer.structured_content)
    # What the caller itself wrote as an argument is no leak.
    kept = written(settings.state).replace(f'"grep":"{CANARY}"', "")
    for secret in (CANARY, ENCODED, world.cluster.token):
        assert secret not in said
        assert secret not in kept
        assert secret not in caplog.text


async def test_a_filter_of_the_caller_cannot_find_out_a_secret(settings: ServerSettings, world: World) -> None:
    seed(world)
    kube = Caller.of("kubernetes", settings)
    assert (await kube.data("kube_logs", pod="chat-new-a", namespace="llm", grep=CANARY[:6]))["matched"] == 0
    assert (await kube.data("kube_logs", pod="chat-new-a", namespace="llm", grep="connect"))["matched"] == 2


async def test_what_is_no_secret_stays_readable(settings: ServerSettings, world: World, era: Era) -> None:
    seed(world)
    kube = Caller.of("kubernetes", settings, era)
    found = (await kube.data("kube_get", kind="Pod", name="chat-new-a", namespace="llm"))["object"]
    container = found["spec"]["containers"][0]
    assert container["args"][:3] == ["--model", "tiny", "--num-gpu-blocks-override=14"]
    assert container["args"][-3:] == ["--api-key=[redacted]", "--hf-token", "[redacted]"]
    assert container["env"][0] == {"name": "HF_TOKEN", "value": "[redacted]"}
    secret = (await kube.data("kube_get", kind="Secret", name="creds", namespace="llm"))["object"]
    assert secret["data"] == {"innocent": "[redacted]"}
    assert secret["type"] == "Opaque"


async def test_an_error_of_the_cluster_is_redacted_too(settings: ServerSettings, world: World) -> None:
    world.cluster.broken = 500
    world.cluster.failure = f"admission webhook said: Bearer {CANARY}"
    text = await Caller.of("kubernetes", settings).error("kube_list", kind="pod")
    assert "admission webhook said" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("Secret", f"data.innocent={ENCODED}"),
        ("Secret", "metadata.name=creds,stringData.innocent!=x"),
        ("Vault", "spec.apiKey=guess"),
        ("Vault", "spec.password.hash=guess"),
    ],
)
async def test_a_secret_cannot_be_guessed_by_a_field_selector(
    kind: str, selector: str, settings: ServerSettings, world: World
) -> None:
    seed(world)
    world.cluster.kinds = (*world.cluster.kinds, KindDouble("Vault", "example.org/v1", "vaults"))
    said = await Caller.of("kubernetes", settings).error("kube_list", kind=kind, field_selector=selector)
    assert "holds a secret" in said
    assert not any(seen.path.endswith(("/secrets", "/vaults")) for seen in world.seen)


async def test_a_secret_may_be_chosen_by_its_name_and_type(settings: ServerSettings, world: World) -> None:
    seed(world)
    found = await Caller.of("kubernetes", settings).data(
        "kube_list", kind="Secret", namespace="llm", field_selector="metadata.name=creds,type=Opaque"
    )
    assert [row[0] for row in found["rows"]] == ["creds"]


async def test_a_grep_for_a_secret_finds_nothing_and_what_it_counts_does_not_tell(
    settings: ServerSettings, world: World
) -> None:
    seed(world)
    kube = Caller.of("kubernetes", settings)
    found = [
        await kube.data("kube_logs", pod="chat-new-a", namespace="llm", grep=guess)
        for guess in (CANARY[:6], CANARY, "no such words")
    ]
    assert [(data["matched"], data["lines"], data["errors"]) for data in found] == [(0, [], [])] * 3
    assert {data["read"] for data in found} == {3}


async def test_a_printer_column_of_a_custom_kind_that_shows_a_secret_is_redacted(
    settings: ServerSettings, world: World
) -> None:
    columns = ("Name", "Token", "Ready")
    kind = KindDouble("Vault", "example.org/v1", "vaults", columns=columns, cells=lambda _: ["v", CANARY, "False"])
    world.cluster.kinds = (*world.cluster.kinds, kind)
    world.cluster.put({"apiVersion": "example.org/v1", "kind": "Vault", "metadata": {"name": "v", "namespace": "llm"}})
    found = await Caller.of("kubernetes", settings).result("kube_list", kind="Vault", namespace="llm")
    assert found["data"]["rows"] == [["v", "[redacted]", "False"]]
    assert found["data"]["states"] == {"not ready": 1}
    assert "1 need attention" in found["summary"]
