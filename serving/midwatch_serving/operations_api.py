"""The operations under vLLM's paths and payloads. vLLM has most of them in its development mode only; here they are
always there, as `/admin` is, and behind the API key where the server has one.
"""

import os
import platform
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from midwatch_serving.errors import RequestError
from midwatch_serving.operations import MODES, Mode
from midwatch_serving.service import Service

T = TypeVar("T")
ENVIRONMENT = ("MIDWATCH_CPU_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that change how it runs; none is a secret."""
FLAGS = {"true": True, "1": True, "false": False, "0": False}


class OperationsEndpoints:
    """Load, server information, sleep, pause, and resetting the prefix cache."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/ping", self.ping, methods=["GET", "POST"]),
            Route("/load", self.load, methods=["GET"]),
            Route("/server_info", self.server_info, methods=["GET"]),
            Route("/sleep", self.sleep, methods=["POST"]),
            Route("/wake_up", self.wake_up, methods=["POST"]),
            Route("/is_sleeping", self.is_sleeping, methods=["GET"]),
            Route("/pause", self.pause, methods=["POST"]),
            Route("/resume", self.resume, methods=["POST"]),
            Route("/is_paused", self.is_paused, methods=["GET"]),
            Route("/reset_prefix_cache", self.reset_prefix_cache, methods=["POST"]),
        ]

    async def ping(self, _request: Request) -> Response:
        """Answer as `/health` (SageMaker's name for it)."""
        return Response(status_code=200 if self._service.healthy else 503)

    async def load(self, _request: Request) -> Response:
        """Return how many requests run or wait."""
        return JSONResponse({"server_load": len(self._service.engine.scheduler.sequences())})

    async def server_info(self, request: Request) -> Response:
        """Return configuration, environment and system; the configuration as text or JSON."""
        config = self._configuration()
        as_json = _parameter(request, "config_format", {"text": False, "json": True}, "text")
        text = ", ".join(
            f"{group}.{name}={value!r}" for group, values in config.items() for name, value in values.items()
        )
        return JSONResponse(
            {
                "vllm_config": config if as_json else text,
                "vllm_env": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                "system_env": {
                    "os": platform.platform(),
                    "python_version": platform.python_version(),
                    "cpu_count": os.cpu_count(),
                    "machine": platform.machine(),
                },
            }
        )

    async def sleep(self, request: Request) -> Response:
        """Give memory back: `level` 1 the KV cache, 2 the weights too, 0 none."""
        level = _parameter(request, "level", {"0": 0, "1": 1, "2": 2}, "1")
        await self._service.operations.sleep(level, _mode(request))
        return Response(status_code=200)

    async def wake_up(self, request: Request) -> Response:
        """Take all memory again; waking a part (`tags`) is refused."""
        if request.query_params.getlist("tags"):
            raise RequestError("`tags`: this server wakes up whole: leave them out", param="tags")
        await self._service.operations.wake_up()
        return Response(status_code=200)

    async def is_sleeping(self, _request: Request) -> Response:
        """Say whether memory is given back."""
        return JSONResponse({"is_sleeping": self._service.operations.is_sleeping})

    async def pause(self, request: Request) -> Response:
        """Hold steps."""
        clear_cache = _parameter(request, "clear_cache", FLAGS, "true")
        await self._service.operations.pause(_mode(request), clear_cache=clear_cache)
        return JSONResponse({"status": "paused"})

    async def resume(self, _request: Request) -> Response:
        """Let steps run again."""
        await self._service.operations.resume()
        return JSONResponse({"status": "resumed"})

    async def is_paused(self, _request: Request) -> Response:
        """Say whether steps are held."""
        return JSONResponse({"is_paused": self._service.operations.is_paused})

    async def reset_prefix_cache(self, request: Request) -> Response:
        """Forget cached prefixes; `success` is false where requests hold blocks and are not to be preempted."""
        running = _parameter(request, "reset_running_requests", FLAGS, "false")
        done = await self._service.operations.reset_prefix_cache(reset_running_requests=running)
        return JSONResponse({"success": done})

    def _configuration(self) -> dict[str, dict[str, Any]]:
        service = self._service
        scheduler = service.engine.scheduler
        return {
            "model_config": {
                "model": service.model_root,
                "served_model_name": service.model_name,
                "max_model_len": scheduler.max_model_len,
                "about": service.model_about,
            },
            "settings": dict(service.config.current.values),
            "midwatch": {"version": service.version, "config_version": service.config.current.version},
        }


def _mode(request: Request) -> Mode:
    return _parameter(request, "mode", {mode: mode for mode in MODES}, "abort")


def _parameter(request: Request, name: str, choices: dict[str, T], default: str) -> T:
    """Read a query parameter that has few values."""
    given = request.query_params.get(name, default)
    if given not in choices:
        raise RequestError(f"{name}={given!r} is none of {', '.join(choices)}", param=name)
    return choices[given]
