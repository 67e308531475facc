"""The graph: nodes, edges, and a SQLite checkpointer that reads nothing but plain data."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import aiosqlite
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph  # pyright: ignore[reportMissingTypeStubs] (typed, no marker file)

from midwatch_agents.supervisor.state import State, Update


class Stations(Protocol):
    """The nodes of the graph. A node's body runs again from its top after an interrupt or a kill."""

    async def intake(self, state: State) -> Update:
        """Find out what is asked about."""
        ...

    async def triage(self, state: State) -> Update:
        """Choose a guide."""
        ...

    async def guide(self, state: State) -> Update:
        """Run it."""
        ...

    async def propose(self, state: State) -> Update:
        """Draft and preview the plan."""
        ...

    async def approve(self, state: State) -> Update:
        """Wait for the decision."""
        ...

    async def baseline(self, state: State) -> Update:
        """Measure just before the change."""
        ...

    async def apply(self, state: State) -> Update:
        """Apply the plan."""
        ...

    async def verify(self, state: State) -> Update:
        """Wait until the change has ended, and measure again."""
        ...

    async def report(self, state: State) -> Update:
        """Write the report."""
        ...


def after_guide(state: State) -> str:
    """Go on to a plan when there is a cause with a drafted change."""
    found = state["findings"]
    return "propose" if found.get("outcome") == "cause" and found.get("draft") is not None else "report"


def after_propose(state: State) -> str:
    """Go on to the approval when there is a plan with a preview."""
    return "approve" if state.get("plan_id") and state.get("preview_sha256") else "report"


def after_approve(state: State) -> str:
    """Apply only what was approved."""
    return "baseline" if (state.get("decision") or {}).get("verdict") == "approved" else "report"


def after_apply(state: State) -> str:
    """Follow a change that came into being."""
    return "verify" if state.get("change_id") else "report"


def compiled(stations: Stations, saver: AsyncSqliteSaver) -> Any:
    """Return the graph, ready to run."""
    graph = cast("Any", StateGraph(State))
    for name in ("intake", "triage", "guide", "propose", "approve", "baseline", "apply", "verify", "report"):
        graph.add_node(name, getattr(stations, name))
    graph.add_edge(START, "intake")
    graph.add_edge("intake", "triage")
    graph.add_edge("triage", "guide")
    graph.add_conditional_edges("guide", after_guide, ["propose", "report"])
    graph.add_conditional_edges("propose", after_propose, ["approve", "report"])
    graph.add_conditional_edges("approve", after_approve, ["baseline", "report"])
    graph.add_edge("baseline", "apply")
    graph.add_conditional_edges("apply", after_apply, ["verify", "report"])
    graph.add_edge("verify", "report")
    graph.add_edge("report", END)
    return graph.compile(checkpointer=saver)


@asynccontextmanager
async def checkpoints(path: Path) -> AsyncGenerator[AsyncSqliteSaver]:
    """Open (0600) the checkpoints of one run.

    The serializer is given no module that it may rebuild objects of, which is what LANGGRAPH_STRICT_MSGPACK=true asks
    for, whatever the environment says: a checkpoint that somebody wrote into the file cannot run code.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    async with aiosqlite.connect(path) as connection:
        yield AsyncSqliteSaver(
            connection, serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
        )
