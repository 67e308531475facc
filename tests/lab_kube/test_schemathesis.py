"""Schemathesis over the lab's OpenAPI documents: every operation, with values by its schema.

Never the server's fault, never a hang, and a refusal leaves the store as it was.
"""

import asyncio
import json
from collections import Counter
from typing import Any, Final

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from drawn_world import ANSWER_S, SEEDS, fresh
from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.openapi import OpenApi
from midwatch_lab.plane import ControlPlane

pytestmark = pytest.mark.slow

EXAMPLES: Final = 4
PLACE: Final = {"namespace": "llm", "name": "a", "path": "a"}
"""Where requests go, since a name that is drawn is nobody's."""
STREAMS: Final = ("watch", "follow")
"""Parameters that make an answer without an end."""


def _documents() -> dict[str, dict[str, Any]]:
    plane = ControlPlane(VirtualClock())
    openapi = OpenApi(plane.registry.catalog, plane.registry.schemas)
    found = {name: json.loads(openapi.v3_document(name) or b"{}") for name in json.loads(openapi.v3_index())["paths"]}
    return {name: document for name, document in found.items() if document.get("paths")}


DOCUMENTS: Final = _documents()


class Drawn:
    """Sends drawn requests to a control plane of its own, one after another, and judges the answers."""

    def __init__(self) -> None:
        self.plane, server, token = fresh()
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(server),
            base_url="http://lab",
            headers={"Authorization": f"Bearer {token}"},
        )
        self.codes: Counter[int] = Counter()
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()

    def seed(self) -> None:
        for home, obj in SEEDS.items():
            self._runner.run(self.client.post(home, json=obj))

    def send(self, case: Any) -> None:
        given_path: dict[str, str] = case.path_parameters or {}
        case.path_parameters = {key: PLACE.get(key, value) for key, value in given_path.items()}
        drawn: dict[str, Any] = case.as_transport_kwargs(base_url="http://lab")
        given_query: dict[str, Any] = drawn.get("params") or {}
        query = {key: value for key, value in given_query.items() if key not in STREAMS}
        body: Any = drawn.get("json", drawn.get("data"))
        content = body if isinstance(body, bytes | str) else b"" if body is None else json.dumps(body).encode()
        given_headers: dict[str, str] = drawn.get("headers") or {}
        headers = {"Content-Type": "application/json", **given_headers}
        version = self.plane.store.version
        request = self.client.build_request(
            drawn["method"], drawn["url"], params=query, headers=headers, content=content
        )
        answer = self._runner.run(self._answer(request))
        asked = f"{request.method} {request.url} {content!r}"
        shown = f"{asked} was answered {answer.status_code}: {answer.text[:500]}"
        # The original has answers of its own with code 500, as for a new object that says its version.
        assert "see the log of the lab" not in answer.text, shown
        assert answer.status_code < 400 or self.plane.store.version == version, shown
        self.codes[answer.status_code] += 1

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        async with asyncio.timeout(ANSWER_S):
            return await self.client.send(request)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_what_schemathesis_draws_from_a_document_is_answered_and_a_refusal_writes_nothing(name: str) -> None:
    # Untyped, and seconds to import: not at collection.
    schemathesis: Any = pytest.importorskip("schemathesis")
    drawn = Drawn()
    try:
        for found in schemathesis.openapi.from_dict(DOCUMENTS[name]).get_all_operations():
            operation = found.ok()
            drawn.seed()

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            )
            @given(operation.as_strategy())
            def every_case_is_answered(case: Any) -> None:
                drawn.send(case)

            every_case_is_answered()
    finally:
        drawn.close()
    assert drawn.codes, "a document without an operation"
