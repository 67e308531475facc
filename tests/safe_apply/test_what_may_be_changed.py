"""The jail, the classes of risk, and what is refused because it is not understood."""

import copy
from typing import Any

import pytest

from midwatch_mcp.errors import ServersError
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.errors import Reason, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import EXPECT, World, deployment, scale, set_blocks, set_flags
from midwatch_mcp.safe_apply.fakes import GROUPS
from midwatch_mcp.safe_apply.owners import managers

pytestmark = pytest.mark.anyio

CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}


def patch(body: Any, form: str = "merge") -> dict[str, Any]:
    return {"op": "patch", "target": CHAT, "args": {"type": form, "patch": body}}


def pod(**spec: Any) -> dict[str, Any]:
    return patch({"spec": {"template": {"spec": spec}}})


REFUSED: dict[str, tuple[dict[str, Any], Reason]] = {
    "kube-system": ({**scale(), "target": {**CHAT, "namespace": "kube-system"}}, "forbidden"),
    "no namespace": ({**scale(), "target": {"kind": "Deployment", "name": "chat"}}, "bad_draft"),
    "a kind outside the jail": (patch({"data": {"a": "b"}}) | {"target": {**CHAT, "kind": "Secret"}}, "forbidden"),
    "a daemon set": ({**set_blocks(), "target": {**CHAT, "kind": "DaemonSet"}}, "forbidden"),
    "an unknown operation": ({**scale(), "op": "explode"}, "not_understood"),
    "an unknown argument": ({**scale(), "args": {"replicas": 2, "force": True}}, "bad_draft"),
    "a negative number": (scale(replicas=-1), "bad_draft"),
    "a scale of a pod": ({**scale(), "target": {**CHAT, "kind": "Pod", "name": "chat-1"}}, "not_understood"),
    "an object in place of its status": (patch({"status": {"readyReplicas": 9}}), "not_understood"),
    "a version": (patch({"metadata": {"resourceVersion": "1"}}), "not_understood"),
    "an owner": (patch({"metadata": {"ownerReferences": [{"uid": "x"}]}}), "forbidden"),
    "a finalizer": (patch({"metadata": {"finalizers": ["x/y"]}}), "forbidden"),
    "a selector": (patch({"spec": {"selector": {"matchLabels": {"app": "router"}}}}), "forbidden"),
    "a service account": (pod(serviceAccountName="admin"), "forbidden"),
    "the host's network": (pod(hostNetwork=True), "forbidden"),
    "the host's files": (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "forbidden"),
    "a privileged container": (
        pod(containers=[{"name": "engine", "image": "x", "securityContext": {"privileged": True}}]),
        "forbidden",
    ),
    "the same by JSON patch": (
        patch(
            [{"op": "add", "path": "/spec/template/spec/containers/0/securityContext", "value": {"privileged": True}}],
            "json",
        ),
        "forbidden",
    ),
    "a directive": (patch({"spec": {"$patch": "replace"}}, "strategic"), "not_understood"),
    "an unknown list": (
        patch({"spec": {"template": {"spec": {"tolerations": [{"key": "a"}]}}}}, "strategic"),
        "not_understood",
    ),
    "a moving JSON patch": (
        patch([{"op": "move", "from": "/spec/replicas", "path": "/spec/paused"}], "json"),
        "not_understood",
    ),
    "nothing new": (set_blocks("14"), "no_effect"),
    "an unknown container": (
        set_blocks() | {"args": {"container": "nginx", "args": {"--a": "b"}}},
        "not_understood",
    ),
    "no flag": (set_flags({"a; rm -rf /": "1"}), "bad_draft"),
    "a serving target of another operation": ({**scale(), "target": {"serving": "Pod/llm/chat-1"}}, "not_understood"),
    "a serving deployment": (
        {
            "op": "serving.config",
            "target": {"serving": "Deployment/llm/chat"},
            "args": {"values": {"max_num_seqs": 1}},
        },
        "not_understood",
    ),
    "a revision that is not kept": (
        {"op": "rollout_undo", "target": CHAT, "args": {"to_revision": 7}},
        "not_understood",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_outside_the_jail_or_not_understood_is_refused(world: World, what: str) -> None:
    operation, reason = REFUSED[what]
    with pytest.raises(RefusedChangeError) as caught:
        await world.propose(operation)
    assert caught.value.reason == reason, str(caught.value)
    assert world.cluster.writes == []
    assert world.envelope.plans() == []
    (entry,) = entries(world.envelope.audit.path)
    assert (entry.kind, entry.body["reason"]) == ("refused", reason)


async def test_a_custom_resource_does_not_pass_under_a_known_kinds_name(world: World) -> None:
    target = {**CHAT, "apiVersion": "example.com/v1"}
    with pytest.raises(ServersError, match="no kind"):
        await world.propose({**scale(), "target": target})


async def test_a_protected_label_keeps_an_object_from_every_change(world: World) -> None:
    world.cluster.put(deployment(labels={"app": "chat", "midwatch.io/protected": "true"}))
    with pytest.raises(RefusedChangeError, match="protected label"):
        await world.propose(set_blocks())


async def test_a_plan_touches_an_object_once(world: World) -> None:
    with pytest.raises(RefusedChangeError, match="more than once"):
        await world.propose(set_blocks(), scale("chat"))


@pytest.mark.parametrize(("replicas", "risk"), [(12, "change"), (13, "dangerous"), (1, "change"), (0, "dangerous")])
async def test_a_scale_beyond_the_factor_is_dangerous(world: World, replicas: int, risk: str) -> None:
    proposal = await world.propose(scale(replicas=replicas))
    assert proposal.preview.risk == risk


async def test_a_webhook_that_adds_to_the_change_makes_it_dangerous_and_says_so(world: World) -> None:
    def mutate(value: dict[str, Any]) -> None:
        value["metadata"].setdefault("annotations", {})["injected"] = "yes"

    world.cluster.mutate = mutate
    proposal = await world.propose()
    assert proposal.preview.risk == "dangerous"
    assert "more than the operation says: /metadata/annotations" in proposal.text


@pytest.mark.parametrize(
    "draft",
    [
        {"expect": []},
        {"expect": [{"promql": "vector(1)", "holds": "value > 0", "within_s": 1, "hold_s": 1}]},
        {"expect": [{"promql": "x{", "holds": "value > 0", "within_s": 1, "hold_s": 1}]},
        {"operations": []},
        {"approval": {"approver": "alice"}},
        {"title": ""},
    ],
    ids=str,
)
async def test_a_draft_that_does_not_fit_is_refused_with_the_field(world: World, draft: dict[str, Any]) -> None:
    with pytest.raises(RefusedChangeError) as caught:
        await world.propose(**draft)
    assert caught.value.reason == "bad_draft"


@pytest.mark.parametrize(("level", "verb"), [(1, "propose"), (2, "apply")])
async def test_the_autonomy_level_bounds_what_is_done(world: World, level: int, verb: str) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    (world.state / "policy.toml").write_text(f"autonomy = {level}\n")
    with pytest.raises(RefusedChangeError) as caught:
        await (world.propose(set_blocks("64")) if verb == "propose" else world.envelope.apply(proposal.plan.id))
    assert caught.value.reason == "autonomy"
    assert world.cluster.writes == []


async def test_a_policy_that_forbids_after_the_approval_is_obeyed(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    (world.state / "policy.toml").write_text('[namespaces]\ndeny = ["llm"]\n')
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == "forbidden"
    assert world.cluster.writes == []


async def test_a_freeze_between_two_operations_undoes_the_first(world: World) -> None:
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal)

    def freeze(phase: str, verb: str, _entity: str) -> None:
        if (phase, verb) == ("after", "write"):
            (world.state / "policy.toml").write_text('frozen = "now"\n')

    world.cluster.hook = freeze
    before = world.args()
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "undone"
    assert "frozen: now" in change.note
    assert world.args() == before


MANAGED: list[dict[str, Any]] = [
    {
        "manager": "kubectl",
        "operation": "Update",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {}}}}},
    },
    {
        "manager": "argocd-controller",
        "operation": "Apply",
        "fieldsV1": {
            "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"engine"}': {".": {}, "f:args": {}}}}}}
        },
    },
    {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
]


