"""The routes that clients of the model use, and what the model is."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from midwatch_serving.chat import ChatEndpoint
from midwatch_serving.completions import CompletionsEndpoint
from midwatch_serving.errors import RequestError
from midwatch_serving.responses import ResponsesEndpoint
from midwatch_serving.scoring import ScoreEndpoint
from midwatch_serving.service import Service
from midwatch_serving.tokenize_api import TokenizeEndpoints


def generation_routes(service: Service) -> list[Route]:
    """Return the routes over `service`."""
    models, tokens, responses = ModelsEndpoint(service), TokenizeEndpoints(service), ResponsesEndpoint(service)
    return [
        Route("/v1/chat/completions", ChatEndpoint(service).post, methods=["POST"]),
        Route("/v1/completions", CompletionsEndpoint(service).post, methods=["POST"]),
        Route("/v1/responses", responses.post, methods=["POST"]),
        Route("/v1/responses/{response_id}", responses.get, methods=["GET"]),
        Route("/v1/responses/{response_id}", responses.delete, methods=["DELETE"]),
        Route("/v1/models", models.list, methods=["GET"]),
        Route("/v1/models/{model:path}", models.get, methods=["GET"]),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
        Route("/admin/score", ScoreEndpoint(service).post, methods=["POST"]),
    ]


class ModelsEndpoint:
    """The one model that is served."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def list(self, _request: Request) -> Response:
        """List the one model, with what it is."""
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def get(self, request: Request) -> Response:
        """Return a model by its name."""
        name = request.path_params["model"]
        if name != self._service.model_name:
            raise RequestError(
                f"there is no model {name!r} here: this server has {self._service.model_name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )
        return JSONResponse(self._card())

    def _card(self) -> dict[str, Any]:
        service = self._service
        return {
            "id": service.model_name,
            "object": "model",
            "created": service.created,
            "owned_by": "midwatch",
            "root": service.model_root,
            "parent": None,
            "max_model_len": service.engine.scheduler.max_model_len,
            "description": service.model_about,
        }
