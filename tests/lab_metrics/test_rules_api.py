"""`/api/v1/rules` and `/api/v1/alerts`: shapes, filters and pages, ours and beside the original."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.metrics.rule_file import load
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.original_prometheus import OriginalPrometheus

pytestmark = pytest.mark.anyio

RULES = """
groups:
- name: zeta
  interval: 1s
  labels: {team: night}
  rules:
  - {record: 'a:b', expr: vector(1)+1, labels: {x: y}}
  - {record: plain, expr: 'vector( 0/0 )'}
  - alert: A
    expr: vector(1234567) > 1
    for: 1d
    keep_firing_for: 5m
    labels: {sev: page}
    annotations: {s: "{{ $value }} {{ $externalLabels.cluster }}"}
  - alert: Bad
    expr: '{__name__=~"a:b|plain"} * on () group_left () {__name__=~"a:b|plain"}'
  - {alert: Quiet, expr: vector(1) < 0}
  - {alert: Fires, expr: 'vector(1)', labels: {sev: ticket}}
- name: alpha
  interval: 1y
  limit: 3
  query_offset: 1m
  rules: [{alert: N, expr: vector(1)}]
- {name: empty}
"""
QUERIES: tuple[dict[str, Any], ...] = (
    {},
    {"type": "record"},
    {"type": "ALERT"},
    {"type": "x"},
    {"rule_name[]": ["A", "plain"]},
    {"rule_group[]": "alpha"},
    {"file[]": "nope"},
    {"match[]": '{sev="page"}'},
    {"match[]": ['{sev="page"}', '{x="y"}']},
    {"match[]": "up"},
    {"match[]": '{team="night",sev!="page"}', "type": "alert"},
    {"exclude_alerts": "true"},
    {"exclude_alerts": "0"},
    {"exclude_alerts": "maybe"},
    {"group_limit": "1"},
    {"group_limit": "5"},
    {"group_limit": "0"},
    {"group_limit": "x"},
    {"group_next_token": "abc"},
    {"group_limit": "1", "group_next_token": "abc"},
)
VARIES = ("evaluationTime", "lastEvaluation", "activeAt", "file", "groupNextToken")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def service(file: str = "lab") -> MetricsService:
    """A service whose rules were evaluated twice, but for a group that is due once a year."""
    found = MetricsService(VirtualClock(), list)
    found.rules.external_labels = {"cluster": "c1"}
    found.rules.adopt(load(RULES, file=file))
    for group in found.rules.groups:
        if group.group.name == "alpha":
            group.due_s = 1e12
    for second in range(2):
        found.rules.evaluate(found.clock.now() + second)
    return found


async def ask(found: MetricsService, path: str, parameters: dict[str, Any]) -> Any:
    transport = httpx2.ASGITransport(app=found.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        return (await client.get(f"/api/v1/{path}", params=parameters)).json()


def plain(answer: Any) -> Any:
    """Return an answer without what differs from run to run; alerts have no order."""
    if isinstance(answer, list):
        return [plain(one) for one in cast("list[Any]", answer)]
    if not isinstance(answer, dict):
        return answer
    fields = cast("dict[str, Any]", answer)
    found: dict[str, Any] = {name: (... if name in VARIES else plain(value)) for name, value in fields.items()}
    if isinstance(found.get("alerts"), list):
        found["alerts"].sort(key=str)
    return found


async def test_rules_are_filtered_by_every_parameter() -> None:
    found = service()

    async def names(**parameters: Any) -> list[str]:
        asked = {name.replace("_s", "[]"): value for name, value in parameters.items()}
        groups = (await ask(found, "rules", asked))["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    assert await names() == ["N", "a:b", "plain", "A", "Bad", "Quiet", "Fires"]
    assert await names(type="record") == ["a:b", "plain"]
    assert await names(rule_name_s=["A", "plain"]) == ["plain", "A"]
    assert await names(rule_group_s="alpha") == ["N"]
    assert await names(file_s="lab", match_s='{sev=~"page|ticket"}') == ["A", "Fires"]
    assert await names(match_s=['{sev="page"}', '{x="y"}']) == ["a:b", "A"]


async def test_groups_come_in_pages() -> None:
    found = service()
    first = (await ask(found, "rules", {"group_limit": 1}))["data"]
    token = first["groupNextToken"]
    second = (await ask(found, "rules", {"group_limit": 1, "group_next_token": token}))["data"]
    assert [group["name"] for page in (first, second) for group in page["groups"]] == ["alpha", "zeta"]
    assert "groupNextToken" not in second


async def test_a_rule_shows_how_it_went_and_an_alert_since_when() -> None:
    found = service()
    groups = (await ask(found, "rules", {}))["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert (rules["N"]["state"], rules["N"]["health"], rules["N"]["lastEvaluation"]) == (
        "unknown",
        "unknown",
        "0001-01-01T00:00:00Z",
    )
    assert (rules["Bad"]["state"], rules["Bad"]["health"]) == ("inactive", "err")
    assert rules["A"]["alerts"] == [
        {
            "labels": {"alertname": "A", "sev": "page", "team": "night"},
            "annotations": {"s": "1.234567e+06 c1"},
            "state": "pending",
            "activeAt": "2023-11-14T22:13:20.000Z",
            "value": "1.234567e+06",
        }
    ]


@pytest.mark.original
@pytest.mark.slow
async def test_the_original_answers_the_same(
    scraping: Callable[[str], AbstractContextManager[OriginalPrometheus]], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    config = f"global: {{evaluation_interval: 1s, external_labels: {{cluster: c1}}}}\nrule_files: ['{rules}']\n"
    ours = service(str(rules))
    with scraping(config) as original:
        deadline = time.monotonic() + 30
        while len(original.get("alerts")["data"]["alerts"]) < 2 or not _failed(original):
            assert time.monotonic() < deadline, "the original evaluates no rules"
            await anyio.sleep(0.1)
        for parameters in QUERIES:
            theirs = original.get("rules", **parameters)
            assert plain(await ask(ours, "rules", parameters)) == plain(theirs), parameters
        token = original.get("rules", group_limit=1)["data"]["groupNextToken"]
        assert token == (await ask(ours, "rules", {"group_limit": 1}))["data"]["groupNextToken"]
        assert plain(await ask(ours, "alerts", {})) == plain(original.get("alerts"))


def _failed(original: OriginalPrometheus) -> bool:
    """Say whether the rule that cannot succeed was evaluated when there was something for it to fail on."""
    groups = original.get("rules", **{"rule_name[]": "Bad"})["data"]["groups"]
    return groups[0]["rules"][0]["health"] == "err"
