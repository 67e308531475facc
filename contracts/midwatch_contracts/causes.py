"""Causes: what is wrong, with what, how sure, and by which evidence (CONTRACTS §1)."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from midwatch_contracts.entity import Entity
from midwatch_contracts.evidence import EVIDENCE_ID
from midwatch_contracts.mechanisms import mechanism
from midwatch_contracts.model import Model

Confidence = Literal["certain", "likely", "possible"]
Channel = Literal["series", "objects", "logs", "probe"]
"""Independent ways of seeing: metrics; objects and their changes; logs and events; a real request."""

MechanismId = Annotated[str, AfterValidator(lambda name: mechanism(name).id)]

CHANNELS: dict[str, Channel] = {
    "metrics_query": "series",
    "metrics_range": "series",
    "metrics_compare": "series",
    "metrics_burn": "series",
    "metrics_outliers": "series",
    "metrics_alerts": "series",
    "metrics_targets": "series",
    "kube_list": "objects",
    "kube_get": "objects",
    "kube_describe": "objects",
    "kube_rollout": "objects",
    "kube_topology": "objects",
    "kube_events": "logs",
    "kube_logs": "logs",
    "serving_config": "objects",
    "serving_probe": "probe",
    "serving_status": "probe",
    "serving_requests": "probe",
}
"""The channel through which each tool sees. A tool that is not here adds no channel."""


class Cause(Model):
    """`mechanism` went wrong with `entity`."""

    mechanism: MechanismId
    entity: Entity
    confidence: Confidence
    evidence: tuple[Annotated[str, Field(pattern=EVIDENCE_ID)], ...]


def capped(claimed: Confidence, tools: Iterable[str]) -> Confidence:
    """Return the confidence that the evidence carries: `certain` needs two independent channels, one is `likely`.

    `tools` are the names of the tools whose results are cited.
    """
    channels = {CHANNELS[tool] for tool in tools if tool in CHANNELS}
    if not channels:
        return "possible"
    return "likely" if claimed == "certain" and len(channels) < 2 else claimed  # noqa: PLR2004 (two is the contract)
