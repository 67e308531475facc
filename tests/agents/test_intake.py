import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_agents.errors import IntakeError, NoMatchError
from midwatch_agents.intake import Service, Subject, from_alert, from_question, located, read_alert, services
from midwatch_contracts.alert import Alert

LABELS = {"alertname": "TimeToFirstTokenHigh", "namespace": "llm", "service": "chat"}
KNOWN = [Service("llm", "chat"), Service("llm", "embed"), Service("staging", "chat"), Service("a", "b-c")]


@pytest.mark.parametrize(
    "raw",
    [
        {"labels": LABELS, "annotations": {"summary": "slow"}, "startsAt": "2026-01-01T00:00:00Z"},
        [
            {"labels": {"alertname": "Old"}, "status": "resolved"},
            {"labels": LABELS, "annotations": {"summary": "slow"}},
        ],
        {
            "status": "success",
            "data": {
                "alerts": [
                    {"labels": {"alertname": "Other"}, "state": "pending", "activeAt": "x"},
                    {"labels": LABELS, "annotations": {"summary": "slow"}, "state": "firing", "activeAt": "x"},
                ]
            },
        },
        {
            "version": "4",
            "status": "firing",
            "groupLabels": {},
            "alerts": [
                {"status": "resolved", "labels": {"alertname": "Old"}},
                {"status": "firing", "labels": LABELS, "annotations": {"summary": "slow"}, "startsAt": "x"},
            ],
        },
    ],
    ids=["one alert", "posted to Alertmanager", "answered by Prometheus", "Alertmanager's webhook"],
)
def test_the_firing_alert_is_read_from_every_known_form(raw: Any) -> None:
    alert = read_alert(json.dumps(raw))
    assert alert.labels == LABELS
    assert alert.annotations == {"summary": "slow"}
    assert from_alert(alert).text == "TimeToFirstTokenHigh: slow"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("3", "no form that is known"),
        ("{}", "labels"),
        ('[{"labels": []}]', "labels"),
        ('{"labels": {"a": 1}}', "'a'"),
        ('{"labels": {}, "annotations": [1]}', "annotations"),
        ('{"alerts": []}', "nothing to investigate"),
        ('{"status": "resolved", "alerts": [{"labels": {}, "status": "resolved"}]}', "nothing to investigate"),
    ],
)
def test_what_is_no_alert_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(IntakeError, match=says) as caught:
        read_alert(text)
    assert caught.value.code == 2


def test_control_characters_of_an_alert_never_reach_the_terminal() -> None:
    alert = read_alert(json.dumps({"labels": {"alertname": "A\x1b[31m"}, "annotations": {"summary": "x\u202ey\x00"}}))
    assert alert.labels == {"alertname": "A"}
    assert alert.annotations == {"summary": "xy"}


@given(st.text())
def test_any_text_is_either_an_alert_or_an_intake_error(text: str) -> None:
    with contextlib.suppress(IntakeError):
        assert isinstance(read_alert(text), Alert)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("why is time to first token high on embed?", Service("llm", "embed")),
        ("Why is LLM/chat slow?", Service("llm", "chat")),
        ("why is chat slow in staging?", Service("staging", "chat")),
        ("is b-c slow?", Service("a", "b-c")),
    ],
)
def test_a_question_names_its_service_by_path_by_name_or_by_name_and_namespace(question: str, found: Service) -> None:
    subject = located(from_question(question), KNOWN)
    assert subject.alert.labels == {"namespace": found.namespace, "service": found.name}


def test_a_name_within_a_word_is_no_service() -> None:
    with pytest.raises(NoMatchError, match=r"llm/chat"):
        located(from_question("what do chatty people want?"), KNOWN)


def test_a_name_that_two_namespaces_have_is_asked_back() -> None:
    with pytest.raises(NoMatchError, match=r"llm/chat, staging/chat"):
        located(from_question("why is chat slow?"), KNOWN)


def test_services_are_read_from_the_table_without_the_systems_own() -> None:
    data = {
        "columns": ["Namespace", "Name", "Type"],
        "rows": [
            ["default", "kubernetes", "ClusterIP"],
            ["kube-system", "dns", "ClusterIP"],
            ["llm", "chat", "ClusterIP"],
        ],
    }
    assert services(data) == [Service("llm", "chat")]
    with pytest.raises(IntakeError, match="namespace"):
        services({"columns": ["Name"], "rows": []})


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(IntakeError, match="no question"):
        from_question(" \x1b[0m ")


def test_a_subject_survives_the_graphs_state() -> None:
    subject = from_alert(Alert(labels=LABELS, annotations={"summary": "slow"}, starts_at="x"))
    assert Subject.from_json(json.loads(json.dumps(subject.as_json()))) == subject
