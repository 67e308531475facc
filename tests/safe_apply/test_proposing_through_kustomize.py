"""`--as git` through kustomizations; what kustomize makes of the result is asked of `kubectl kustomize` itself."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from git_desk import GitDesk, op
from midwatch_contracts.command import CommandError

BASE = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: chat
spec:
  replicas: 2  # base
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      containers:
        - name: engine
          image: vllm/vllm-openai:v1
          args: [--a=1, --b=2]
          env: [{name: LEVEL, value: info}, {name: OLD, value: "1"}]
        - name: side
          image: envoy:v3
"""
PROD = """\
# production
namespace: llm
resources:
  - ../../base   # shared with staging
namePrefix: prod-
images:
  - name: envoy
    newTag: v4 # pinned
patches:
  - path: more.yaml
"""
MORE = """\
# what production has more of
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat}
spec:
  template:
    spec:
      containers:
        - name: engine   # the model
          resources: {limits: {cpu: "4"}}
"""
TREE: dict[str, str | bytes] = {
    "base/deployment.yaml": BASE,
    "base/kustomization.yaml": "resources: [deployment.yaml]\n",
    "overlays/prod/kustomization.yaml": PROD,
    "overlays/prod/more.yaml": MORE,
    "overlays/staging/kustomization.yaml": "resources: [../../base]\n",
}
PATH = ("--path", "overlays/prod")
pytestmark = pytest.mark.slow  # a repository and a dozen calls of git each


@pytest.fixture
def desk(tmp_path: Path) -> GitDesk:
    made = GitDesk(tmp_path)
    made.commit(TREE)
    return made


def prod(name: str, **args: Any) -> dict[str, Any]:
    return op(name, obj="prod-chat", **args)


def changed(desk: GitDesk) -> list[str]:
    return desk.git("diff", "--name-only", "main", desk.branch()).split()


def lines(desk: GitDesk) -> str:
    shown = desk.git("diff", "-U0", "main", desk.branch()).splitlines()
    return "\n".join(line for line in shown if line[:1] in "+-" and not line.startswith(("+++", "---")))


MAP = {"configMapKeyRef": {"name": "c", "key": "k"}}
TWO: dict[str, str | bytes] = {
    "base/other.yaml": BASE.replace("name: chat", "name: two"),
    "base/kustomization.yaml": "resources: [deployment.yaml, other.yaml]\n",
}


def spec(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]


