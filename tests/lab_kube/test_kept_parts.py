"""What is kept of objects for further lists and watchers is what would be worked out anew, and goes with the object."""

from typing import Any

import orjson
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.answers import Form
from midwatch_lab.api.parts import PLAIN, KeptParts, Parts
from midwatch_lab.api.tables import Shown, shown_list
from midwatch_lab.kinds.resources import CONFIGMAPS, EVENTS, EVENTS_V1, PODS, Resource
from midwatch_lab.objects import Object, copied, dig
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.topology import chat_topology

TESTER = Origin("tester", "create", "/test", manager="tester")
FORMS = [
    Form(),
    Form(as_kind="Table", as_version="v1"),
    Form(as_kind="Table", as_version="v1beta1"),
    Form(as_kind="PartialObjectMetadataList", as_version="v1"),
]


def answered(plane: ControlPlane, parts: Parts, resource: Resource, form: Form, include: str) -> Any:
    objects = plane.store.items(resource.key)
    shown = Shown(form, include, plane.clock.now(), parts)
    return orjson.loads(orjson.dumps(shown_list(resource, objects, {"resourceVersion": "1"}, shown)))


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.as_kind} {form.as_version}")
@pytest.mark.parametrize("include", ["", "None", "Object"])
async def test_kept_parts_answer_as_plain_ones_at_every_time_and_after_every_change(
    plane: ControlPlane, clock: VirtualClock, form: Form, include: str
) -> None:
    kept = KeptParts(plane.store)
    template = dig(chat_topology()[1], "spec", "template")
    pod = plane.registry.create(PODS, "llm", {**template, "metadata": {"name": "a"}}, TESTER)
    plane.recorder.record(pod, "Normal", "Tested", "it was", component="tests")
    ended = {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}
    statuses: list[Object] = [
        {"name": "engine", "ready": True, "restartCount": 3, "state": {"running": {}}, "lastState": ended}
    ]
    changes: list[Object] = [{}, {"phase": "Running", "containerStatuses": statuses}, {"phase": "Failed"}]
    for status in changes:
        old = plane.registry.read(PODS, "llm", "a")
        origin = Origin("tester", "update", "/test", manager="tester", subresource="status")
        plane.registry.update(PODS, old, {**copied(old), "status": status}, origin)
        for seconds in (0, 1, 100, 10_000):
            await clock.advance(seconds)
            for resource in (PODS, EVENTS, EVENTS_V1, CONFIGMAPS):
                for _ in range(2):
                    found = answered(plane, kept, resource, form, include)
                    assert found == answered(plane, PLAIN, resource, form, include)


def test_the_parts_of_an_object_go_when_another_takes_its_place(plane: ControlPlane) -> None:
    kept = KeptParts(plane.store)
    held = kept._kept  # pyright: ignore[reportPrivateUsage] (what it holds is the point)
    for value in ("1", "2", "3"):
        old = plane.registry.find(CONFIGMAPS, "llm", "a")
        body: Object = {"metadata": {"name": "a"}, "data": {"value": value}}
        if old is None:
            plane.registry.create(CONFIGMAPS, "llm", body, TESTER)
        else:
            plane.registry.update(CONFIGMAPS, old, body, TESTER)
        answered(plane, kept, CONFIGMAPS, Form(), "")
        assert len(held) == 1
    plane.store.delete(CONFIGMAPS, plane.registry.read(CONFIGMAPS, "llm", "a"), TESTER)
    assert not held
