"""What the API server counts of its requests, under the labels by which the original counts them."""

import bisect
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from midwatch_lab.access.attributes import Attributes

BOUNDS: Final = (
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Upper bounds of the durations' histogram, in seconds: those of the original."""
_METHODS: Final = {"create": "POST", "update": "PUT"}
_CONNECTS: Final = frozenset({"proxy", "exec", "attach", "portforward"})
_LONG: Final = frozenset({"WATCH", "CONNECT"})
"""What may take as long as the client likes, and so has no place among durations."""
_APPLY: Final = "application/apply-patch"


class Kind(NamedTuple):
    """What requests are counted apart by."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str

    @classmethod
    def of(cls, wanted: Attributes, media: str) -> "Kind":
        """Return the kind of a request for a resource; `media` is that of its body."""
        scope = "namespace" if wanted.namespace else "cluster"
        if wanted.name or wanted.verb == "create":
            scope = "resource"
        verb = _METHODS.get(wanted.verb, wanted.verb).upper()
        if wanted.subresource in _CONNECTS:
            verb = "CONNECT"
        elif verb == "PATCH" and media.startswith(_APPLY):
            verb = "APPLY"
        return cls(verb, wanted.group, wanted.version, wanted.resource, wanted.subresource, scope)


@dataclass
class Tally:
    """The requests of one kind: by code and by whether they were dry runs, and how long they took."""

    codes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    @property
    def timed(self) -> int:
        """How many have a duration."""
        return sum(self.buckets)


@dataclass
class RequestCounts:
    """All requests since the lab began. `changed` are the kinds that were counted since somebody last took it."""

    tallies: dict[Kind, Tally] = field(default_factory=dict[Kind, Tally])
    changed: set[Kind] = field(default_factory=set[Kind])

    def count(self, kind: Kind, code: int, dry_run: str, seconds: float) -> None:
        """Count a request that was answered; `dry_run` is `All` or empty."""
        tally = self.tallies.setdefault(kind, Tally())
        tally.codes[str(code), dry_run] += 1
        if kind.verb not in _LONG:
            tally.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
            tally.seconds += seconds
        self.changed.add(kind)
