"""What a case is, and how a file of cases collects its own."""

from collections.abc import Iterable
from dataclasses import dataclass, field

START_S = 1_700_000_000.0
"""When the samples begin."""
NOW_S = START_S + 600
"""The time of both sides' clocks as far as a case asks for none, and that of most samples' end."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request to the HTTP API; a POST carries its parameters as a form."""

    path: str
    parameters: Pairs = ()
    method: str = "GET"
    ordered: bool = False
    """The series of the answer come in an order that is defined."""


@dataclass(frozen=True)
class Case:
    """One check: requests that both sides must answer alike. `id` is the query, or a sentence."""

    id: str
    requests: tuple[Request, ...]
    query: str | None = None
    features: bool = False
    """Ask the servers whose experimental features are on."""


_RANGES = ((-30, 1000, 17), (60, 600, 15))
"""Start and end in seconds from the samples' begin, and step: off the scrapes and beyond them, and on them."""


def _query(query: str, *, ordered: bool) -> tuple[Request, ...]:
    found = [
        Request("query", (("query", query), ("time", f"{at:.3f}")), ordered=ordered) for at in (NOW_S, NOW_S - 247.5)
    ]
    for start, end, step in _RANGES:
        times = (("start", f"{START_S + start}"), ("end", f"{START_S + end}"), ("step", str(step)))
        found.append(Request("query_range", (("query", query), *times), "POST", ordered=True))
    return tuple(found)


@dataclass
class Cases:
    """The cases of one file. A file of cases names its own `CASES`."""

    found: list[Case] = field(default_factory=list[Case])

    def queries(self, texts: Iterable[str], *, features: bool = False, ordered: bool = False) -> None:
        """Add queries: each is asked at two times and over two ranges. `ordered`: an instant answer has an order."""
        suffix = " (experimental)" if features else ""
        self.found += [Case(text + suffix, _query(text, ordered=ordered), text, features) for text in texts]

    def api(self, sentence: str, *requests: Request, features: bool = False) -> None:
        """Add requests to other paths, or with other parameters, under a sentence."""
        self.found.append(Case(sentence, requests, None, features))
