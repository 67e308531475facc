"""What a vLLM server tells of its configuration, which has no resource of its own there (vLLM 0.6 to 0.33).

`vllm:cache_config_info` carries the cache's settings as labels, `/v1/models` the longest context, and `/server_info`
the scheduler's settings where the server runs in development mode. What none of them tells is in the pod's arguments
only, and whether it is in force is then not measured.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.errors import UpstreamError
from midwatch_mcp.serving.exposition import samples
from midwatch_mcp.serving.replicas import Replica

CACHE_INFO = "vllm:cache_config_info"
_ARGUMENTS = {"cache_dtype": "kv_cache_dtype"}
"""Labels whose argument has another name."""
_DERIVED = frozenset({"engine", "model_name"})
_SECTIONS = ("cache_config", "scheduler_config")


async def vllm_values(replica: Replica) -> dict[str, Any]:
    """Return the values in force under vLLM's argument names; empty where nothing is told.

    Raises:
        UpstreamError: the replica's metrics cannot be read.
    """
    told, models, info = await asyncio.gather(_cache(replica), _models(replica), _server_info(replica))
    return {**told, **models, **info}


async def _cache(replica: Replica) -> dict[str, Any]:
    text = (await replica.get("/metrics")).content.decode("utf-8", errors="replace")
    found = next((sample.labels for sample in samples(text) if sample.name == CACHE_INFO), dict[str, str]())
    values = {_ARGUMENTS.get(name, name): read(value) for name, value in found.items() if name not in _DERIVED}
    return {name: value for name, value in values.items() if value is not None}


async def _models(replica: Replica) -> dict[str, Any]:
    listed = (await _if_told(replica, "/v1/models")).get("data")
    entries = [cast("dict[str, Any]", one) for one in cast("list[Any]", listed or []) if isinstance(one, dict)]
    own = next((entry for entry in entries if entry.get("parent") is None), dict[str, Any]())
    length = own.get("max_model_len")
    return {"max_model_len": length} if isinstance(length, int) else {}


async def _server_info(replica: Replica) -> dict[str, Any]:
    whole = (await _if_told(replica, "/server_info?config_format=json")).get("vllm_config")
    sections = [cast("Mapping[str, Any]", whole).get(name) for name in _SECTIONS] if isinstance(whole, Mapping) else []
    return {
        _ARGUMENTS.get(name, name): value
        for section in sections
        if isinstance(section, Mapping)
        for name, value in cast("Mapping[str, Any]", section).items()
        if isinstance(value, str | int | float)
    }


async def _if_told(replica: Replica, path: str) -> dict[str, Any]:
    try:
        return (await replica.get(path)).json()
    except UpstreamError:
        # Not every version has it, and what is not told is not said to be in force.
        return {}


def read(text: str) -> str | int | float | bool | None:
    """Return a label's text as the value that Python wrote there."""
    if text in {"None", ""}:
        return None
    if text in {"True", "False"}:
        return text == "True"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