async def test_a_field_that_gitops_owns_is_refused_with_the_advice_to_change_git(world: World) -> None:
    world.cluster.put(deployment(managedFields=copy.deepcopy(MANAGED)))
    with pytest.raises(RefusedChangeError, match=r"belongs to argocd-controller .+change it in Git") as caught:
        await world.propose(set_blocks())
    assert caught.value.reason == "forbidden"
    proposal = await world.propose(scale("chat", 4))
    assert [(owner.pointer, owner.manager) for owner in proposal.preview.owners] == [("/spec/replicas", "kubectl")]


def test_owners_are_found_through_lists_by_key() -> None:
    value = deployment(managedFields=copy.deepcopy(MANAGED))
    assert managers(value, "/spec/template/spec/containers/1/args/0") == ["argocd-controller", "kubectl"]
    assert managers(value, "/spec/template/spec/containers/0/image") == ["kubectl"]
    assert managers(value, "/spec/paused") == []


@pytest.mark.parametrize(
    "words",
    [
        {"command": ["/bin/sh", "-c"], "args": ["serve --num-gpu-blocks-override=14"]},
        {"args": ["--num-gpu-blocks-override=1", "--num-gpu-blocks-override", "2"]},
        {"command": ["serve", "--num-gpu-blocks-override=1"], "args": ["--num-gpu-blocks-override=2"]},
    ],
    ids=["shell", "twice", "both lists"],
)
async def test_flags_that_cannot_be_told_apart_are_refused(world: World, words: dict[str, list[str]]) -> None:
    value = deployment()
    value["spec"]["template"]["spec"]["containers"][1] = {"name": "engine", "image": "engine:1", **words}
    world.cluster.put(value)
    with pytest.raises(RefusedChangeError) as caught:
        await world.propose(set_blocks())
    assert caught.value.reason == "not_understood"


