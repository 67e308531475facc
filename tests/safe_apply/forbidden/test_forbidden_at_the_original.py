"""The same ways through the same tool, in front of the original API server, whose own audit log is the witness."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.safe_apply.classification import table
from midwatch_mcp.safe_apply.classification_rows import merged, served, written
from midwatch_mcp.safe_apply.fake_world import deployment
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, answer_text
from safe_apply_original import Original
from safe_apply_ways import WAYS, Way

pytestmark = [pytest.mark.anyio, pytest.mark.original, pytest.mark.slow]

DEPLOYMENTS = "/apis/apps/v1/namespaces/llm/deployments"
PODS = "/api/v1/namespaces/llm/pods"

Json = dict[str, Any]


async def test_the_table_of_requests_is_what_kubernetes_serves(original: Original) -> None:
    client = original.client()
    try:
        version, there = await served(client)
    finally:
        await client.aclose()
    assert version.startswith("v1.36.")
    assert set(table()) == set(there)
    assert written(merged(table(), there)) == written(table())


async def prepared(way: Way, client: KubeClient) -> None:
    """Make the Deployment anew, as the way wants it."""
    value = deployment()
    if way.change is not None:
        way.change(value)
    await client.create(DEPLOYMENTS, value)


async def gone(client: KubeClient) -> None:
    """Take the Deployment away, finalizers and all."""
    path = f"{DEPLOYMENTS}/chat"
    await client.patch(path, {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json")
    await client.delete(path)


async def test_every_way_is_refused_and_the_server_saw_no_write(
    original: Original, tmp_path: Path, tally: dict[str, set[str]]
) -> None:
    live = [way for way in WAYS if way.live]
    bounds = Bounds(insecure_skip_tls_verify=True)
    settings = ServerSettings(state=tmp_path, kubeconfig=original.kubeconfig, bounds=bounds)
    caller = Caller(build(settings, allow_write=True, names=("changes",))["changes"])
    admin = original.client()
    wrong: list[str] = []
    try:
        pod = {"metadata": {"name": "chat-1"}, "spec": {"containers": [{"name": "engine", "image": "engine:1"}]}}
        await admin.create(PODS, copy.deepcopy(pod))
        plain = False
        async with caller.connect() as door:
            for way in live:
                if way.change is not None and plain:
                    await gone(admin)
                    plain = False
                if not plain:
                    await prepared(way, admin)
                policy = tmp_path / "policy.toml"
                policy.write_text(way.policy, "utf-8")
                answer = await door.call_tool("change_propose", {"plan": way.plan})
                tally["asked"].add(way.sentence)
                if not answer.is_error:
                    tally["through"].add(way.sentence)
                if not answer.is_error or not re.search(way.says, answer_text(answer)):
                    wrong.append(f"{way.sentence}: {answer_text(answer)[:300]}")
                plain = way.change is None
                if not plain:
                    await gone(admin)
    finally:
        await admin.aclose()
    assert not wrong, "\n".join(wrong)
    assert original.written() == []
