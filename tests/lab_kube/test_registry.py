from dataclasses import replace
from typing import Any

import pytest

from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import CONFIGMAPS, DEPLOYMENTS, PODS, SECRETS, SERVICES
from midwatch_lab.objects import copied, dig
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

TESTER = Origin("tester", "create", "/test", manager="tester")

DRY = replace(TESTER, dry_run=True)


def causes(error: ApiError) -> dict[str, str]:
    return {cause["field"]: cause["reason"] for cause in error.status["details"]["causes"]}


def test_a_deployment_gets_the_defaults_of_the_original(plane: ControlPlane, chat: dict[str, Any]) -> None:
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    assert made["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert made["spec"]["revisionHistoryLimit"] == 10
    assert made["spec"]["progressDeadlineSeconds"] == 600
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"][0]["protocol"] == "TCP"
    assert container["readinessProbe"]["failureThreshold"] == 3
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}


def test_a_dry_run_returns_what_would_be_and_stores_nothing(plane: ControlPlane, chat: dict[str, Any]) -> None:
    version = plane.store.version
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, DRY)
    assert made["spec"]["revisionHistoryLimit"] == 10
    assert plane.store.version == version
    assert plane.registry.find(DEPLOYMENTS, "llm", "chat") is None
    entry = plane.store.audit.entries()[-1]
    assert entry["dry_run"] is True
    assert entry["sha256_before"] is None
    assert entry["sha256_after"] is not None


def test_a_dry_run_of_every_write_leaves_the_object_as_it_was(plane: ControlPlane, chat: dict[str, Any]) -> None:
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    draft = copied(made)
    draft["spec"]["replicas"] = 7
    assert plane.registry.update(DEPLOYMENTS, made, draft, DRY)["spec"]["replicas"] == 7
    plane.registry.delete(DEPLOYMENTS, made, DeleteOptions(), DRY)
    plane.registry.apply(DEPLOYMENTS, "llm", "chat", {"spec": {"replicas": 9}}, DRY, force=True)
    assert plane.registry.read(DEPLOYMENTS, "llm", "chat") is made


def test_every_write_is_in_the_audit_with_the_hashes_before_and_after(
    plane: ControlPlane, chat: dict[str, Any]
) -> None:
    start = plane.store.audit.entries()[-1]["seq"]
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    draft = copied(made)
    draft["spec"]["replicas"] = 1
    changed = plane.registry.update(DEPLOYMENTS, made, draft, replace(TESTER, verb="patch"))
    plane.registry.delete(DEPLOYMENTS, changed, DeleteOptions(), replace(TESTER, verb="delete"))
    first, second, third = plane.store.audit.entries(after=start)
    assert [entry["verb"] for entry in (first, second, third)] == ["create", "patch", "delete"]
    assert {entry["object"] for entry in (first, second, third)} == {"Deployment/llm/chat"}
    assert first["sha256_before"] is None
    assert first["sha256_after"] == second["sha256_before"] != second["sha256_after"] == third["sha256_before"]
    assert third["sha256_after"] is None
    assert third["seq"] == first["seq"] + 2


def test_an_update_from_an_old_version_is_a_conflict(plane: ControlPlane, chat: dict[str, Any]) -> None:
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    first, second = copied(made), copied(made)
    first["spec"]["replicas"], second["spec"]["replicas"] = 1, 2
    current = plane.registry.update(DEPLOYMENTS, made, first, TESTER)
    with pytest.raises(ApiError) as refused:
        plane.registry.update(DEPLOYMENTS, current, second, TESTER)
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    with pytest.raises(ApiError):
        plane.registry.update(DEPLOYMENTS, made, {**first, "metadata": {"name": "chat"}}, TESTER)
    assert plane.registry.read(DEPLOYMENTS, "llm", "chat")["spec"]["replicas"] == 1


def test_the_generation_counts_changes_of_the_spec_only(plane: ControlPlane, chat: dict[str, Any]) -> None:
    def label(obj: dict[str, Any]) -> None:
        obj["metadata"]["labels"]["a"] = "b"

    def scale(obj: dict[str, Any]) -> None:
        obj["spec"]["replicas"] = 5

    def report(obj: dict[str, Any]) -> None:
        obj["status"] = {"replicas": 3}
        obj["spec"]["replicas"] = 99

    plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    plane.registry.modify(DEPLOYMENTS, "llm", "chat", label, TESTER)
    assert plane.registry.read(DEPLOYMENTS, "llm", "chat")["metadata"]["generation"] == 1
    plane.registry.modify(DEPLOYMENTS, "llm", "chat", scale, TESTER)
    found = plane.registry.modify(DEPLOYMENTS, "llm", "chat", report, replace(TESTER, subresource="status"))
    assert found["metadata"]["generation"] == 2
    assert found["spec"]["replicas"] == 5, "the status subresource writes no spec"
    found = plane.registry.modify(DEPLOYMENTS, "llm", "chat", lambda obj: obj.update(status={}), TESTER)
    assert found["status"] == {"replicas": 3}, "the main resource writes no status"


