from dataclasses import replace

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0


async def test_a_query_answers_numbers_and_writes_what_is_none_as_text(metrics: Caller, world: World) -> None:
    world.metrics.vectors["up"] = [({"pod": "a"}, "1"), ({"pod": "b"}, "NaN"), ({"pod": "c"}, "+Inf")]
    data = await metrics.data("metrics_query", query="up")
    assert data["at"] == NOW
    assert [entry["value"] for entry in data["series"]] == [1.0, "NaN", "+Inf"]
    assert data["series"][0]["labels"] == {"pod": "a"}


async def test_an_empty_answer_is_said_to_be_no_data(metrics: Caller) -> None:
    found = await metrics.result("metrics_query", query="absent_metric")
    assert found["data"]["series"] == []
    assert "No data" in found["summary"]


async def test_a_query_that_does_not_parse_is_never_sent(metrics: Caller, world: World) -> None:
    assert "does not parse" in await metrics.error("metrics_query", query="sum(rate(x[5m])")
    assert "does not parse" in await metrics.error("metrics_range", query="up{")
    assert world.seen == []


async def test_a_range_vector_is_refused_by_its_type(metrics: Caller, world: World) -> None:
    assert "gives a matrix" in await metrics.error("metrics_query", query="up[5m]")
    assert world.seen == []


async def test_a_scalar_is_one_series_without_labels(metrics: Caller) -> None:
    data = await metrics.data("metrics_query", query="42")
    assert (data["result_type"], data["series"]) == ("scalar", [{"labels": {}, "value": 42.0}])


async def test_too_many_series_are_an_error_that_says_how_to_ask_for_less(metrics: Caller, world: World) -> None:
    world.metrics.vectors["up"] = [({"pod": str(number)}, "1") for number in range(2001)]
    assert "aggregate with sum by" in await metrics.error("metrics_query", query="up")


async def test_many_series_are_shown_in_part_and_stored_whole(metrics: Caller, world: World) -> None:
    world.metrics.vectors["up"] = [({"pod": str(number)}, str(number)) for number in range(300)]
    found = await metrics.result("metrics_query", query="up")
    assert len(found["data"]["series"]) == 200
    assert found["evidence"]["truncated"] is True
    whole = await metrics.data("evidence_read", id=found["evidence"]["id"], path="/series/299")
    assert whole["value"]["value"] == 299


async def test_a_range_is_summarised_without_what_is_no_number(metrics: Caller, world: World) -> None:
    world.metrics.courses["up"] = [({"pod": "a"}, [(NOW - 2, "2"), (NOW - 1, "NaN"), (NOW, "4")])]
    data = await metrics.data("metrics_range", query="up", duration="1m", points=61)
    (course,) = data["series"]
    assert (course["first"], course["last"], course["min"], course["max"], course["mean"]) == (2, 4, 2, 4, 3)
    assert course["points"] == [[NOW - 2, 2.0], [NOW - 1, "NaN"], [NOW, 4.0]]
    assert (data["start"], data["end"], data["step_s"]) == (NOW - 60, NOW, 1.0)
    asked = next(seen.query for seen in world.seen)
    assert (asked["start"], asked["end"], asked["step"]) == ("1699999940.000", "1700000000.000", "1.000")


async def test_a_range_over_the_limit_or_backwards_is_refused(metrics: Caller, world: World) -> None:
    assert "the limit of 31 days" in await metrics.error("metrics_range", query="up", duration="40d")
    assert "over the limit of 31" in await metrics.error("metrics_range", query="up", start=NOW - 40 * 86_400)
    assert "the range is empty" in await metrics.error("metrics_range", query="up", start=NOW + 1, end=NOW)
    assert "no duration" in await metrics.error("metrics_range", query="up", duration="soon")
    assert world.seen == []


async def test_metrics_are_found_by_words_of_their_help(metrics: Caller, world: World) -> None:
    world.metrics.metadata = {
        "vllm:time_to_first_token_seconds_bucket": {"type": "histogram", "help": "", "unit": ""},
        "vllm:num_requests_waiting": {"type": "gauge", "help": "Number of requests queued", "unit": ""},
        "up": {"type": "gauge", "help": "Whether the scrape succeeded", "unit": ""},
    }
    assert [m["name"] for m in (await metrics.data("metrics_search", text="queued requests"))["metrics"]] == [
        "vllm:num_requests_waiting"
    ]
    first = (await metrics.data("metrics_search", text="first token"))["metrics"][0]
    assert (first["name"], first["type"]) == ("vllm:time_to_first_token_seconds_bucket", "histogram")
    assert (await metrics.data("metrics_search"))["matched"] == 3


