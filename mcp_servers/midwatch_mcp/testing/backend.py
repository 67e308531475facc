"""A double of a serving backend: vLLM's metric names, the configuration resource, and a streamed chat answer."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

Fault = Literal["hang", "unavailable", "html", "half"]


@dataclass
class BackendDouble:
    """One replica."""

    model: str = "tiny"
    running: int = 1
    waiting: int = 0
    kv_usage: float = 0.25
    blocks: int = 256
    values: dict[str, Any] = field(default_factory=lambda: {"max_num_seqs": 4, "block_size": 16})
    version: int = 1
    configurable: bool = True
    """Whether it has `/admin/config`; vLLM has not."""
    words: tuple[str, ...] = ("po", "ng")
    """Text of the streamed answer, a token each."""
    requests: list[dict[str, Any]] | None = None
    """What `/admin/requests` lists; None: the path is not there, as on vLLM."""
    prediction: dict[str, Any] | None = None
    """What `/admin/what-if` answers; None: the path is not there."""
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Bodies that `/admin/what-if` was asked with."""
    exposition: str | None = None
    """Text of `/metrics` in place of the one made of the fields above."""
    told_version: str = "0.1.0+double"
    models: list[dict[str, Any]] | None = None
    """What `/v1/models` lists; None: the one model."""
    server_info: dict[str, Any] | None = None
    """What `/server_info` tells; None: the path is not there, as on a vLLM that is not in development mode."""
    fault: Fault | None = None
    """What every path does: answers nothing until the caller goes; 503; a web page; breaks off in its body."""

    async def answer(self, request: Request, path: str) -> Response:
        """Answer one request to `path`."""
        if self.fault is not None:
            return await self._fault(request)
        match (request.method, path):
            case ("GET", "/metrics"):
                return PlainTextResponse(self._metrics() if self.exposition is None else self.exposition)
            case ("POST", "/v1/chat/completions"):
                return StreamingResponse(self._stream(), media_type="text/event-stream")
            case ("POST", "/admin/what-if"):
                self.asked.append(await request.json())
                found = self.prediction
            case _:
                found = self._document(path) if request.method == "GET" else None
        if found is None:
            return PlainTextResponse("404 page not found", status_code=404)
        headers = {"ETag": f'"{self.version}"'} if path == "/admin/config" else {}
        return Response(orjson.dumps(found), media_type="application/json", headers=headers)

    async def _fault(self, request: Request) -> Response:
        match self.fault:
            case "hang":
                while (await request.receive())["type"] != "http.disconnect":
                    continue
                return Response(status_code=504)
            case "half":
                return StreamingResponse(self._broken(), headers={"Content-Length": "4096"})
            case "html":
                return Response("<html><title>Sign in</title></html>", media_type="text/html")
            case _:
                return PlainTextResponse("no healthy upstream", status_code=503)

    @staticmethod
    async def _broken() -> AsyncGenerator[bytes]:
        yield b"# TYPE vllm:num_requests_running gauge\n"

    def _document(self, path: str) -> dict[str, Any] | None:
        match path:
            case "/version":
                return {"version": self.told_version}
            case "/v1/models":
                return {"object": "list", "data": self.models or [{"id": self.model, "max_model_len": 2048}]}
            case "/server_info":
                return self.server_info
            case "/admin/config" if self.configurable:
                return {"version": self.version, "values": self.values, "restart_required": []}
            case "/admin/requests" if self.requests is not None:
                return {"requests": self.requests}
            case _:
                return None

    def _metrics(self) -> str:
        labels = f'{{engine="0",model_name="{self.model}"}}'
        cache = f'{{block_size="16",engine="0",num_gpu_blocks="{self.blocks}"}}'
        return (
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{labels} {self.running}.0\n"
            f"vllm:num_requests_waiting{labels} {self.waiting}.0\n"
            f"vllm:kv_cache_usage_perc{labels} {self.kv_usage}\n"
            f"vllm:num_preemptions_total{labels} 3.0\n"
            f"vllm:cache_config_info{cache} 1.0\n"
        )

    async def _stream(self) -> AsyncGenerator[bytes]:
        for word in self.words:
            event = {"choices": [{"index": 0, "delta": {"content": word}}]}
            yield b"data: " + orjson.dumps(event) + b"\n\n"
        usage: dict[str, Any] = {"choices": [], "usage": {"completion_tokens": len(self.words)}}
        yield b"data: " + orjson.dumps(usage) + b"\n\ndata: [DONE]\n\n"
