"""What the original cannot be asked in a moment: ends of tokens, restarts, aggregation, what is remembered."""

import base64
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.rules import described, not_covered
from midwatch_lab.access.service_tokens import ISSUER, ServiceTokens
from midwatch_lab.access.user import AUTHENTICATED, User
from midwatch_lab.api.users import bind_users
from midwatch_lab.errors import TokenError
from midwatch_lab.kinds.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
)
from midwatch_lab.objects import Object, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.schemas.schema import schemas
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.sqlite import SqliteJournal

TESTER = Origin("tester", "create", "/test", manager="tester")
Clients = Callable[[str | None], httpx2.AsyncClient]
GET_PODS: Object = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
JANE = User("jane", ("devs", AUTHENTICATED))
ACCESS = Path(__file__).parents[2] / "lab/midwatch_lab/access"


def wants(user: User, verb: str = "get", resource: str = "pods", namespace: str = "llm") -> Attributes:
    return Attributes(user, verb, resource=resource, namespace=namespace)


def make(plane: ControlPlane, resource: Resource, obj: Object, namespace: str = "") -> Object:
    return plane.registry.create(resource, namespace, obj, TESTER)


def bound(name: str, role: str, *subjects: Object, kind: str = "ClusterRole") -> Object:
    return {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role}, "subjects": list(subjects)}


def test_the_bootstrap_roles_are_of_the_version_that_is_served() -> None:
    found = json.loads((ACCESS / "bootstrap.json").read_text("utf-8"))
    assert found["version"] == schemas().version
    assert len(found["clusterroles"]) > 60


def test_two_clusters_begin_with_the_same_roles_under_uids_and_times_of_their_own(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    late = VirtualClock(clock.now() + 60)
    other = ControlPlane(late)
    for resource in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS):
        ones, twos = plane.store.items(resource.key), other.store.items(resource.key)
        assert [name_of(obj) for obj in ones] == [name_of(obj) for obj in twos]
        assert not {obj["metadata"]["uid"] for obj in ones} & {obj["metadata"]["uid"] for obj in twos}
        assert {obj["metadata"]["creationTimestamp"] for obj in twos} == {other.registry.now_text()}
        assert {obj["metadata"]["managedFields"][0]["time"] for obj in twos} == {other.registry.now_text()}


