"""Bodies as typed clients send them: protobuf in the original's envelope, read by a table of field numbers."""

import base64
from collections.abc import Callable
from typing import Any, cast

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.bodies import parse_protobuf
from midwatch_lab.errors import ApiError, DecodeError
from midwatch_lab.kinds.resources import RESOURCES
from midwatch_lab.objects import dig
from midwatch_lab.plane import ControlPlane
from midwatch_lab.schemas import protobuf

pytestmark = pytest.mark.anyio

Clients = Callable[[str | None], httpx2.AsyncClient]
BINARY = {"Content-Type": protobuf.MEDIA, "Accept": f"{protobuf.MEDIA},application/json"}
FROM_THE_ORIGINAL = (
    "azhzAAoPCgJ2MRIJQ29uZmlnTWFwEuUBCtoBCgV3b3JkcxIAGgdkZWZhdWx0IgAqJGU5NTE4MzZlLTViOGUtNDBmMC04NGZmLTY5"
    "YzQ3ZGFiZDJjZTIAOABCCAi0nKTYBhAAWgwKBGtpbmQSBHRlc3SKAYABCg1QeXRob24tdXJsbGliEgZVcGRhdGUaAnYxIggItJyk"
    "2AYQADIIRmllbGRzVjE6TQpLeyJmOmRhdGEiOnsiLiI6e30sImY6YSI6e319LCJmOm1ldGFkYXRhIjp7ImY6bGFiZWxzIjp7Ii4i"
    "Ont9LCJmOmtpbmQiOnt9fX19QgASBgoBYRIBMRoAIgA="
)
PARTS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}, "deletionGracePeriodSeconds": 0},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "resources": {"limits": {"cpu": "250m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"path": "/x", "port": "http"}, "periodSeconds": 3},
                    "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}],
                }
            ],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        },
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": -1}},
        },
    },
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"renewTime": "2026-01-02T03:04:05.123456Z", "leaseDurationSeconds": 15},
    },
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {
            "versions": [
                {
                    "name": "v1",
                    "schema": {
                        "openAPIV3Schema": {
                            "x-kubernetes-preserve-unknown-fields": True,
                            "properties": {
                                "a": {"default": {"deep": [1, None]}, "maximum": 1.5, "items": {"type": "string"}}
                            },
                            "additionalProperties": True,
                        }
                    },
                }
            ]
        },
    },
    {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "r", "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}]},
        "data": {"spec": {"template": {"$patch": "replace"}}},
        "revision": 3,
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"k": base64.b64encode(b"\xff").decode()},
    },
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "u", "extra": {"scopes": ["a", "b"]}},
    },
    {"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": {"gracePeriodSeconds": 0, "dryRun": ["All"]}},
]


def stated(given_part: Any, decoded: Any) -> bool:
    """Tell whether all that was given came back; structures that are always on the wire may come with it."""
    if isinstance(given_part, dict):
        items = cast("dict[str, Any]", given_part).items()
        return all(stated(value, decoded.get(key)) for key, value in items)
    if isinstance(given_part, list):
        return all(stated(*pair) for pair in zip(cast("list[Any]", given_part), decoded, strict=True))
    return bool(given_part == decoded)


@pytest.mark.parametrize("obj", PARTS, ids=lambda obj: obj["kind"])
def test_what_is_written_reads_back_with_every_special_type(obj: dict[str, Any]) -> None:
    back = protobuf.opened(protobuf.encode(obj)).message()
    assert stated(obj, back), back


def test_a_body_that_the_original_wrote_is_read() -> None:
    found = protobuf.opened(base64.b64decode(FROM_THE_ORIGINAL)).message()
    assert (found["kind"], dig(found, "metadata", "name")) == ("ConfigMap", "words")
    assert dig(found, "metadata", "labels") == {"kind": "test"}


def test_every_served_kind_has_a_message() -> None:
    lacking = [
        row.schema for row in RESOURCES if row.schema not in protobuf.table().messages and "metrics" not in row.group
    ]
    assert lacking == []


async def test_an_object_is_made_from_protobuf_and_answered_as_json(client_of: Clients) -> None:
    body = protobuf.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}})
    async with client_of("admin") as http:
        made = await http.post("/api/v1/namespaces/llm/configmaps", content=body, headers=BINARY)
        assert made.status_code == 201, made.text
        assert made.headers["content-type"] == "application/json"
        assert made.json()["data"] == {"a": "1"}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}
        tried = await http.request(
            "DELETE", "/api/v1/namespaces/llm/configmaps/c", content=protobuf.encode(options), headers=BINARY
        )
        assert tried.status_code == 200, tried.text
        only = {"Accept": protobuf.MEDIA}
        found = await http.get("/api/v1/namespaces/llm/configmaps/c", headers=only)
        assert protobuf.opened(found.content).message()["data"] == {"a": "1"}
        missing = await http.get("/api/v1/namespaces/llm/configmaps/nope", headers=only)
        assert missing.status_code == 404
        assert (await http.get("/api/v1/namespaces/llm/configmaps?watch=true", headers=only)).status_code == 406


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the object provided is unrecognized (must be of type ConfigMap): empty data (<empty>)"),
        (
            b"k8s\x00\xff",
            "the object provided is unrecognized (must be of type ConfigMap): unexpected EOF (6b387300ff)",
        ),
        (
            b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x04\n\x02\x08\x01",
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: proto: wrong wireType = 0 for field Name',
        ),
    ],
)
async def test_a_malformed_body_is_refused_in_the_words_of_the_original(
    client_of: Clients, body: bytes, message: str
) -> None:
    async with client_of("admin") as http:
        answer = await http.post("/api/v1/namespaces/llm/configmaps", content=body, headers=BINARY)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 400), noise=st.binary(max_size=12), kind=st.sampled_from([obj["kind"] for obj in PARTS]))
def test_no_damage_to_a_body_is_more_than_a_bad_request(cut: int, noise: bytes, kind: str) -> None:
    whole = protobuf.encode(next(obj for obj in PARTS if obj["kind"] == kind))
    at = cut % (len(whole) + 1)
    for body in (whole[:at] + noise, whole[:at] + noise + whole[at + len(noise) :], protobuf.MAGIC + noise):
        assert code_of(body) in (200, 400)


def code_of(body: bytes) -> int:
    try:
        parse_protobuf(body, "ConfigMap")
    except ApiError as error:
        return error.code
    return 200


@settings(max_examples=200, deadline=None)
@given(value=st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=2)))
def test_a_value_of_a_wrong_type_is_not_written(value: Any) -> None:
    """Only our own objects are written: whatever they hold, the fault has one name."""
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"replicas": value, "selector": {"matchLabels": {}}},
    }
    try:
        protobuf.opened(protobuf.encode(obj)).message()
    except DecodeError:
        assert not isinstance(value, int)


async def test_a_broken_body_leaves_nothing_behind(
    plane: ControlPlane, client_of: Clients, clock: VirtualClock
) -> None:
    assert clock.now() > 0
    before = plane.store.version
    whole = protobuf.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}})
    async with client_of("admin") as http:
        for end in range(len(whole) - 14):
            answer = await http.post("/api/v1/namespaces/llm/configmaps", content=whole[:end], headers=BINARY)
            assert answer.status_code in (400, 422), (end, answer.text)
    assert plane.store.version == before