def test_an_update_that_changes_nothing_makes_no_new_version(plane: ControlPlane, chat: dict[str, Any]) -> None:
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    again = plane.registry.update(DEPLOYMENTS, made, copied(made), TESTER)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        (("spec", "replicas"), -1, "spec.replicas", "FieldValueInvalid"),
        (("spec", "selector", "matchLabels"), {"x": "y"}, "spec.selector", "FieldValueInvalid"),
        (("spec", "template", "spec", "containers"), [], "spec.template.spec.containers", "FieldValueRequired"),
        (("spec", "strategy"), {"type": "Sometimes"}, "spec.strategy.type", "FieldValueNotSupported"),
        (
            ("spec", "strategy", "rollingUpdate"),
            {"maxSurge": 0, "maxUnavailable": 0},
            "spec.strategy.rollingUpdate.maxUnavailable",
            "FieldValueInvalid",
        ),
        (
            ("spec", "template", "spec", "restartPolicy"),
            "Never",
            "spec.template.spec.restartPolicy",
            "FieldValueNotSupported",
        ),
        (("metadata", "labels"), {"a b": "c"}, "metadata.labels", "FieldValueInvalid"),
    ],
)
def test_a_bad_deployment_is_a_422_that_names_the_field(  # noqa: PLR0917 (a table)
    plane: ControlPlane, chat: dict[str, Any], path: tuple[str, ...], value: Any, field: str, reason: str
) -> None:
    made = plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    draft = copied(made)
    dig(draft, *path[:-1])[path[-1]] = value
    with pytest.raises(ApiError) as refused:
        plane.registry.update(DEPLOYMENTS, made, draft, TESTER)
    assert refused.value.code == 422
    assert causes(refused.value)[field] == reason
    assert plane.registry.read(DEPLOYMENTS, "llm", "chat") is made


def test_requests_above_limits_and_unknown_probes_are_refused(plane: ControlPlane, chat: dict[str, Any]) -> None:
    container = chat["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}
    container["readinessProbe"] = {"periodSeconds": 1}
    container["ports"][0]["containerPort"] = 70000
    with pytest.raises(ApiError) as refused:
        plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    here = "spec.template.spec.containers[0]"
    assert causes(refused.value) == {
        f"{here}.ports[0].containerPort": "FieldValueInvalid",
        f"{here}.readinessProbe": "FieldValueRequired",
        f"{here}.resources.requests": "FieldValueInvalid",
    }


def test_a_wrong_type_is_refused_in_the_words_of_the_original(plane: ControlPlane, chat: dict[str, Any]) -> None:
    chat["spec"]["replicas"] = "3"
    with pytest.raises(ApiError) as refused:
        plane.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
    assert refused.value.code == 400
    assert str(refused.value) == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )


def test_a_service_needs_port_names_when_it_has_several(plane: ControlPlane, service: dict[str, Any]) -> None:
    service["spec"]["ports"] = [{"port": 80}, {"port": 81, "name": "b"}]
    with pytest.raises(ApiError) as refused:
        plane.registry.create(SERVICES, "llm", service, TESTER)
    assert causes(refused.value) == {"spec.ports[0].name": "FieldValueRequired"}


def test_a_pod_changes_its_image_and_nothing_else_of_its_spec(plane: ControlPlane) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    made = plane.registry.create(PODS, "llm", pod, TESTER)
    draft = copied(made)
    draft["spec"]["containers"][0]["image"] = "x:2"
    made = plane.registry.update(PODS, made, draft, TESTER)
    draft = copied(made)
    draft["spec"]["containers"][0]["args"] = ["--other"]
    with pytest.raises(ApiError) as refused:
        plane.registry.update(PODS, made, draft, TESTER)
    assert causes(refused.value) == {"spec": "FieldValueForbidden"}


