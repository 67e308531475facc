"""What no contract case can provoke on the original in time: versions that are gone, bodies that blow up, orders."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from midwatch_lab.api.bodies import read_body
from midwatch_lab.api.go_json import GoJSONError, read
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import CONFIGMAPS
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.interleave import interleaved
from midwatch_lab.registry.managed_fields import Owned, write
from midwatch_lab.store.audit import Origin

pytestmark = pytest.mark.anyio

Clients = Callable[[str | None], httpx2.AsyncClient]
CONFIGS = "/api/v1/namespaces/llm/configmaps"
TESTER = Origin("tester", "create", "/test", manager="tester")


@pytest.fixture
def three(plane: ControlPlane) -> ControlPlane:
    for name in ("a", "b", "c"):
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": name}}, TESTER)
    return plane


async def test_a_token_whose_version_is_gone_is_answered_with_one_that_goes_on_in_what_is_there(
    three: ControlPlane, client_of: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of("admin") as client:
        token = (await client.get(CONFIGS, params={"limit": 1})).json()["metadata"]["continue"]
        three.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "bb"}}, TESTER)
        monkeypatch.setattr(three.store, "_forgotten", three.store.version)
        gone = await client.get(CONFIGS, params={"limit": 1, "continue": token})
        assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
        onward = await client.get(CONFIGS, params={"continue": gone.json()["metadata"]["continue"]})
        assert [item["metadata"]["name"] for item in onward.json()["items"]] == ["b", "bb", "c"]


async def test_an_exact_version_that_is_gone_is_expired(
    three: ControlPlane, client_of: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(three.store, "_forgotten", three.store.version)
    async with client_of("admin") as client:
        answer = await client.get(CONFIGS, params={"resourceVersion": "2", "resourceVersionMatch": "Exact"})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


def test_aliases_of_aliases_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ApiError, match="excessive aliasing"):
        read_body("\n".join(lines).encode(), "application/yaml", "ConfigMap")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'[{"a":[1 2]}]', "invalid character '2' after array element"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b'{} "x"', "invalid character '\"' after top-level value"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
    ],
)
def test_what_is_no_json_is_refused_in_the_words_of_go(text: bytes, said: str) -> None:
    with pytest.raises(GoJSONError) as caught:
        read(text)
    assert str(caught.value) == said


def test_the_last_of_two_values_counts_and_objects_are_laid_over_each_other() -> None:
    value, doubled = read(b'{"a":{"x":1},"b":[{"c":1,"c":2}],"a":{"y":2}}')
    assert value == {"a": {"x": 1, "y": 2}, "b": [{"c": 2}]}
    assert doubled == ["a", "b[0].c"]


@pytest.mark.parametrize(
    ("live", "applied", "order"),
    [
        ("abc", "abc", "ABC"),
        ("abc", "cab", "CAB"),
        ("ab", "xby", "aXBY"),
        ("axb", "ba", "xBA"),
        ("", "ab", "AB"),
        ("ab", "", "ab"),
        ("abcd", "dx", "abcDX"),
    ],
)
def test_a_configurations_order_holds_and_others_stay_where_they_stood(live: str, applied: str, order: str) -> None:
    merged = interleaved(list(live), list(applied))
    assert "".join(key.upper() if taken else key for key, taken in merged) == order


def test_managers_are_written_applies_first_then_by_time_and_name() -> None:
    def owned(time: str) -> Owned:
        return Owned(frozenset({("f:data",)}), "v1", time)

    managers: dict[Any, Owned] = {
        ("Update", "a", "v1", ""): owned("2026-01-01T00:00:02Z"),
        ("Update", "c", "v1", ""): owned("2026-01-01T00:00:01Z"),
        ("Update", "b", "v1", ""): owned("2026-01-01T00:00:01Z"),
        ("Apply", "z", "", ""): owned("2026-01-01T00:00:03Z"),
    }
    assert [entry["manager"] for entry in write(managers)] == ["z", "b", "c", "a"]
