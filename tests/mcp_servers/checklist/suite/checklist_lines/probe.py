"""A server made for a check: one tool that reads, whose room writes down what reached it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from midwatch_mcp.errors import RefusedError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.rates import RATES, Limiter, Rate
from midwatch_mcp.server import ToolServer, new_server
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.tool import Answer, tool

CRASH = "canary-of-a-crash"
CAP = 2_000


class Said(BaseModel):
    text: str


@dataclass
class Room:
    calls: list[str] = field(default_factory=list[str])
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@tool(
    name="probe_say",
    title="Say",
    description="Say a text.",
    cluster="test",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
    max_bytes=CAP,
)
async def probe_say(room: Room, text: str, times: int = 1) -> Answer[Said]:
    room.calls.append(text)
    if text == "crash":
        raise ValueError(CRASH)
    if text == "refuse":
        raise RefusedError("say another word")
    return Answer("said", Said(text=text * times))


def probe(folder: Path, room: Room, *, burst: int = 100) -> ToolServer:
    limiter = Limiter({**RATES, "low": Rate(per_s=0.1, burst=burst, together=8)})
    return new_server(
        "kubernetes",
        title="Probe",
        instructions="",
        settings=ServerSettings(state=folder),
        evidence=EvidenceStore(folder),
        room=room,
        handlers=[probe_say],
        limiter=limiter,
    )


def calling(folder: Path, room: Room, *, burst: int = 100) -> Caller:
    return Caller(probe(folder, room, burst=burst))