def test_secret_texts_are_stored_encoded(plane: ControlPlane) -> None:
    made = plane.registry.create(SECRETS, "llm", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, TESTER)
    assert made["data"] == {"a": "Yg=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made


def test_nothing_is_made_in_a_namespace_that_is_not_there(plane: ControlPlane) -> None:
    with pytest.raises(ApiError) as refused:
        plane.registry.create(CONFIGMAPS, "nowhere", {"metadata": {"name": "c"}}, TESTER)
    assert (refused.value.code, str(refused.value)) == (404, 'namespaces "nowhere" not found')


def test_a_precondition_on_the_uid_guards_a_deletion(plane: ControlPlane) -> None:
    made = plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "c"}}, TESTER)
    with pytest.raises(ApiError) as refused:
        plane.registry.delete(CONFIGMAPS, made, DeleteOptions(uid="other"), TESTER)
    assert refused.value.code == 409
    _, gone = plane.registry.delete(CONFIGMAPS, made, DeleteOptions(uid=made["metadata"]["uid"]), TESTER)
    assert gone


def test_a_finalizer_holds_an_object_until_it_is_taken_off(plane: ControlPlane) -> None:
    body = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    made = plane.registry.create(CONFIGMAPS, "llm", body, TESTER)
    held, gone = plane.registry.delete(CONFIGMAPS, made, DeleteOptions(), TESTER)
    assert not gone
    assert held["metadata"]["deletionTimestamp"]

    def release(obj: dict[str, Any]) -> None:
        obj["metadata"]["finalizers"] = []

    plane.registry.modify(CONFIGMAPS, "llm", "c", release, TESTER)
    assert plane.registry.find(CONFIGMAPS, "llm", "c") is None


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(item["manager"], item["operation"]): item["fieldsV1"] for item in obj["metadata"]["managedFields"]}


def by(manager: str) -> Origin:
    return replace(TESTER, manager=manager)


def test_whoever_changes_a_field_owns_it_alone(plane: ControlPlane, chat: dict[str, Any]) -> None:
    plane.registry.create(DEPLOYMENTS, "llm", chat, by("one"))

    def scale(obj: dict[str, Any]) -> None:
        obj["spec"]["replicas"] = 9

    found = managers(plane.registry.modify(DEPLOYMENTS, "llm", "chat", scale, by("two")))
    assert found["two", "Update"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in found["one", "Update"]["f:spec"]
    containers = found["one", "Update"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert containers['k:{"name":"engine"}']["f:args"] == {}


def test_an_applied_field_conflicts_with_another_owner_unless_forced(plane: ControlPlane, chat: dict[str, Any]) -> None:
    plane.registry.apply(DEPLOYMENTS, "llm", "chat", chat, by("one"), force=False)
    claim = {"spec": {"replicas": 8}}
    with pytest.raises(ApiError) as refused:
        plane.registry.apply(DEPLOYMENTS, "llm", "chat", claim, by("two"), force=False)
    assert refused.value.code == 409
    assert refused.value.status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
    ]
    found, made = plane.registry.apply(DEPLOYMENTS, "llm", "chat", claim, by("two"), force=True)
    assert not made
    assert found["spec"]["replicas"] == 8
    assert managers(found)["two", "Apply"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in managers(found)["one", "Apply"]["f:spec"]


def test_a_field_that_is_no_longer_applied_goes(plane: ControlPlane) -> None:
    first = {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    plane.registry.apply(CONFIGMAPS, "llm", "c", first, by("one"), force=False)
    second = {"metadata": {"name": "c"}, "data": {"b": "2"}}
    found, _ = plane.registry.apply(CONFIGMAPS, "llm", "c", second, by("one"), force=False)
    assert found["data"] == {"b": "2"}


def test_the_last_label_that_is_no_longer_applied_goes_and_the_object_keeps_its_name(plane: ControlPlane) -> None:
    first = {"metadata": {"name": "c", "labels": {"a": "b"}, "annotations": {"c": "d"}}}
    plane.registry.apply(CONFIGMAPS, "llm", "c", first, by("one"), force=False)
    found, _ = plane.registry.apply(CONFIGMAPS, "llm", "c", {"metadata": {"name": "c"}}, by("one"), force=False)
    assert found["metadata"]["name"] == "c"
    assert "labels" not in found["metadata"]
    assert "annotations" not in found["metadata"]


def test_the_history_gives_back_a_list_as_it_was(plane: ControlPlane) -> None:
    for name in ("a", "b", "c"):
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": name}}, TESTER)
    version = plane.store.version
    then = plane.store.items(CONFIGMAPS.key, "llm")
    plane.registry.delete(CONFIGMAPS, then[0], DeleteOptions(), TESTER)
    plane.registry.modify(CONFIGMAPS, "llm", "b", lambda obj: obj.update(data={"x": "y"}), TESTER)
    plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "d"}}, TESTER)
    assert plane.store.items_at(CONFIGMAPS.key, "llm", version) == then
