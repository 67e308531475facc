"""Relabelling, drawn at random and given to the original as targets: the same labels, the same targets dropped."""

import json
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.metrics import target_answers
from midwatch_lab.metrics.scrape_config import read_jobs
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.targets import Dropped, populated
from midwatch_lab.original_prometheus import OriginalPrometheus

pytestmark = pytest.mark.original
NAMES = ["a", "b", "c", "__meta_x", "__meta_long_name", "__tmp", "instance", "job", "é", "__address__", "missing"]
VALUES = ["", "x", "y", "x;y", "a-b", "Größe", "127", "a\nb", "$1", "ǅ"]
REGEXES = [
    "(.*)",
    "x",
    "x|y",
    "(.)(.*)",
    "(?P<first>.)-(.*)",
    "[a-z]+",
    "__meta_(.+)",
    ".*;.*",
    "a.b",
    "",
    "(?i)X",
    "é",
]
TEMPLATES = ["$1", "${1}", "$2", "${first}", "x$1y", "${1}_z", "$$", "lit", "", "$", "$9", "$first-"]
TARGETS = ["a", "b", "new", "é", "__tmp", "__param_q", "$1", "l_${1}", "instance", "__metrics_path__"]
JOBS, EACH = 150, 3


def _rule(draw: random.Random) -> dict[str, Any]:
    action = draw.choice(
        ["replace"] * 6
        + ["keep", "drop", "labelmap", "labeldrop", "labelkeep", "hashmod", "lowercase", "uppercase"]
        + ["keepequal", "dropequal", "Replace"]
    )
    rule: dict[str, Any] = {"action": action}
    equal = action in ("keepequal", "dropequal")
    if action not in ("labeldrop", "labelkeep", "labelmap"):
        rule["source_labels"] = draw.sample(NAMES, draw.randint(0, 3))
        if draw.random() < 0.3 and not equal:
            rule["separator"] = draw.choice(["", "-", ";;"])
    if draw.random() < 0.8 and not equal:
        rule["regex"] = draw.choice(REGEXES)
    if action == "labelkeep":
        rule["regex"] = "__address__|" + rule.get("regex", "a")
    if action in ("replace", "Replace"):
        rule |= {"target_label": draw.choice(TARGETS), "replacement": draw.choice(TEMPLATES)}
    elif action == "labelmap":
        # Of labels that get one name the last counts, and the original has no order of them.
        rule |= {"regex": draw.choice(["(.*)", "__meta_(.+)"]), "replacement": draw.choice(["$1", "${1}_z", "x$1"])}
    elif action not in ("keep", "drop", "labeldrop", "labelkeep"):
        rule["target_label"] = draw.choice(TARGETS)
    if action == "hashmod":
        rule["modulus"] = draw.choice([1, 7, 1000, 2**63 + 1])
    return rule


def _config(draw: random.Random) -> str:
    jobs: list[dict[str, Any]] = []
    for number in range(JOBS):
        groups = [
            {
                "targets": [f"127.0.0.1:{number * EACH + each + 1}"],
                "labels": {name: draw.choice(VALUES) for name in draw.sample(NAMES[:7], 4)},
            }
            for each in range(EACH)
        ]
        rules = [_rule(draw) for _ in range(draw.randint(1, 4))]
        jobs.append({"job_name": f"j{number}", "static_configs": groups, "relabel_configs": rules})
    return yaml.safe_dump({"global": {"scrape_interval": "10000h"}, "scrape_configs": jobs}, allow_unicode=True)


def test_drawn_rules_give_the_labels_that_the_original_gives(
    scraping: "Callable[[str], AbstractContextManager[OriginalPrometheus]]",
) -> None:
    config = _config(random.Random(6))  # noqa: S311 (drawn, not secret)
    ours: dict[str, Any] = {}
    for job in read_jobs(config):
        for labels in job.static:
            found = populated(labels, job, 60, 10)
            if isinstance(found, Dropped):
                ours[_key(found.discovered)] = found.problem or "dropped"
            else:
                ours[_key(found.discovered)] = (found.labels, found.url)
    given = {"pod": "x", "a": "a-b", "__meta_x": "y", "b": "x;y"}
    service = MetricsService(VirtualClock(), tuple)
    differing_steps: list[str] = []
    with scraping(config) as original:
        theirs = _theirs(original, len(ours))
        for job in read_jobs(config)[:40]:
            service.scraper.dropped = [Dropped({}, job)]
            mine = target_answers.relabel_steps(service.scraper, job.name, given)
            told = original.get("targets/relabel_steps", scrapePool=job.name, labels=json.dumps(given))["data"]
            if mine != told:
                differing_steps.append(f"{mine}, in the original {told}")
    assert differing_steps == []
    assert len(ours) == JOBS * EACH
    kept = sum(isinstance(found, tuple) for found in ours.values())
    assert kept > JOBS, "most rules keep targets, or nothing is compared"
    different = [
        f"{key}: {mine}, in the original {theirs.get(key)}"
        for key, mine in ours.items()
        if mine != theirs.get(key) and not (isinstance(mine, str) and mine != "dropped" and key not in theirs)
    ]
    assert different == []


def _key(discovered: Any) -> str:
    return f"{discovered['__address__']} {discovered['job']}"


def _theirs(original: OriginalPrometheus, wanted: int) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    found: dict[str, Any] = {}
    while time.monotonic() < deadline:
        data = original.get("targets")["data"]
        found = {_key(one["discoveredLabels"]): "dropped" for one in data["droppedTargets"]}
        found |= {_key(one["discoveredLabels"]): (one["labels"], one["scrapeUrl"]) for one in data["activeTargets"]}
        if len(found) >= wanted - JOBS // 2 and data["activeTargets"]:
            break
        time.sleep(0.2)
    return found
