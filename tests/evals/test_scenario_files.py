"""A scenario file is checked whole before anything starts (CONTRACTS §11)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_evals.errors import ScenarioError
from midwatch_evals.scenario import load_scenario

SMALL: dict[str, Any] = {
    "schema": "midwatch.scenario/v1",
    "name": "small",
    "description": "Nothing much.",
    "topology": {"manifests": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm"}}]},
    "load": [{"target": "Service/llm/chat", "rate": 2}],
    "timeline": [{"at": "1m30s", "fault": {"mechanism": "serving.too_few_replicas", "entity": "Deployment/llm/chat"}}],
    "alert": {"labels": {"alertname": "TimeToFirstTokenHigh"}, "at": "2m"},
    "truth": {"cause": {"mechanism": "serving.too_few_replicas", "entity": "Deployment/llm/chat"}},
}
LIBRARY = Path(__file__).resolve().parents[2] / "evals" / "midwatch_evals" / "incidents"


def _write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), "utf-8")
    return path


def test_durations_are_seconds_and_entities_are_entities(tmp_path: Path) -> None:
    scenario = load_scenario(_write(tmp_path / "s.yaml", SMALL))
    assert scenario.timeline[0].at == 90
    assert scenario.alert.at == 120
    assert scenario.timeline[0].fault.entity.kind == "Deployment"


def test_manifests_may_be_files_beside_the_scenario(tmp_path: Path) -> None:
    _write(tmp_path / "objects.yaml", "kind: Namespace\n---\nkind: Service\n")
    document = SMALL | {"topology": {"manifests": ["objects.yaml", {"kind": "Node"}]}}
    scenario = load_scenario(_write(tmp_path / "s.yaml", document))
    assert [m["kind"] for m in scenario.topology.manifests if isinstance(m, dict)] == ["Namespace", "Service", "Node"]


def test_a_load_becomes_the_labs_specification_and_a_preset_gives_what_is_not_said(tmp_path: Path) -> None:
    service = {"target": "Service/llm/chat"}
    loads = [
        service | {"rate": 2},
        service | {"utilization": 0.5, "preset": "code", "output_tokens": 9, "more": {"token_scale": 0.1}},
    ]
    plain, preset = load_scenario(_write(tmp_path / "s.yaml", SMALL | {"load": loads})).load
    lengths = {"prompt_tokens": 96, "output_tokens": 64, "timeout_s": 5.0}
    assert plain.spec() == service | lengths | {"shape": "poisson"}
    assert preset.spec() == service | {"preset": "code", "output_tokens": 9, "token_scale": 0.1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timeline": [{"at": "5s", "fault": {"mechanism": "serving.gremlins", "entity": "Pod/a/b"}}]}, "gremlins"),
        ({"timeline": [{"at": "5", "fault": SMALL["timeline"][0]["fault"]}]}, "for example 90s"),
        ({"load": []}, "load"),
        ({"load": [{"target": "Service/llm/chat"}]}, "utilization"),
        ({"load": [{"target": "chat", "rate": 1}]}, "Kind/namespace/name"),
        ({"load": [{"target": "Service/llm/chat", "rate": 1, "preset": "chit-chat"}]}, "'chit-chat' is none of chat"),
        ({"load": [{"target": "Service/llm/chat", "rate": 1, "more": {"cv": 2}}]}, "poisson load has no field 'cv'"),
        ({"topology": {"manifests": ["absent.yaml"]}}, "cannot read"),
        ({"clock": "virtual"}, "clock: wall"),
        ({"schema": "midwatch.scenario/v9"}, "schema"),
        ({"trooth": {}}, "trooth"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = _write(tmp_path / "bad.yaml", SMALL | change)
    with pytest.raises(ScenarioError, match=named) as caught:
        load_scenario(path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "a: 1\n---\nb: 2\n", "\x00"])
def test_a_file_that_is_no_scenario_at_all_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError):
        load_scenario(_write(tmp_path / "bad.yaml", text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"absent\.yaml"):
        load_scenario(tmp_path / "absent.yaml")


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_incident_of_the_library_is_a_scenario_of_its_own_name(path: Path) -> None:
    assert load_scenario(path).name == path.stem
