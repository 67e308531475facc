"""`kube_list`: any kind as the server's own table, sick ones first."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.kubernetes.room import KubeRoom, at, objects
from midwatch_mcp.redact import REDACTED, secret_name
from midwatch_mcp.shapes import FieldSelector, Kind, Namespace, OutsideJson, Selector
from midwatch_mcp.tool import Answer, tool

CHUNK = 5_000
"""Objects counted at once; a longer list goes on by the server's continue token."""

_FRACTION = re.compile(r"(\d+)/(\d+)")
_FINE = frozenset(
    {"Running", "Completed", "Succeeded", "Bound", "Active", "Available", "Ready", "Complete", "True"}
    | {"Healthy", "Synced", "Established", "Deployed"}
)
_STATES = ("Status", "Phase", "State", "Health Status", "Health")
"""Columns that tell a state in a word; the last ones are of custom kinds."""
_GOOD = ("Ready", "Synced", "Healthy", "Established")
"""Columns by which custom kinds show a condition that should be True."""
_OPEN_FIELDS = frozenset({"metadata.name", "metadata.namespace", "type"})
"""Fields by which Secrets may be chosen."""
_STATE = re.compile(r"[A-Za-z][A-Za-z0-9:/,.-]{0,63}")
"""One machine word, such as `Init:CrashLoopBackOff`: a state column of a custom kind may hold anything."""
_CURSOR = r"^[0-9]{1,6}(?:\.[A-Za-z0-9_=-]{0,4000})?$"


class KubeListData(Model):
    """A page of a table, with counts over the whole of it."""

    kind: str
    columns: list[str]
    rows: list[list[OutsideJson]]
    """Rows that need attention first, then in the server's order."""
    total: int | None
    """Objects that match; None where the server does not say."""
    states: dict[str, int]
    """Objects by state; empty for kinds without one."""


class _Row(NamedTuple):
    cells: list[Any]
    state: str
    fine: bool


@tool(
    name="kube_list",
    title="List objects",
    description=(
        "List objects of any kind as a table: rows that need attention first, counts by state over all. "
        "Not for one known object: use kube_describe or kube_get."
    ),
    cluster="cluster-state",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_list(
    room: KubeRoom,
    *,
    kind: Kind,
    namespace: Annotated[Namespace | None, Field(description="all namespaces if left out")] = None,
    label_selector: Selector | None = None,
    field_selector: FieldSelector | None = None,
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Field(pattern=_CURSOR, description="evidence.cursor of the page before")] = None,
) -> Answer[KubeListData]:
    """Fetch a Table without objects, count it whole, and show one page."""
    resource = await room.resource(kind)
    if "list" not in resource.verbs:
        raise RefusedError(f"{resource.kind} objects cannot be listed: the API offers {', '.join(resource.verbs)}")
    _check_fields(resource, field_selector)
    skip, token = _position(cursor)
    spread = resource.namespaced and namespace is None
    query = {
        "limit": CHUNK,
        "includeObject": "Metadata" if spread else "None",
        "labelSelector": label_selector,
        "fieldSelector": field_selector,
        "continue": token or None,
    }
    table = await room.client.table(resource.path(namespace or ""), query)
    columns, rows = _read(table, spread=spread)
    rows.sort(key=lambda row: row.fine)
    page = rows[skip : skip + limit]
    data = KubeListData(
        kind=resource.kind,
        columns=columns,
        rows=[row.cells for row in page],
        total=_total(table, len(rows), first=not token),
        states=dict(Counter(row.state for row in rows if row.state)),
    )
    following = _following(skip + len(page), len(rows), token, at(table, "metadata", "continue"))
    return Answer(
        _summary(resource, namespace, data, rows, shown=len(page)),
        data,
        full={"kind": resource.kind, "columns": columns, "rows": [row.cells for row in rows]},
        truncated=following is not None,
        cursor=following,
    )