async def test_a_rollout_undo_names_the_template_that_comes_and_leads_back(world: World) -> None:
    old = world.cluster.objects_by_entity["Deployment/llm/chat"]
    for revision, blocks in ((1, "256"), (2, "14")):
        template = copy.deepcopy(old["spec"]["template"])
        template["metadata"]["labels"]["pod-template-hash"] = str(revision)
        template["spec"]["containers"][1]["args"] = ["--model=tiny", f"--num-gpu-blocks-override={blocks}"]
        world.cluster.put(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"chat-{revision}",
                    "namespace": "llm",
                    "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                    "ownerReferences": [{"uid": old["metadata"]["uid"]}],
                },
                "spec": {"template": template},
            }
        )
    proposal = await world.propose({"op": "rollout_undo", "target": CHAT, "args": {"to_revision": 0}})
    assert proposal.plan.operations[0].args["to_revision"] == 1
    assert "pod-template-hash" not in proposal.text
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert world.args() == ["--model=tiny", "--num-gpu-blocks-override=256"]
    back = await world.envelope.draft_undo(change.change_id)
    world.approve(back)
    await world.envelope.apply(back.plan.id)
    assert world.args() == ["--model=tiny", "--num-gpu-blocks-override=14", "--max-num-seqs", "4"]


async def test_an_autoscaler_of_the_same_workload_is_named(world: World) -> None:
    world.cluster.put(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "router", "namespace": "llm"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "router"}, "maxReplicas": 9},
        }
    )
    proposal = await world.propose(scale())
    assert any("the autoscaler router also sets the replicas" in warning for warning in proposal.preview.warnings)


def policy(world: World, text: str) -> None:
    (world.state / "policy.toml").write_text(text, "utf-8")


