"""Which requests are taken at all: those that could be served alone, while the queue has room."""

from midwatch_serving.errors import QueueFull, RequestError
from midwatch_serving.limits import Limits
from midwatch_serving.sequence import Sequence

RETRY_AFTER_S = 1
"""What a refused client is told to wait, in seconds."""


def check_length(sequence: Sequence, need: int, *, max_model_len: int, num_blocks: int, block_size: int) -> None:
    """Refuse what could not be served even alone. `need` is the number of blocks that it takes in the end.

    Raises:
        RequestError: says what is too long, and what to do.
    """
    prompt, asked = len(sequence.prompt), sequence.most_tokens
    if not prompt:
        raise RequestError("the prompt is empty: send at least one message", param="messages")
    if sequence.score_from is not None and not 1 <= sequence.score_from < prompt:
        raise RequestError(
            f"nothing to score from position {sequence.score_from} on in a prompt of {prompt} tokens: "
            "give a text of at least one token behind one that it follows",
            param="score_from",
        )
    tokens = f"{prompt} prompt tokens" + ("" if asked == prompt else f" and max_tokens={asked - prompt}")
    if asked > max_model_len:
        raise RequestError(
            f"{tokens} make {asked} tokens; the model takes {max_model_len} at most (max_model_len): "
            "shorten the messages or lower max_tokens",
            param="messages",
            code="context_length_exceeded",
        )
    if need > num_blocks:
        raise RequestError(
            f"{tokens} need {need} KV blocks of {block_size} tokens; this server has {num_blocks} in all "
            "(num_gpu_blocks_override): shorten the messages, lower max_tokens or give the server more blocks",
            param="messages",
            code="context_length_exceeded",
        )


def check_room(limits: Limits, *, new: int, requests: int, tokens: int) -> None:
    """Refuse `new` requests while `requests` are served, `tokens` prompt tokens of which wait for a first token.

    As vLLM 0.33 counts: running requests too, the whole prompt of a request that is partly computed, and not the
    prompt of the new one, so that a long prompt is not refused for ever.

    Raises:
        QueueFull: names the limit.
    """
    most, most_tokens = limits.max_num_queued_reqs, limits.max_num_queued_tokens
    if most is not None and requests + new > most:
        raise QueueFull(
            f"{requests} requests are being served, of {most} at most (max_num_queued_reqs): try again later",
            reason="max_num_queued_reqs",
            retry_after=RETRY_AFTER_S,
        )
    if most_tokens is not None and tokens >= most_tokens:
        raise QueueFull(
            f"{tokens} prompt tokens wait to be computed, and {most_tokens} are the limit (max_num_queued_tokens): "
            "try again later",
            reason="max_num_queued_tokens",
            retry_after=RETRY_AFTER_S,
        )
