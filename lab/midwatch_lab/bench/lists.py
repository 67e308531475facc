"""Lists of many pods, in the forms that clients ask for, timed on both sides in turns."""

import statistics
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.figure import Figure
from midwatch_lab.bench.sides import NAMESPACE, Side
from midwatch_lab.kinds.resources import PODS

COMMAND: Final = "midwatch bench lab"
TURNS: Final = 9
_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_PAGE: Final = 500


@dataclass(frozen=True)
class Form:
    """One way to list: `key` is where the answer has what was listed; every page is fetched."""

    name: str
    accept: str
    query: dict[str, str]
    key: str = "items"
    share: int = 1
    """One of so many pods is selected."""


TABLE: Final = Form("table", _TABLE, {}, key="rows")
"""What `kubectl get pods` asks for."""
FORMS: Final = (
    TABLE,
    Form("table_no_objects", _TABLE, {"includeObject": "None"}, key="rows"),
    Form("list", "application/json", {}),
    Form("list_pages", "application/json", {"limit": str(_PAGE)}),
    Form("list_selected", "application/json", {"labelSelector": "tier=t3"}, share=10),
)


async def compare(ours: Side, theirs: Side, count: int, forms: tuple[Form, ...] = FORMS) -> AsyncGenerator[Figure]:
    """Yield the median time of each form on the lab ÷ that on the original, in the original's better encoding.

    The original packs large answers by gzip where the client takes it, which here costs more time than it saves or
    less, by the answer; the lab never does. A first round warms both sides up.
    """
    for form in forms:
        seconds: dict[str, list[float]] = {"lab": [], "identity": [], "gzip": []}
        for turn in range(TURNS + 1):
            found = {
                "lab": await _timed(ours, form, count, "gzip"),
                "identity": await _timed(theirs, form, count, "identity"),
                "gzip": await _timed(theirs, form, count, "gzip"),
            }
            for name in found if turn else ():
                seconds[name].append(found[name])
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        baseline = min(medians["identity"], medians["gzip"])
        value, name = medians["lab"] * 1000, f"lab_{form.name}_{count}_ms"
        figure = Figure.beside(name, value, "ms", baseline=baseline * 1000)
        yield figure.model_copy(update={"command": COMMAND})


async def _timed(side: Side, form: Form, count: int, encoding: str) -> float:
    headers, query, listed = {"accept": form.accept, "accept-encoding": encoding}, dict(form.query), 0
    began = time.perf_counter()
    bodies: list[bytes] = []
    while True:
        response = (await side.http.get(PODS.path(NAMESPACE), params=query, headers=headers)).raise_for_status()
        bodies.append(response.content)
        if "limit" not in form.query:
            break
        query["continue"] = response.json()["metadata"].get("continue", "")
        if not query["continue"]:
            break
    seconds = time.perf_counter() - began
    listed = sum(
        body.count(b'"uid":') if form.query.get("includeObject") != "None" else body.count(b'"cells":')
        for body in bodies
    )
    if listed != count // form.share:
        raise RuntimeError(f"{side.name} listed {listed} of {count // form.share} pods: it is not what should be timed")
    return seconds
