"""`POST /admin/score`: how likely given texts are after a common prefix, by the model's own probabilities.

The first text is scored alone, which leaves the prefix in the cache; the others then run as one batch that computes
only what is theirs. Prefix and texts are tokenized apart, so that every text follows the same tokens.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midwatch_serving import protocol
from midwatch_serving.answer import Answer, Job, new_id
from midwatch_serving.bodies import read_body
from midwatch_serving.errors import RequestError
from midwatch_serving.intake import check_served
from midwatch_serving.protocol import Caller
from midwatch_serving.protocol_chat import ScoreRequest
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.sequence import Sequence
from midwatch_serving.service import Service
from midwatch_serving.tokenizer import text_prompt

AT_ONCE = 64
"""Texts in the scheduler's queue together."""


class ScoreEndpoint:
    """Scores texts."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Response:
        """Return the sum of log-probabilities of each text."""
        asked: ScoreRequest = protocol.parse(ScoreRequest, await read_body(request))
        check_served(self._service, asked.model)
        tokenizer = self._service.engine.tokenizer
        if asked.messages is None:
            prefix, field = text_prompt(tokenizer, asked.prefix or ""), "prefix"
        else:
            prefix, field = tokenizer.chat_prompt([message.for_template() for message in asked.messages]), "messages"
        if not prefix:
            raise RequestError(f"`{field}` is empty: a first token has no probability", param=field)
        jobs = [_job(prefix, tokenizer.encode(text), index) for index, text in enumerate(asked.texts)]
        caller = Caller(priority=asked.priority, session_id=asked.session_id, cache_salt=asked.cache_salt)
        sequences: list[Sequence] = []
        for batch in (jobs[:1], *(jobs[start : start + AT_ONCE] for start in range(1, len(jobs), AT_ONCE))):
            answer = Answer(self._service, new_id("score-", None), batch, caller)
            await answer.whole(request.receive)
            sequences += answer.sequences
        return JSONResponse(
            {
                "model": self._service.model_name,
                "scores": [
                    {
                        "sum_logprob": sum(sequence.scores),
                        "tokens": len(sequence.scores),
                        "mean_logprob": sum(sequence.scores) / len(sequence.scores),
                    }
                    for sequence in sequences
                ],
                "cached_tokens": sum(sequence.num_cached for sequence in sequences),
            }
        )


def _job(prefix: list[int], text: list[int], index: int) -> Job:
    if not text:
        raise RequestError(f"`texts.{index}` is empty: there is nothing to score", param=f"texts.{index}")
    return Job((*prefix, *text), SamplingParams(max_tokens=1), score_from=len(prefix))