def engine(deployment: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return spec(deployment)["template"]["spec"]["containers"][number]


Case = tuple[dict[str, Any], str, Callable[[dict[str, Any]], bool]]
CASES: dict[str, Case] = {
    "replicas": (
        prod("scale", replicas=5),
        "+replicas:\n+  - name: chat\n+    count: 5",
        lambda d: spec(d)["replicas"] == 5,
    ),
    "an image of its own": (
        prod("set_image", images={"side": "envoy:v5"}),
        "-    newTag: v4 # pinned\n+    newTag: v5 # pinned",
        lambda d: engine(d, 1)["image"] == "envoy:v5",
    ),
    "an image of the base": (
        prod("set_image", images={"engine": "ghcr.io/acme/vllm:v2"}),
        "+  - name: vllm/vllm-openai\n+    newName: ghcr.io/acme/vllm\n+    newTag: v2",
        lambda d: engine(d)["image"] == "ghcr.io/acme/vllm:v2",
    ),
    "a field in the patch that is there": (
        prod("set_resources", container="engine", limits={"cpu": "8"}),
        '-          resources: {limits: {cpu: "4"}}\n+          resources: {limits: {cpu: "8"}}',
        lambda d: engine(d)["resources"] == {"limits": {"cpu": "8"}},
    ),
    "a field beside it": (
        prod("set_args", container="engine", args={"--b": "3"}),
        "+          args:\n+            - --a=1\n+            - --b=3",
        lambda d: engine(d)["args"] == ["--a=1", "--b=3"],
    ),
    "a variable taken away": (
        prod("set_env", container="engine", env={"OLD": None, "NEW": "x"}),
        "$patch: delete",
        lambda d: {one["name"]: one["value"] for one in engine(d)["env"]} == {"LEVEL": "info", "NEW": "x"},
    ),
    "another kind of source": (
        prod("set_env", container="engine", env={"LEVEL": {"valueFrom": MAP}}),
        "value: null",
        lambda d: {"name": "LEVEL", "valueFrom": MAP} in engine(d)["env"],
    ),
    "an annotation": (
        prod("annotate", annotations={"example.com/note": "on"}),
        '+metadata: {name: chat, annotations: {example.com/note: "on"}}',
        lambda d: d["metadata"]["annotations"] == {"example.com/note": "on"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_overlay_says_what_differs_and_its_base_is_not_edited(desk: GitDesk, name: str) -> None:
    operation, says, _ = CASES[name]
    assert desk.propose(operation, words=PATH) == 0
    assert says in lines(desk)
    assert all(path.startswith("overlays/prod/") for path in changed(desk))


def test_without_a_patch_of_the_object_there_is_a_new_one(desk: GitDesk) -> None:
    desk.propose(op("set_args", container="engine", args={"--b": "3"}), words=("--path", "overlays/staging"))
    assert changed(desk) == ["overlays/staging/deployment-chat-patch.yaml", "overlays/staging/kustomization.yaml"]
    assert desk.proposed("overlays/staging/kustomization.yaml") == (
        "resources: [../../base]\npatches:\n  - path: deployment-chat-patch.yaml\n"
    )


def test_the_manifest_itself_is_edited_where_it_is_the_named_kustomization_s_own(desk: GitDesk) -> None:
    assert desk.propose(op("scale", replicas=3), words=("--path", "base")) == 0
    assert lines(desk) == "-  replicas: 2  # base\n+  replicas: 3  # base"


def test_several_overlays_are_to_be_chosen_from(desk: GitDesk) -> None:
    with pytest.raises(CommandError, match="choose with --path: overlays/prod, overlays/staging"):
        desk.propose(op("scale", replicas=3))
    with pytest.raises(CommandError, match="makes 0 objects that are Deployment llm/chat"):
        desk.propose(op("scale", replicas=3), words=PATH)


@pytest.mark.parametrize(
    ("files", "operation", "says"),
    [
        ({"base/kustomization.yaml": "resources: [deployment.yaml, gone.yaml]\n"}, None, "names gone.yaml"),
        ({"base/kustomization.yaml": "resources: [../../../x.yaml]\n"}, None, "outside of the repository"),
        ({"base/kustomization.yaml": "resources: [deployment.yaml, ../overlays/prod]\n"}, None, "leads back to itself"),
        ({"base/kustomization.yaml": "- x\n"}, None, "no kustomization"),
        ({"overlays/prod/kustomization.yaml": PROD + "    target: {name: (a*)*b}\n"}, None, "not followed"),
        ({"overlays/prod/kustomization.yaml": PROD + "    target: {name: '['}\n"}, None, "which is no pattern"),
        ({"overlays/prod/kustomization.yaml": PROD.replace("- path: more.yaml", "- more.yaml")}, None, "of the form"),
        ({"overlays/prod/kustomization.yaml": PROD.replace("more", "none")}, None, "none.yaml is not in the commit"),
        (TWO, prod("set_image", images={"side": "envoy:v5"}), "Deployment prod-two would be otherwise"),
    ],
)  # fmt: skip
def test_what_an_overlay_cannot_say_alone_is_refused(
    desk: GitDesk, files: dict[str, str | bytes], operation: dict[str, Any] | None, says: str
) -> None:
    desk.commit(files)
    with pytest.raises(CommandError, match=says):
        desk.propose(operation or prod("scale", replicas=3), words=PATH)
    assert desk.branches() == ["main"]


def kustomized(desk: GitDesk, ref: str) -> dict[str, Any]:
    """Return the Deployment that kubectl makes of the overlay at a commit; lists that are merged by name in order."""
    folder = desk.folder / ref.replace("/", "-")
    desk.git("worktree", "add", "-q", "--detach", str(folder), ref)
    kubectl = Path(os.environ["KUBEBUILDER_ASSETS"]) / "kubectl"
    done = subprocess.run([kubectl, "kustomize", folder / "overlays/prod"], capture_output=True, check=True, text=True)
    return cast("dict[str, Any]", yaml.safe_load(done.stdout))


@pytest.mark.original
@pytest.mark.parametrize("name", CASES)
def test_kubectl_makes_of_it_what_was_wanted_and_nothing_else(
    desk: GitDesk, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    operation, _, holds = CASES[name]
    before = kustomized(desk, "main")
    assert desk.propose(operation, words=(*PATH, "--json")) == 0
    after = kustomized(desk, desk.branch())
    assert holds(after)
    shown = yaml.safe_load(capsys.readouterr().out)["preview"]["diffs"][0]["changes"]
    assert_only(before, after, {tuple(pointer.split("/")[1:]) for pointer, _, _ in shown})


def assert_only(before: Any, after: Any, places: set[tuple[str, ...]], at: tuple[str, ...] = ()) -> None:
    """Assert that two values differ nowhere but at, below or above some places."""
    if at in places:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for key in {*old, *new}:
            assert_only(old.get(key), new.get(key), places, (*at, key.replace("/", "~1")))
    elif (
        isinstance(before, list)
        and isinstance(after, list)
        and len(cast("list[Any]", before)) == len(cast("list[Any]", after))
    ):
        for number, (one, other) in enumerate(zip(cast("list[Any]", before), cast("list[Any]", after), strict=True)):
            assert_only(one, other, places, (*at, str(number)))
    else:
        assert before == after, at
