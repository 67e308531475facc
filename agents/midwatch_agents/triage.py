"""Which guide is for this: typed match on the alert's name, then the guides' own probes, then words in common.

The three are ranked in that order and never mixed into one number, so that the reason can be said in a sentence. A
question that shares no word with any guide matches nothing, even where a probe fires: it asked about something else.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from midwatch_agents import similarity
from midwatch_agents.errors import NoMatchError, ToolCallError
from midwatch_agents.guides import GuideShelf
from midwatch_agents.intake import Subject
from midwatch_agents.measure import reading
from midwatch_agents.tools import Caller
from midwatch_tsg.errors import InputError, TemplateError
from midwatch_tsg.inputs import resolve
from midwatch_tsg.model import Guide
from midwatch_tsg.templates import render_promql


@dataclass(frozen=True)
class Candidate:
    """One guide with the reasons for its place."""

    guide: str
    typed: bool
    """The alert's name is among those that the guide is for."""
    probe: bool | None
    """Whether the guide's own query answered with a series; None when it was not asked, or could not be."""
    score: float
    """BM25 of the subject's words over the guide's title and symptoms."""
    why: str

    @property
    def key(self) -> tuple[bool, bool, float]:
        """What the ranking goes by, best highest."""
        return (self.typed, self.probe is True, self.score)

    def as_json(self) -> dict[str, Any]:
        """Return the plain form."""
        return {
            "guide": self.guide,
            "typed": self.typed,
            "probe": self.probe,
            "score": self.score,
            "why": self.why,
        }


@dataclass(frozen=True)
class Triage:
    """Ranks the guides of a shelf."""

    shelf: GuideShelf
    caller: Caller

    async def rank(self, subject: Subject, inputs: dict[str, str], *, wanted: str | None) -> list[Candidate]:
        """Return the guides that fit, best first, at least one.

        Raises:
            NoMatchError: none fits, or there is none of the id that was asked for.
        """
        if wanted is not None:
            return [
                Candidate(self.shelf.find(wanted).id, typed=False, probe=None, score=0.0, why="asked for by its id")
            ]
        guides = list(self.shelf.guides.values())
        probes = await asyncio.gather(*(self._probe(guide, subject, inputs) for guide in guides))
        texts = {guide.id: " ".join((guide.title, *guide.symptoms, *guide.alerts)) for guide in guides}
        close = similarity.rank(_asked(subject), texts)
        found = [
            _candidate(guide, subject, probe, *close[guide.id]) for guide, probe in zip(guides, probes, strict=True)
        ]
        fitting = [candidate for candidate in found if candidate.typed or candidate.score > 0]
        if subject.kind == "alert":
            fitting = fitting or [candidate for candidate in found if candidate.probe]
        if not fitting:
            offered = "; ".join(f"{guide.id} ({guide.title})" for guide in guides) or "none"
            raise NoMatchError(f"no guide is for this. There are: {offered}")
        return sorted(fitting, key=lambda candidate: candidate.key, reverse=True)

    async def _probe(self, guide: Guide, subject: Subject, inputs: dict[str, str]) -> bool | None:
        if guide.detect is None:
            return None
        try:
            values = resolve(guide, _known(guide, inputs), subject.alert)
            query = render_promql(guide.detect, values)
            answer = await self.caller.call("metrics_query", {"query": query}, step="triage")
        except (InputError, TemplateError, ToolCallError):
            # A probe that cannot be asked says nothing for or against its guide; the ranking shows it as not asked.
            return None
        return reading(answer.data) is not None


def _known(guide: Guide, inputs: dict[str, str]) -> dict[str, str]:
    """Return the given inputs that this guide has; another guide's may stand among them."""
    names = {declared.name for declared in guide.inputs}
    return {name: value for name, value in inputs.items() if name in names}


def _asked(subject: Subject) -> str:
    """Return the words that are compared: without the names of the service, which are no symptom."""
    labels = subject.alert.labels
    names = {labels.get("service", ""), labels.get("namespace", "")} if subject.kind == "question" else set[str]()
    text = subject.text
    for name in names - {""}:
        text = text.replace(name, " ")
    return text


def _candidate(guide: Guide, subject: Subject, probe: bool | None, score: float, shared: tuple[str, ...]) -> Candidate:  # noqa: FBT001 (a reading)
    typed = subject.alert.name != "" and subject.alert.name in guide.alerts
    reasons: list[str] = []
    if typed:
        reasons.append(f"it is for the alert {subject.alert.name}")
    if probe is not None:
        reasons.append("its probe fires" if probe else "its probe does not fire")
    if shared:
        reasons.append(f"words in common: {', '.join(shared)}")
    return Candidate(guide.id, typed=typed, probe=probe, score=score, why="; ".join(reasons) or "nothing in common")
