"""`--as git` through the values of a Helm chart. There is no helm here: no chart is rendered."""

import json
from pathlib import Path
from typing import Any

import pytest

from git_desk import EXPECT, GitDesk, op
from midwatch_contracts.command import CommandError
from midwatch_contracts.plan import Blast, Diff, Preview
from midwatch_mcp.safe_apply import git_cli
from midwatch_mcp.safe_apply.as_git.merge_request import ClusterSays

VALUES = """\
# chat, in production
replicaCount: 2   # two is enough
image:
  repository: vllm/vllm-openai
  tag: "v1"       # pinned
resources:
  limits: {cpu: "4"}
extraArgs: [--a=1]
env:
  LEVEL: info
worker:
  replicas: 7
redis: {image: {registry: docker.io, repository: redis, tag: "7"}}
autoscaling: {minReplicas: 1, maxReplicas: 4}
"""
WAY = ("--values", "charts/values.yaml")
ENGINE = "containers[engine]"
pytestmark = pytest.mark.slow  # a repository and a dozen calls of git each


@pytest.fixture
def desk(tmp_path: Path) -> GitDesk:
    made = GitDesk(tmp_path)
    made.commit({"charts/values.yaml": VALUES, "charts/templates/d.yaml": "kind: Deployment\nx: {{ .Values.x }}\n"})
    return made


@pytest.mark.parametrize(
    ("operation", "keys", "old", "new"),
    [
        (op("scale", replicas=4), ["spec.replicas=replicaCount"], "Count: 2   #", "Count: 4   #"),
        (op("scale", replicas=4), ["spec.replicas=worker.replicas"], "replicas: 7", "replicas: 4"),
        (op("set_image", images={"engine": "vllm/vllm-openai:v2"}), [f"{ENGINE}.image=image"], '"v1" ', '"v2" '),
        (
            op("set_image", images={"engine": "docker.io/redis:8"}),
            [f"{ENGINE}.image=redis.image"],
            'redis, tag: "7"',
            'redis, tag: "8"',
        ),
        (op("set_resources", container="engine", limits={"cpu": "8"}), [], 'cpu: "4"', 'cpu: "8"'),
        (op("set_args", container="engine", args={"--b": "2"}), [], "[--a=1]", "[--a=1, --b=2]"),
        (op("set_env", container="engine", env={"LEVEL": "debug"}), [], "LEVEL: info", "LEVEL: debug"),
        (op("hpa_bounds", "HorizontalPodAutoscaler", max=8), [], "maxReplicas: 4", "maxReplicas: 8"),
        (
            op("annotate", annotations={"a": "b"}),
            ["metadata.annotations=annotations"],
            "maxReplicas: 4}\n",
            "maxReplicas: 4}\nannotations:\n  a: b\n",
        ),
    ],
)
def test_the_key_that_makes_the_field_is_changed_in_place(
    desk: GitDesk, operation: dict[str, Any], keys: list[str], old: str, new: str
) -> None:
    words = [word for key in keys for word in ("--set-key", key)]
    assert desk.propose(operation, words=(*WAY, *words)) == 0
    assert VALUES.count(old) == 1
    assert desk.proposed("charts/values.yaml") == VALUES.replace(old, new)


@pytest.mark.parametrize(
    ("operation", "words", "says"),
    [
        (op("scale", replicas=4), (), "makes spec.replicas is not clear .replicaCount, worker.replicas.: say it with"),
        (op("set_image", images={"engine": "x:1"}), (), "is not clear .image, redis.image."),
        (op("label", labels={"a": "b"}), (), "changes more than the fields with a key"),
        (op("scale", replicas=4), ("--set-key", "spec.replicas"), "not of the form FIELD=KEY"),
        (op("scale", replicas=4), ("--path", "x"), "give one of the two"),
        (op("scale", replicas=2), ("--set-key", "spec.replicas=replicaCount"), "Git says that already"),
        (
            op("set_image", images={"engine": "ghcr.io/redis:8"}),
            ("--set-key", f"{ENGINE}.image=redis.image"),
            "registry is docker.io",
        ),
        (
            op("set_env", container="engine", env={"A": {"valueFrom": {"fieldRef": {"fieldPath": "x"}}}}),
            (),
            "has no valueFrom",
        ),
    ],
)
def test_what_is_not_clear_is_refused_with_the_keys_there_are(
    desk: GitDesk, operation: dict[str, Any], words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        desk.propose(operation, words=(*WAY, *words))
    assert caught.value.code == 2
    assert desk.branches() == ["main"]


def test_the_present_value_of_the_cluster_tells_two_keys_apart(
    desk: GitDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    diff = Diff(operation="op1", target="Deployment/llm/chat", unified="-7\n+4\n", changes=(("/spec/replicas", 7, 4),))
    blast = Blast(objects=1, pods_restarted=0, pods_total=7, note="7 pods")
    preview = Preview(plan_id="0" * 64, diffs=(diff,), owners=(), risk="change", blast=blast)

    def says(_draft: object, _settings: object) -> ClusterSays:
        return ClusterSays(preview)

    monkeypatch.setattr(git_cli, "asked", says)
    draft = desk.folder / "draft.json"
    draft.write_text(json.dumps({"title": "x", "operations": [op("scale", replicas=4)], "expect": EXPECT}))
    assert desk.run("propose", str(draft), "--as", "git", "--repo", str(desk.repo), *WAY) == 0
    assert desk.proposed("charts/values.yaml") == VALUES.replace("replicas: 7", "replicas: 4")
    out, err = capsys.readouterr()
    assert "worker.replicas of charts/values.yaml was taken for spec.replicas by its name and present value" in err
    assert "By dry run on the cluster: 1 objects; `7 pods`." in out


def test_the_options_of_charts_need_a_chart(desk: GitDesk) -> None:
    with pytest.raises(CommandError, match="--set-key is for --values"):
        desk.propose(op("scale", replicas=4), words=("--set-key", "a=b"))
    with pytest.raises(CommandError, match=r"none\.yaml is not in the commit"):
        desk.propose(op("scale", replicas=4), words=("--values", "none.yaml"))