async def test_targets_that_are_down_come_first_with_their_reason(metrics: Caller, world: World) -> None:
    def target(pod: str, health: str, error: str, service: str = "chat") -> dict[str, object]:
        labels = {"namespace": "llm", "service": service, "pod": pod}
        return {"labels": labels, "health": health, "lastError": error, "lastScrape": "2026-01-01T00:00:00.123456789Z"}

    world.metrics.targets = [
        target("a", "up", ""),
        target("b", "down", "connection refused"),
        target("c", "up", "", service="other"),
    ]
    data = await metrics.data("metrics_targets", namespace="llm", service="chat")
    assert (data["up"], data["down"]) == (1, 1)
    assert (data["targets"][0]["labels"]["pod"], data["targets"][0]["last_error"]) == ("b", "connection refused")
    assert data["targets"][1]["last_scrape_s"] == pytest.approx(1767225600.123456)


async def test_alerts_can_be_asked_for_by_state(metrics: Caller, world: World) -> None:
    def alert(name: str, state: str) -> dict[str, object]:
        return {
            "labels": {"alertname": name},
            "annotations": {"summary": "x"},
            "state": state,
            "activeAt": "2026-01-01T00:00:00Z",
            "value": "2.5e+00",
        }

    world.metrics.alerts = [alert("Slow", "pending"), alert("TimeToFirstTokenHigh", "firing")]
    data = await metrics.data("metrics_alerts")
    assert [entry["name"] for entry in data["alerts"]] == ["TimeToFirstTokenHigh", "Slow"]
    firing = (await metrics.data("metrics_alerts", state="firing"))["alerts"]
    assert [(entry["name"], entry["value"]) for entry in firing] == [("TimeToFirstTokenHigh", 2.5)]


async def test_an_alert_carries_its_rule_and_rules_that_are_quiet_or_broken_are_told(
    metrics: Caller, world: World
) -> None:
    def rule(name: str, state: str, severity: str, **more: object) -> dict[str, object]:
        labels = {"severity": severity}
        alerts = [{"labels": {"alertname": name, **labels}, "state": state}] if state != "inactive" else []
        given = {"type": "alerting", "name": name, "state": state, "labels": labels, "alerts": alerts, "duration": 60}
        return {**given, "query": f"{name.lower()} > {len(severity)}", "health": "ok", **more}

    world.metrics.rules = [
        rule("Slow", "firing", "page"),
        rule("Slow", "firing", "ticket"),
        rule("Quiet", "inactive", "page"),
        rule("Mute", "inactive", "page", health="err", lastError="found duplicate series"),
        {"type": "recording", "name": "x", "query": "y"},
    ]
    found = await metrics.result("metrics_alerts")
    assert [(one["labels"]["severity"], one["expr"], one["for_s"]) for one in found["data"]["alerts"]] == [
        ("page", "slow > 4", 60),
        ("ticket", "slow > 6", 60),
    ]
    assert found["data"]["broken"] == [{"name": "Mute", "error": "found duplicate series"}]
    assert found["summary"].startswith("2 alerts fire, 0 are pending. 1 rules cannot be evaluated")
    quiet = (await metrics.data("metrics_alerts", state="inactive"))["alerts"]
    assert [(one["name"], one["state"], one["expr"]) for one in quiet] == [
        ("Mute", "inactive", "mute > 4"),
        ("Quiet", "inactive", "quiet > 4"),
    ]
    world.metrics.lacks = frozenset({"alerts", "rules"})
    assert "neither alerts nor rules" in await metrics.error("metrics_alerts")


async def test_an_api_that_lists_no_targets_is_read_by_the_metric_up(metrics: Caller, world: World) -> None:
    world.metrics.lacks = frozenset({"targets"})
    world.metrics.vectors["up"] = [({"namespace": "llm", "pod": "a"}, "1"), ({"namespace": "llm", "pod": "b"}, "0")]
    found = await metrics.result("metrics_targets", namespace="llm")
    assert [(one["labels"]["pod"], one["health"]) for one in found["data"]["targets"]] == [("b", "down"), ("a", "up")]
    assert found["summary"] == "1 of 2 targets are up. This API lists no targets: read from the metric up."


async def test_what_the_api_refuses_is_passed_on_with_its_reason(metrics: Caller, world: World) -> None:
    world.metrics.failure = (422, "execution", "query processing would load too many samples")
    assert "load too many samples" in await metrics.error("metrics_query", query="up")


async def test_without_a_url_the_error_says_what_to_give(settings: ServerSettings) -> None:
    caller = Caller.of("metrics", replace(settings, prometheus=None))
    assert "--prometheus" in await caller.error("metrics_query", query="up")


async def test_a_port_where_nothing_listens_is_named(settings: ServerSettings) -> None:
    caller = Caller.of("metrics", replace(settings, prometheus="http://127.0.0.1:1"))
    assert "http://127.0.0.1:1/api/v1/query cannot be reached" in await caller.error("metrics_query", query="up")
