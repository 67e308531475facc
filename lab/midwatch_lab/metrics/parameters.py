"""Parameters of a request to the HTTP API: from the query string, and for POST from a form too."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from midwatch_contracts.errors import ContractError
from midwatch_contracts.promql import Matcher, VectorSelector, duration_ms
from midwatch_contracts.times import unix_seconds
from midwatch_lab.metrics.engine.query import read
from midwatch_lab.metrics.errors import BadDataError

_MAX_FORM = 1_000_000
_MAX_TIME = 2**53 / 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Parameters:
    """All parameters, in order."""

    pairs: Sequence[tuple[str, str]]

    @classmethod
    async def of(cls, request: Request) -> "Parameters":
        """Read a request's parameters.

        Raises:
            BadDataError: when a form is too large or not UTF-8.
        """
        pairs = list(request.query_params.multi_items())
        if request.method == "POST":
            body = bytearray()
            async for piece in request.stream():
                body += piece
                if len(body) > _MAX_FORM:
                    raise BadDataError(f"the form is longer than {_MAX_FORM} bytes")
            try:
                pairs = parse_qsl(body.decode(), keep_blank_values=True) + pairs
            except ValueError as error:
                raise BadDataError(f"the body is not a form in UTF-8: {error}") from error
        return cls(pairs)

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter that is not empty."""
        return next((value for key, value in self.pairs if key == name and value), None)

    def text(self, name: str) -> str:
        """Return the first value of a parameter, empty where it is missing."""
        return next((value for key, value in self.pairs if key == name), "")

    def time(self, name: str) -> float:
        """Return a time in Unix seconds, given as such or in RFC 3339.

        Raises:
            BadDataError: when it is missing, or no time.
        """
        found = _time(self.text(name))
        if found is None:
            raise BadDataError(f'invalid parameter "{name}": cannot parse "{self.text(name)}" to a valid timestamp')
        return found

    def moment(self, name: str, default: float) -> float:
        """Return a time that may be missing.

        Raises:
            BadDataError: when it is no time.
        """
        text = self.text(name)
        found = default if not text else _time(text)
        if found is None:
            raise BadDataError(
                f"invalid parameter \"{name}\": invalid time value for '{name}': "
                f'cannot parse "{text}" to a valid timestamp'
            )
        return found

    def duration(self, name: str) -> float:
        """Return a duration in seconds, given as such or as in `5m`.

        Raises:
            BadDataError: when it is missing or no duration.
        """
        text = self.text(name)
        found = _finite(text)
        if found is not None and abs(found) < _MAX_TIME:
            return found
        milliseconds = duration_ms(text)
        if milliseconds is None:
            raise BadDataError(f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
        return milliseconds / 1000

    def limit(self) -> int | None:
        """Return the parameter `limit`, None for none or 0.

        Raises:
            BadDataError: when it is no whole number from 0.
        """
        text = self.get("limit")
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            raise BadDataError(f'invalid parameter "limit": strconv.Atoi: parsing "{text}": invalid syntax')
        if text.startswith("-"):
            raise BadDataError('invalid parameter "limit": limit must be non-negative')
        return int(text) or None

    def number(self, name: str) -> int:
        """Return a limit of the older kind, -1 where it is missing.

        Raises:
            BadDataError: when it is no whole number.
        """
        text = self.get(name)
        if text is not None and not _INTEGER.fullmatch(text):
            raise BadDataError(f"{name} must be a number")
        return -1 if text is None else int(text)

    def label_set(self, name: str) -> dict[str, str]:
        """Return labels that are given as a JSON object.

        Raises:
            BadDataError: when they are missing, or no object of texts.
        """
        text = self.get(name)
        if text is None:
            raise BadDataError(f"no {name} parameter provided")
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise BadDataError(f"error parsing {name}: {error}") from error
        if not isinstance(found, dict):
            raise BadDataError(f"error parsing {name}: they are a JSON object, not {text[:40]}")
        labels = {key: "" if value is None else value for key, value in cast("dict[str, Any]", found).items()}
        if not all(isinstance(value, str) for value in labels.values()):
            raise BadDataError(f"error parsing {name}: their values are texts")
        return labels

    def matchers(self, name: str) -> list[Matcher]:
        """Return the matchers of a selector, none where it is missing.

        Raises:
            BadDataError: when it is no plain selector.
        """
        text = self.get(name)
        return [] if text is None else list(_selector(name, text).all_matchers())

    def selectors(self, *, required: bool) -> list[VectorSelector]:
        """Return the parameters `match[]` as selectors.

        Raises:
            BadDataError: when one is no plain selector, or none is given and one is required.
        """
        found: list[VectorSelector] = []
        for key, value in self.pairs:
            if key != "match[]":
                continue
            found.append(_selector("match[]", value))
        if required and not found:
            raise BadDataError("no match[] parameter provided")
        return found


def _selector(name: str, text: str) -> VectorSelector:
    try:
        expr = read(text)
    except BadDataError as error:
        raise BadDataError(str(error).replace('"query"', f'"{name}"', 1)) from error
    if not isinstance(expr, VectorSelector) or expr.offset_ms is not None or expr.at is not None:
        raise BadDataError(f'invalid parameter "{name}": parse error: "{text}" is no plain series selector')
    return expr


def _time(text: str) -> float | None:
    """Return a time in Unix seconds, None where it is none."""
    try:
        found = _finite(text)
        found = unix_seconds(text) if found is None else found
    except (ContractError, OverflowError):
        return None
    return found if abs(found) <= _MAX_TIME else None


def _finite(text: str) -> float | None:
    if "_" in text:
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
