"""What an investigation is about: an alert as Prometheus or Alertmanager writes it, or a question in words.

Everything here is text from outside. It selects a guide and fills typed inputs, and is never read as an instruction.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from midwatch_agents.errors import IntakeError, NoMatchError
from midwatch_contracts.alert import Alert
from midwatch_contracts.untrusted import clean

MAX_TEXT = 2000
"""Characters of a question, a label or an annotation that are read."""
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)/([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)")
_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})


@dataclass(frozen=True)
class Subject:
    """What is investigated. A question has no labels until a service is found in it."""

    kind: Literal["alert", "question"]
    text: str
    """The question, or the alert's name and summary in one line."""
    alert: Alert

    def as_json(self) -> dict[str, Any]:
        """Return the plain form that the graph's state and the ledger hold."""
        return {"kind": self.kind, "text": self.text, "alert": self.alert.model_dump()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Subject":
        """Read the plain form back."""
        return cls(raw["kind"], raw["text"], Alert.model_validate(raw["alert"]))


def from_question(text: str) -> Subject:
    """Return the subject of a question.

    Raises:
        IntakeError: it is empty.
    """
    cleaned = " ".join(clean(text).split())[:MAX_TEXT]
    if not cleaned:
        raise IntakeError("no question: ask for example 'why is time to first token high on chat?'")
    return Subject("question", cleaned, Alert(labels={}))


def from_alert(alert: Alert) -> Subject:
    """Return the subject of an alert."""
    words = [alert.name or "an alert without a name", alert.annotations.get("summary", "")]
    return Subject("alert", " ".join(clean(": ".join(word for word in words if word)).split())[:MAX_TEXT], alert)


def read_alert(text: str) -> Alert:
    """Read the first firing alert out of JSON.

    Takes one alert (`{"labels": …}`), a list of alerts (what Prometheus posts to Alertmanager), the answer of
    `/api/v1/alerts`, and Alertmanager's webhook (version 4).

    Raises:
        IntakeError: the text is none of these, or nothing in it is firing.
    """
    try:
        raw: Any = json.loads(text)
    except ValueError as error:
        raise IntakeError(f"the alert is no JSON: {error}") from error
    firing = [item for item in _alerts(raw) if _state(item) not in ("resolved", "inactive")]
    if not firing:
        raise IntakeError("no alert in it is firing: nothing to investigate")
    return _alert(next((item for item in firing if _state(item) == "firing"), firing[0]))


def _alerts(raw: Any) -> list[dict[str, Any]]:
    found: Any = raw
    if isinstance(found, dict):
        body = cast("dict[str, Any]", found)
        inner = body.get("data")
        if isinstance(inner, dict):
            body = cast("dict[str, Any]", inner)
        found = body.get("alerts", [body])
    if not isinstance(found, list):
        raise IntakeError("the alert has no form that is known: give one alert, a list, or Alertmanager's webhook")
    items = cast("list[Any]", found)
    for item in items:
        if not isinstance(item, dict) or not isinstance(cast("dict[str, Any]", item).get("labels"), dict):
            raise IntakeError('an alert needs an object `labels`, for example {"labels": {"alertname": "…"}}')
    return cast("list[dict[str, Any]]", items)


def _state(item: Mapping[str, Any]) -> str:
    status = item.get("status") or item.get("state") or "firing"
    return status if isinstance(status, str) else "firing"


def _alert(item: Mapping[str, Any]) -> Alert:
    begun = item.get("startsAt") or item.get("activeAt") or item.get("starts_at")
    return Alert(
        labels=_texts("labels", item["labels"]),
        annotations=_texts("annotations", item.get("annotations") or {}),
        starts_at=clean(str(begun)) if begun else None,
    )


def _texts(name: str, raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise IntakeError(f"the alert's {name} must be an object of texts")
    fields = cast("dict[str, Any]", raw)
    for key, value in fields.items():
        if not isinstance(value, str):
            raise IntakeError(f"the alert's {name} must be an object of texts: {key!r} is {json.dumps(value)[:80]}")
    return {clean(key): clean(value)[:MAX_TEXT] for key, value in fields.items()}


@dataclass(frozen=True)
class Service:
    """A Service of the cluster, as `kube_list` names it."""

    namespace: str
    name: str


def services(data: Mapping[str, Any]) -> list[Service]:
    """Read the answer of `kube_list` for Services; the system's own are left out.

    Raises:
        IntakeError: the table has no columns for namespace and name.
    """
    columns = [str(column).lower() for column in cast("Sequence[Any]", data.get("columns", []))]
    if "namespace" not in columns or "name" not in columns:
        raise IntakeError(f"kube_list of Services has no columns namespace and name, only {', '.join(columns)}")
    at_namespace, at_name = columns.index("namespace"), columns.index("name")
    rows = cast("Sequence[Sequence[Any]]", data.get("rows", []))
    found = [Service(str(row[at_namespace]), str(row[at_name])) for row in rows]
    return [s for s in found if s.namespace not in _SYSTEM and (s.namespace, s.name) != ("default", "kubernetes")]


def named(question: str, known: Sequence[Service]) -> list[Service]:
    """Return the services that a question names: `llm/chat` exactly, else by name, closer with the namespace's name.

    More than one means that the question does not say which.
    """
    lowered = question.lower()
    paths = {(found[1], found[2]) for found in _PATH.finditer(lowered)}
    exact = [service for service in known if (service.namespace, service.name) in paths]
    if exact:
        return exact
    words = set(_WORD.findall(lowered))
    by_name = [service for service in known if service.name in words]
    return [service for service in by_name if service.namespace in words] or by_name


def located(subject: Subject, known: Sequence[Service]) -> Subject:
    """Return a question's subject with the namespace and service that it names as labels.

    Raises:
        NoMatchError: it names no service, or more than one.
    """
    found = named(subject.text, known)
    offered = ", ".join(f"{service.namespace}/{service.name}" for service in (found or known)[:12]) or "none"
    if not found:
        raise NoMatchError(f"the question names no service that is there: name one of {offered}")
    if len(found) > 1:
        raise NoMatchError(f"which service is meant? Write it as namespace/name: {offered}")
    labels = {"namespace": found[0].namespace, "service": found[0].name}
    return replace(subject, alert=Alert(labels=labels))