async def test_a_freeze_window_stops_a_change_that_was_approved_before_it(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    # The world's clock stands at 22:13 UTC of a Tuesday.
    policy(
        world, '[[freeze]]\nreason = "nobody is there"\nzone = "America/New_York"\ndays = ["Tue"]\nfrom = 17:00:00\n'
    )
    with pytest.raises(RefusedChangeError, match=r"Tue 17:00 to 00:00 of the next day .+nobody is there") as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == "frozen"
    assert world.cluster.writes == []
    policy(
        world, '[[freeze]]\nreason = "nobody is there"\nzone = "America/New_York"\ndays = ["Tue"]\nfrom = 18:00:00\n'
    )
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"


async def test_what_the_policy_lets_through_is_dangerous_and_no_longer_forbidden(world: World) -> None:
    hooked = strategic_engine(lifecycle={"preStop": {"sleep": {"seconds": 5}}})
    with pytest.raises(RefusedChangeError, match="the policy may let lifecycle through"):
        await world.propose(hooked)
    policy(world, 'let_through = ["lifecycle"]\n')
    assert (await world.propose(hooked)).preview.risk == "dangerous"


def strategic_engine(**fields: Any) -> dict[str, Any]:
    return patch({"spec": {"template": {"spec": {"containers": [{"name": "engine", **fields}]}}}}, "strategic")


@pytest.mark.parametrize(
    ("images", "image", "risk"),
    [
        ("", "engine:2", "change"),
        ("", "docker.io/library/engine:2", "change"),
        ("", "ghcr.io/acme/engine:1", "dangerous"),
        ('images = ["ghcr.io/acme/*"]', "ghcr.io/acme/engine:1", "change"),
        ('images = ["ghcr.io/acme/*"]', "engine:2", "forbidden"),
    ],
)
async def test_an_image_is_judged_by_where_it_comes_from(world: World, images: str, image: str, risk: str) -> None:
    policy(world, images)
    judged = await world.envelope.judge(drafted(strategic_engine(image=image)))
    assert judged.risk == risk


def drafted(operation: dict[str, Any]) -> dict[str, Any]:
    return {"title": "A draft", "operations": [operation], "expect": [EXPECT]}


@pytest.mark.parametrize(
    ("spec", "risk"),
    [
        ({"size": 3}, "change"),
        ({"size": 3, "replicas": 2}, "dangerous"),
        ({"size": 3, "worker": {"template": {"spec": {"containers": [{"name": "w", "image": "w:1"}]}}}}, "dangerous"),
    ],
)
async def test_a_custom_resource_is_let_in_by_its_group_and_is_at_least_what_it_holds(
    world: World, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], risk: str
) -> None:
    monkeypatch.setitem(GROUPS, "Widget", "example.com/v1")
    metadata = {"name": "chat", "namespace": "llm"}
    world.cluster.put({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": spec})
    operation = patch({"spec": {"size": 4}}) | {"target": {**CHAT, "kind": "Widget"}}
    policy(world, 'kinds = ["other.example.com/Widget"]\n')
    assert (await world.envelope.judge(drafted(operation))).risk == "forbidden"
    policy(world, 'kinds = ["example.com/Widget"]\n')
    assert (await world.envelope.judge(drafted(operation))).risk == risk


async def test_what_git_keeps_may_be_changed_as_dangerous_where_the_policy_says_so(world: World) -> None:
    world.cluster.put(
        deployment(annotations={"meta.helm.sh/release-name": "chat"}, labels={"helm.sh/chart": "vllm-0.1"})
    )
    with pytest.raises(RefusedChangeError, match=r"Helm keeps it .release /chat of chart vllm-0.1.+change it in Git"):
        await world.propose(set_blocks())
    policy(world, 'gitops = "dangerous"\n')
    proposal = await world.propose(set_blocks())
    assert proposal.preview.risk == "dangerous"


async def test_a_plan_can_be_judged_without_keeping_anything(world: World) -> None:
    judged = await world.envelope.judge(drafted(scale("chat", 0)))
    assert (judged.risk, judged.operations[0].rule) == ("dangerous", "patch deployments.apps is change")
    assert judged.operations[0].reasons == ("dangerous: replicas 3 → 0 is beyond the factor 4",)
    assert "by signature" in judged.needs
    assert world.envelope.plans() == []
    assert list(entries(world.envelope.audit.path)) == []
    outside = await world.envelope.judge(drafted({**scale(), "target": {**CHAT, "namespace": "kube-system"}}))
    assert (outside.risk, outside.needs) == ("forbidden", "nobody can approve it")
    proposal = await world.propose()
    assert (await world.envelope.judge(proposal.plan.id)).risk == "change"


SERVICE = {"kind": "Service", "namespace": "llm", "name": "front"}
PORTS = [{"name": "http", "port": 80, "targetPort": 8000, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("spec", "risk", "says"),
    [
        ({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}, "change", ""),
        ({"type": "LoadBalancer"}, "dangerous", "Service/spec/type"),
        ({"type": "NodePort", "ports": [{**PORTS[0], "nodePort": 30080}]}, "dangerous", "a port of every node"),
        ({"externalTrafficPolicy": "Local"}, "dangerous", "which nodes answer"),
        ({"type": "ExternalName", "externalName": "evil.example"}, "forbidden", "any name"),
        ({"externalIPs": ["10.0.0.1"]}, "forbidden", "CVE-2020-8554"),
        ({"loadBalancerIP": "10.0.0.1"}, "forbidden", "takes an address"),
    ],
)
async def test_a_service_that_opens_a_door_is_dangerous_made_and_changed(
    world: World, spec: dict[str, Any], risk: str, says: str
) -> None:
    plain = {"ports": PORTS, "selector": {"app": "chat"}}
    made = {"op": "create", "target": SERVICE, "args": {"manifest": {"spec": {**plain, **spec}}}}
    judged = await world.envelope.judge(drafted(made))
    assert judged.risk == risk, judged.operations
    assert says in " ".join([*judged.reasons, *(text for one in judged.operations for text in one.reasons)])
    world.cluster.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "llm"}, "spec": plain}
    )
    changed = {"op": "patch", "target": SERVICE, "args": {"type": "merge", "patch": {"spec": spec}}}
    judged = await world.envelope.judge(drafted(changed))
    assert judged.risk == ("forbidden" if risk == "forbidden" else "dangerous")
    assert says in " ".join(text for one in judged.operations for text in one.reasons)