def _check_fields(resource: Resource, selector: str | None) -> None:
    """Refuse a selector by a secret: what it finds would tell the value, guess by guess.

    Raises:
        RefusedError: names the field.
    """
    for term in filter(None, (selector or "").split(",")):
        path = term.partition("!=")[0].partition("=")[0].strip()
        open_fields = _OPEN_FIELDS if resource.kind == "Secret" else {path}
        if path not in open_fields or any(secret_name(part) for part in path.split(".")):
            raise RefusedError(f"field_selector: {path} holds a secret, which is not to be found out by asking for it")


def _position(cursor: str | None) -> tuple[int, str]:
    skip, _, token = (cursor or "0").partition(".")
    return int(skip), token


def _following(end: int, size: int, token: str, upcoming: Any) -> str | None:
    if end < size:
        return f"{end}.{token}" if token else str(end)
    return f"0.{upcoming}" if isinstance(upcoming, str) and upcoming else None


def _total(table: Mapping[str, Any], size: int, *, first: bool) -> int | None:
    if not at(table, "metadata", "continue"):
        return size if first else None
    remaining = at(table, "metadata", "remainingItemCount")
    return size + remaining if first and isinstance(remaining, int) else None


def _read(table: Mapping[str, Any], *, spread: bool) -> tuple[list[str], list[_Row]]:
    definitions = objects(table.get("columnDefinitions"))
    shown = [index for index, column in enumerate(definitions) if not column.get("priority")]
    names = [str(definitions[index].get("name", "")) for index in shown]
    places = {name: place for place, name in enumerate(names)}
    rows: list[_Row] = []
    telling = [places[name] for name in (*_STATES, *_GOOD, "Ready") if name in places]
    known: dict[str, tuple[str, bool]] = {}  # a thousand pods have a dozen states
    hidden = {place for name, place in places.items() if secret_name(name)}
    for row in objects(table.get("rows")):
        cells = cast("list[Any]", row.get("cells") or [])
        picked = [cells[index] if index < len(cells) else None for index in shown]
        if hidden:
            picked = [REDACTED if place in hidden and cell else cell for place, cell in enumerate(picked)]
        told = repr([picked[place] for place in telling])
        if told not in known:
            known[told] = _state(places, picked)
        namespace = [at(row, "object", "metadata", "namespace")] if spread else []
        rows.append(_Row(namespace + picked, *known[told]))
    return (["Namespace", *names] if spread else names), rows


def _state(places: Mapping[str, int], cells: list[Any]) -> tuple[str, bool]:
    """Return (state, whether it is fine) as far as the table's columns tell; no such column is fine."""
    word = next((str(cells[places[name]]) for name in _STATES if name in places and cells[places[name]]), "")
    told = {str(cells[places[name]]) for name in _GOOD if name in places}
    fraction = _FRACTION.fullmatch(str(cells[places["Ready"]])) if "Ready" in places else None
    whole = fraction is None or fraction[1] == fraction[2]
    if not told.isdisjoint({"False", "Unknown"}):
        return "not ready", False
    if not word and fraction is None and "True" in told:
        return "ready", True
    if not word:
        return ("", True) if fraction is None else (("ready", True) if whole else ("not ready", False))
    if not _STATE.fullmatch(word):
        return "other", False
    if word == "Running" and not whole:
        return "Running, not ready", False
    return word, word in _FINE or word.startswith("Ready,")


def _summary(resource: Resource, namespace: str | None, data: KubeListData, rows: list[_Row], *, shown: int) -> str:
    where = f" in {namespace}" if namespace else ""
    known = data.total if data.total is not None else f"at least {len(rows)}"
    sick = sum(not row.fine for row in rows)
    states = ", ".join(f"{number} {state}" for state, number in data.states.items())
    text = f"{known} {resource.kind} objects{where}" + (f": {states}." if states else ".")
    if sick:
        text += f" {sick} need attention and come first."
    return text + (f" Shown: {shown}." if shown < len(rows) else "")
