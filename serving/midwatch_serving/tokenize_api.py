"""`POST /tokenize` and `/detokenize`, with vLLM's payloads."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midwatch_serving import protocol
from midwatch_serving.bodies import read_body
from midwatch_serving.intake import check_served, check_tokens
from midwatch_serving.protocol_chat import DetokenizeRequest, TokenizeRequest
from midwatch_serving.service import Service
from midwatch_serving.tokenizer import text_prompt


class TokenizeEndpoints:
    """Text and chats to token ids, and back."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def tokenize(self, request: Request) -> Response:
        """Return the tokens of a text or of a chat's prompt."""
        asked: TokenizeRequest = protocol.parse(TokenizeRequest, await read_body(request))
        check_served(self._service, asked.model)
        engine = self._service.engine
        if asked.messages is None:
            tokens = text_prompt(engine.tokenizer, asked.prompt or "", special=asked.add_special_tokens is not False)
        else:
            tokens = engine.tokenizer.chat_prompt(
                [message.for_template() for message in asked.messages],
                tools=[tool.model_dump(exclude_none=True) for tool in asked.tools or ()],
                add_generation_prompt=asked.add_generation_prompt,
            )
        names = [engine.tokenizer.token_name(token) for token in tokens] if asked.return_token_strs else None
        return JSONResponse(
            {
                "count": len(tokens),
                "max_model_len": engine.scheduler.max_model_len,
                "tokens": tokens,
                "token_strs": names,
            }
        )

    async def detokenize(self, request: Request) -> Response:
        """Return the text of tokens; special tokens are left out."""
        asked: DetokenizeRequest = protocol.parse(DetokenizeRequest, await read_body(request))
        check_served(self._service, asked.model)
        check_tokens(self._service, asked.tokens, "tokens")
        return JSONResponse({"prompt": self._service.engine.tokenizer.decode(asked.tokens)})
