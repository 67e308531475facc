"""Finding metrics by what a question means: a set of questions over real names, and what is told of each metric."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_contracts.promql import parse
from midwatch_mcp.metrics.wording import Described, Index, meant, stem, words
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
QUESTIONS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("metric_questions.yaml").read_text("utf-8"))
DOCS = Path(__file__).parents[2] / "docs"
TYPES = {"gauge", "counter", "histogram"}


def documented() -> list[Described]:
    """The metrics of the lab and of the serving backend, which have vLLM's and the Kubernetes exporters' names."""
    lines = [
        line for page in ("metrics.md", "lab-metrics.md") for line in (DOCS / page).read_text("utf-8").splitlines()
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    named = {
        re.sub(r"_(bucket|sum|count)$", "", cells[0].strip("`")): cells
        for cells in rows
        if len(cells) > 3 and cells[1] in TYPES
    }
    return [Described(name, cells[-1], re.findall(r"`([^`]*)`", cells[2])) for name, cells in named.items()]


def recall(questions: list[dict[str, Any]], metrics: list[Described], most: int = 5) -> float:
    """The share of questions with a right metric among the first five."""
    index, found = Index.of(metrics), 0
    for question in questions:
        scores = index.scores(question["ask"])
        order = sorted(range(len(metrics)), key=lambda place: (-scores[place], metrics[place].name))
        found += bool({metrics[place].name for place in order[:most] if scores[place] > 0} & set(question["find"]))
    return found / len(questions)


def test_nine_of_ten_questions_of_an_sre_find_their_metric_among_five(record_property: Any) -> None:
    metrics = documented()
    names = {metric.name for metric in metrics}
    assert len(names) > 250
    assert len(QUESTIONS) >= 60
    assert all(set(question["find"]) <= names for question in QUESTIONS)
    seen, held = recall(QUESTIONS[::2], metrics), recall(QUESTIONS[1::2], metrics)
    record_property("recall_at_5_seen", seen)
    record_property("recall_at_5_held_out", held)
    assert seen >= 0.9
    assert held >= 0.85


def test_words_of_names_are_parted_and_compared_by_their_stems() -> None:
    assert words("node_memory_MemAvailable_bytes") == ["node", "memory", "mem", "available", "bytes"]
    assert words("kubePodOOMKilled load15") == ["kube", "pod", "oom", "killed", "load", "15"]
    assert len({stem(word) for word in ("queue", "queued", "queues", "queueing")}) == 1
    assert stem("process") == "process"
    assert meant("api server")["apiserver"] == 1.0
    assert not set(meant("how many are there")) & {"how", "many", "are", "ther"}


def furnish(world: World) -> None:
    world.metrics.metadata = {
        "vllm:time_to_first_token_seconds": {"type": "histogram", "help": "", "unit": ""},
        "kube_pod_container_status_last_terminated_reason": {"type": "gauge", "help": "Why it ended", "unit": ""},
        "kube_pod_status_phase": {"type": "gauge", "help": "", "unit": ""},
    }
    world.metrics.series = [
        *({"__name__": "vllm:time_to_first_token_seconds_bucket", "le": le, "pod": "a"} for le in ("1.0", "+Inf")),
        {"__name__": "vllm:time_to_first_token_seconds_sum", "pod": "a"},
        {"__name__": "vllm:time_to_first_token_seconds_count", "pod": "a"},
        {"__name__": "kube_pod_container_status_last_terminated_reason", "pod": "a", "reason": "OOMKilled"},
        {"__name__": "kube_pod_status_phase", "pod": "a", "phase": "Running"},
        {"__name__": "errors_total", "pod": "a", "code": "500"},
        {"__name__": "service:ttft:p95", "service": "chat"},
        {"__name__": "http.server.duration"},
    ]
    world.metrics.rules = [{"type": "recording", "name": "service:ttft:p95", "query": "histogram_quantile(0.95, x)"}]


async def test_a_histogram_is_one_metric_with_unit_labels_series_and_a_query(metrics: Caller, world: World) -> None:
    furnish(world)
    found = await metrics.result("metrics_search", text="slow first token")
    first = found["data"]["metrics"][0]
    assert (first["name"], first["type"], first["unit"]) == (
        "vllm:time_to_first_token_seconds_bucket",
        "histogram",
        "seconds",
    )
    assert (first["labels"], first["series"]) == (["pod"], 1)
    assert (
        "histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m])))" in found["summary"]
    )
    everything = (await metrics.data("metrics_search"))["metrics"]
    assert not [one for one in everything if one["name"].endswith(("_sum", "_count"))]


async def test_a_label_value_finds_the_metric_that_has_it(metrics: Caller, world: World) -> None:
    furnish(world)
    first = (await metrics.data("metrics_search", text="OOMKilled"))["metrics"][0]
    assert (first["name"], first["values"]) == ("kube_pod_container_status_last_terminated_reason", ["OOMKilled"])
    first = (await metrics.data("metrics_search", text="out of memory killed"))["metrics"][0]
    assert first["name"] == "kube_pod_container_status_last_terminated_reason"


async def test_every_example_is_a_query_whatever_the_name(metrics: Caller, world: World) -> None:
    furnish(world)
    listed = (await metrics.data("metrics_search"))["metrics"]
    by_name = {one["name"]: one["example"] for one in listed}
    for example in by_name.values():
        parse(example)
    assert by_name["errors_total"] == "sum(rate(errors_total[5m]))"
    assert by_name["http.server.duration"] == '{"http.server.duration"}'


async def test_a_recorded_series_is_found_by_the_words_of_its_rule(metrics: Caller, world: World) -> None:
    furnish(world)
    first = (await metrics.data("metrics_search", text="recorded quantile"))["metrics"][0]
    assert (first["name"], first["help"]) == ("service:ttft:p95", "recorded: histogram_quantile(0.95, x)")


async def test_an_api_without_metadata_rules_or_labels_is_searched_by_names(metrics: Caller, world: World) -> None:
    furnish(world)
    world.metrics.metadata = {}
    world.metrics.lacks = frozenset({"metadata", "rules", "labels"})
    first = (await metrics.data("metrics_search", text="slow first token"))["metrics"][0]
    assert (first["name"], first["type"]) == ("vllm:time_to_first_token_seconds_bucket", "histogram")
    listed = (await metrics.data("metrics_search", text="errors"))["metrics"]
    assert (listed[0]["name"], listed[0]["type"]) == ("errors_total", "counter")


def test_a_question_with_no_word_finds_nothing() -> None:
    assert Index.of([Described("up"), Described("node_load1")]).scores("?!") == [0.0, 0.0]
    assert Index.of([]).scores("load") == []