def test_what_is_remembered_of_a_user_goes_with_any_change_of_roles_or_bindings(plane: ControlPlane) -> None:
    authorizer = plane.registry.authorizer
    assert not authorizer.decide(wants(JANE)).allowed
    make(plane, CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": [GET_PODS]})
    binding = make(plane, ROLE_BINDINGS, bound("b", "r", {"kind": "Group", "name": "devs"}), "llm")
    assert authorizer.decide(wants(JANE)).allowed
    assert not authorizer.decide(wants(JANE, namespace="default")).allowed
    plane.registry.modify(CLUSTER_ROLES, "", "r", lambda role: role["rules"][0].update(verbs=["list"]), TESTER)
    assert not authorizer.decide(wants(JANE)).allowed
    assert authorizer.decide(wants(JANE, "list")).allowed
    plane.registry.discard(ROLE_BINDINGS, plane.registry.read(ROLE_BINDINGS, "llm", name_of(binding)), TESTER)
    assert not authorizer.decide(wants(JANE, "list")).allowed


def test_rules_are_not_worked_out_again_while_nothing_changes(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorizer = plane.registry.authorizer
    authorizer.decide(wants(JANE))

    def no(*_: Any) -> list[Object]:
        raise AssertionError("the bindings were read again")

    monkeypatch.setattr(plane.store, "items", no)
    for verb in ("get", "list", "delete"):
        assert not authorizer.decide(wants(JANE, verb)).allowed


def test_what_is_granted_must_be_held_part_by_part() -> None:
    held = [GET_PODS, {"verbs": ["*"], "nonResourceURLs": ["/api/*"]}]
    assert not not_covered(held, [{**GET_PODS, "resourceNames": ["a"]}])
    assert not not_covered(held, [{"verbs": ["get", "post"], "nonResourceURLs": ["/api/v1"]}])
    missing = not_covered(held, [{**GET_PODS, "verbs": ["get", "list", "watch"], "resources": ["pods", "nodes"]}])
    assert described(missing) == [
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "watch"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}',
    ]


async def settled(plane: ControlPlane) -> None:
    async with plane.running():
        await plane.settle()


@pytest.mark.anyio
async def test_aggregated_roles_are_filled_and_follow_what_is_labelled(plane: ControlPlane) -> None:
    assert plane.registry.read(CLUSTER_ROLES, "", "view")["rules"] is None
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    nodes = {"verbs": ["list"], "apiGroups": [""], "resources": ["nodes"]}
    make(plane, CLUSTER_ROLES, {"metadata": {"name": "nodes", "labels": labels}, "rules": [nodes]})
    await settled(plane)
    for role in ("view", "edit", "admin"):
        assert nodes in plane.registry.read(CLUSTER_ROLES, "", role)["rules"]
    plane.registry.discard(CLUSTER_ROLES, plane.registry.read(CLUSTER_ROLES, "", "nodes"), TESTER)
    await settled(plane)
    for role in ("view", "edit", "admin"):
        assert nodes not in plane.registry.read(CLUSTER_ROLES, "", role)["rules"]
    version = plane.store.version
    await settled(plane)
    assert plane.store.version == version


def account(plane: ControlPlane, name: str = "bot") -> Object:
    return make(plane, SERVICE_ACCOUNTS, {"metadata": {"name": name}}, "llm")


@pytest.mark.anyio
async def test_a_token_is_good_until_its_end_and_no_longer(plane: ControlPlane, clock: VirtualClock) -> None:
    tokens = ServiceTokens(plane.store, clock)
    token, ends = tokens.issue(account(plane), [ISSUER], 600, None)
    assert tokens.user_of(token, [ISSUER])[0].name == "system:serviceaccount:llm:bot"
    await clock.advance(ends - clock.now())
    with pytest.raises(TokenError, match="expired"):
        tokens.user_of(token, [ISSUER])


def test_a_token_goes_with_the_pod_that_it_is_bound_to(plane: ControlPlane, clock: VirtualClock) -> None:
    tokens = ServiceTokens(plane.store, clock)
    spec = {"serviceAccountName": "bot", "containers": [{"name": "c", "image": "x"}]}
    bot = account(plane)
    pod = make(plane, PODS, {"metadata": {"name": "p"}, "spec": spec}, "llm")
    token, _ = tokens.issue(bot, [ISSUER], 600, pod)
    user, _ = tokens.user_of(token, [ISSUER])
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    plane.registry.remove(PODS, pod, TESTER)
    make(plane, PODS, {"metadata": {"name": "p"}, "spec": spec}, "llm")
    with pytest.raises(TokenError, match="does not match claim"):
        tokens.user_of(token, [ISSUER])


def test_a_token_that_another_signed_or_nobody_is_refused(plane: ControlPlane, clock: VirtualClock) -> None:
    tokens, others = ServiceTokens(plane.store, clock), ServiceTokens(plane.store, clock)
    token, _ = others.issue(account(plane), [ISSUER], 600, None)
    with pytest.raises(TokenError, match="cryptographic"):
        tokens.user_of(token, [ISSUER])
    claims = jwt.decode(token, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", "none")
    by_public = jwt.encode(claims, base64.b64encode(b"k" * 48).decode(), "HS256")
    for forged in (unsigned, by_public):
        with pytest.raises(TokenError):
            tokens.user_of(forged, [ISSUER])


@pytest.mark.anyio
async def test_a_service_account_acts_by_its_token_and_stands_in_the_audit(
    plane: ControlPlane, client_of: Clients
) -> None:
    account(plane)
    make(plane, ROLES, {"metadata": {"name": "r"}, "rules": [{**GET_PODS, "verbs": ["*"], "resources": ["*"]}]}, "llm")
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": "llm"}
    make(plane, ROLE_BINDINGS, bound("b", "r", subject, kind="Role"), "llm")
    async with client_of("admin") as admin:
        made = await admin.post("/api/v1/namespaces/llm/serviceaccounts/bot/token", json={})
    headers = {"Authorization": f"Bearer {made.json()['status']['token']}"}
    body = {"metadata": {"name": "c"}}
    async with client_of(None) as bot:
        done = await bot.post("/api/v1/namespaces/llm/configmaps", json=body, headers=headers)
        refused = await bot.post("/api/v1/namespaces/default/configmaps", json=body, headers=headers)
    assert (done.status_code, refused.status_code) == (201, 403)
    assert plane.store.audit.entries()[-1]["principal"] == "system:serviceaccount:llm:bot"


def test_a_start_gives_back_what_the_first_roles_have_lost_unless_they_say_no(
    tmp_path: Path, clock: VirtualClock
) -> None:
    more = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}

    def narrow(role: Object) -> None:
        role["rules"] = [more]

    def keep(role: Object) -> None:
        narrow(role)
        role["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"

    with closing(SqliteJournal(tmp_path / "lab.db")) as journal:
        registry = ControlPlane(clock, journal).registry
        registry.modify(CLUSTER_ROLES, "", "system:basic-user", narrow, TESTER)
        registry.modify(CLUSTER_ROLES, "", "system:discovery", keep, TESTER)
        registry.modify(CLUSTER_ROLE_BINDINGS, "", "system:basic-user", lambda obj: obj.pop("subjects"), TESTER)
    with closing(SqliteJournal(tmp_path / "lab.db")) as journal:
        registry = ControlPlane(clock, journal).registry
        rules = registry.read(CLUSTER_ROLES, "", "system:basic-user")["rules"]
        assert rules[0] == more
        assert {resource for rule in rules[1:] for resource in rule["resources"]} == {
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "selfsubjectreviews",
        }
        assert registry.read(CLUSTER_ROLES, "", "system:discovery")["rules"] == [more]
        subjects = registry.read(CLUSTER_ROLE_BINDINGS, "", "system:basic-user")["subjects"]
        assert [subject["name"] for subject in subjects] == [AUTHENTICATED]
        version = registry.store.version
    with closing(SqliteJournal(tmp_path / "lab.db")) as journal:
        assert ControlPlane(clock, journal).store.version == version


def test_a_lab_that_starts_again_keeps_its_roles_and_what_was_made_of_them(tmp_path: Path, clock: VirtualClock) -> None:
    with closing(SqliteJournal(tmp_path / "lab.db")) as journal:
        plane = ControlPlane(clock, journal)
        bind_users(plane.registry)
        plane.registry.discard(
            CLUSTER_ROLE_BINDINGS, plane.registry.read(CLUSTER_ROLE_BINDINGS, "", "midwatch"), TESTER
        )
        make(plane, CLUSTER_ROLE_BINDINGS, bound("midwatch", "view", {"kind": "Group", "name": "midwatch"}))
        count = len(plane.store.items(CLUSTER_ROLES.key))
    with closing(SqliteJournal(tmp_path / "lab.db")) as journal:
        again = ControlPlane(clock, journal)
        bind_users(again.registry)
        assert len(again.store.items(CLUSTER_ROLES.key)) == count
        kept = again.registry.read(CLUSTER_ROLE_BINDINGS, "", "midwatch")
        assert kept["roleRef"]["name"] == "view"
        midwatch = User("midwatch", ("midwatch", AUTHENTICATED))
        assert not again.registry.authorizer.decide(wants(midwatch, "delete")).allowed