@pytest.mark.parametrize(
    ("policy_text", "path", "risk"),
    [
        ("", "/adapters/legal", "change"),
        ("", "acme/legal-lora", "dangerous"),
        ("", "adapters/legal", "dangerous"),
        ("", "https://evil.example/x", "forbidden"),
        ("", "/adapters/../etc", "forbidden"),
        ('adapters = ["/adapters/*", "acme/*"]', "/adapters/legal", "change"),
        ('adapters = ["/adapters/*", "acme/*"]', "acme/legal-lora", "change"),
        ('adapters = ["/adapters/*", "acme/*"]', "evil/legal-lora", "forbidden"),
        ('adapters = ["/adapters/*", "acme/*"]', "/tmp/legal", "forbidden"),
        ('adapters = ["/adapters/*", "acme/*"]', "/adapters/../tmp/legal", "forbidden"),
    ],
)
async def test_an_adapter_is_judged_by_where_it_comes_from(
    world: World, policy_text: str, path: str, risk: str
) -> None:
    world.cluster.put_backend("Pod/llm/chat-1")
    policy(world, policy_text)
    loaded = {"op": "serving.adapter", "target": {"serving": "Pod/llm/chat-1"}, "args": {"load": "legal", "path": path}}
    assert (await world.envelope.judge(drafted(loaded))).risk == risk


async def test_a_history_that_would_be_deleted_is_dangerous(world: World) -> None:
    judged = await world.envelope.judge(drafted(patch({"spec": {"revisionHistoryLimit": 0}})))
    assert judged.risk == "dangerous"


async def test_the_revision_that_a_controller_wrote_makes_no_change_dangerous(world: World) -> None:
    world.cluster.put(deployment("router", annotations={"deployment.kubernetes.io/revision": "3"}))
    assert (await world.propose(scale())).preview.risk == "change"
