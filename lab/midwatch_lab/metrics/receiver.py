"""Remote write in: who may be refused, what is written, and the answers of Prometheus's receiver.

A request of version 1 is written whole or, at the first sample that cannot be taken, not at all; its series with bad
labels are left out without a word, as in the original. Of a request of version 2 all that is good is written, and the
rest is listed. Exemplars and metadata are read and not kept; native histograms are refused.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from midwatch_contracts.clock import Clock
from midwatch_lab.metrics.bounds import AHEAD_MS, BEHIND_MS
from midwatch_lab.metrics.errors import OutOfOrderError, WriteError
from midwatch_lab.metrics.labels import NAME, Labels, braced, from_dict
from midwatch_lab.metrics.numbers import shortest_text
from midwatch_lab.metrics.snappy import LIMIT, unpack
from midwatch_lab.metrics.store import Series, Store
from midwatch_lab.metrics.write_requests import Written, read_v1, read_v2

_MEDIA: Final = "application/x-protobuf"
_V1, _V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
_NATIVE: Final = "native histograms are not kept here: send classic ones, with series <name>_bucket"


class UnsupportedError(WriteError):
    """The body is announced as something else than what is taken."""

    status = 415


@dataclass
class Receiver:
    """Takes samples into a store."""

    clock: Clock
    store: Store

    async def answer(self, request: Request) -> Response:
        """Answer `POST /api/v1/write`."""
        try:
            version = _version(request.headers.get("content-type", ""))
            encoding = request.headers.get("content-encoding", "")
            if encoding not in ("", "snappy"):
                raise UnsupportedError(
                    f"{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
                )
            body = unpack(await _body(request))
            if version == _V1:
                self.write(read_v1(body))
                return Response(status_code=204)
            batch = self.write_v2(read_v2(body))
        except WriteError as error:
            return PlainTextResponse(f"{error}\n", error.status, _PLAIN)
        if batch.problems:
            text = "\n".join(batch.problems) + "\n"
            return PlainTextResponse(text, 400, {**_PLAIN, **batch.headers()})
        return Response(status_code=204, headers=batch.headers())

    def write(self, written: list[Written]) -> None:
        """Write a request of version 1, whole or not at all.

        Raises:
            WriteError: names the first sample that cannot be taken.
        """
        batch = _Batch(self.clock, self.store)
        for series in written:
            if _label_problem(series):
                continue
            if series.histograms:
                raise WriteError(_NATIVE)
            labels = from_dict(dict(series.labels))
            for time_ms, value in series.samples:
                problem = batch.take(labels, time_ms, value)
                if problem:
                    raise WriteError(problem)
        batch.commit()

    def write_v2(self, written: list[Written]) -> "_Batch":
        """Write what is good of a request of version 2, and return what was done."""
        batch = _Batch(self.clock, self.store)
        for series in written:
            shown = braced(tuple(sorted(series.labels)))
            problem = series.problem or _label_problem(series)
            if not problem and not series.samples:
                problem = f"TimeSeries must contain at least one sample or histogram for series {shown}"
                problem = f"{_NATIVE}, for series {shown}" if series.histograms else problem
            elif not problem and series.histograms:
                problem = f"TimeSeries must contain either samples or histograms for series {shown} not both"
            if problem:
                batch.problems.append(problem)
                continue
            labels = from_dict(dict(series.labels))
            batch.exemplars += series.exemplars
            for time_ms, value in series.samples:
                refused = batch.take(labels, time_ms, value)
                if refused:
                    batch.problems.append(f"{refused} for series {shown}")
        batch.commit()
        return batch


@dataclass
class _Batch:
    """The samples of one request; each is judged against the store as it was before the request."""

    clock: Clock
    store: Store
    taken: list[tuple[Series, int, float]] = field(default_factory=list[tuple[Series, int, float]])
    problems: list[str] = field(default_factory=list[str])
    exemplars: int = 0
    _oldest: int | None = None

    def take(self, labels: Labels, time_ms: int, value: float) -> str:
        """Take a sample, or say why not."""
        if self._oldest is None:
            newest = time_ms if self.store.newest_ms is None else self.store.newest_ms
            self._oldest = newest - BEHIND_MS
        if time_ms > self.clock.now() * 1000 + AHEAD_MS:
            return "out of bounds: timestamp is too far in the future"
        if time_ms < self._oldest:
            return "out of bounds"
        series = self.store.series(labels)
        if series:
            if time_ms < series.last_ms:
                return "out of order sample"
            before = series.last if time_ms == series.last_ms else value
            if struct.pack("d", value) != struct.pack("d", before):
                values = f"existing {shortest_text(before)}, new value {shortest_text(value)}"
                return f"duplicate sample for timestamp {time_ms}; overrides not allowed: {values}"
        self.taken.append((series, time_ms, value))
        return ""

    def commit(self) -> None:
        """Write what was taken; of samples that the request itself has in the wrong order the later are dropped."""
        for series, time_ms, value in self.taken:
            try:
                self.store.append(series, time_ms, value)
            except OutOfOrderError:
                continue

    def headers(self) -> dict[str, str]:
        """Return how much was written, as a request of version 2 is told."""
        counts = {"Samples": len(self.taken), "Histograms": 0, "Exemplars": self.exemplars}
        return {f"X-Prometheus-Remote-Write-{what}-Written": str(count) for what, count in counts.items()}


_PLAIN: Final = {"X-Content-Type-Options": "nosniff"}


def _version(content_type: str) -> str:
    """Return the message that a content type announces; version 1 where it says nothing."""
    text = content_type.strip() or _MEDIA
    media, *parameters = text.split(";")
    if media != _MEDIA:
        raise UnsupportedError(f"expected {_MEDIA} as the first (media) part, got {text} content-type")
    for parameter in parameters:
        pair = parameter.split("=")
        if len(pair) != 2:  # noqa: PLR2004 (a key and a value)
            rule = "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values"
            raise UnsupportedError(f"{rule}, got {parameter} in {text} content-type")
        if pair[0].strip() == "proto":
            if pair[1] not in (_V1, _V2):
                known = f"unknown type for remote write protobuf message {pair[1]}, supported: {_V1}, {_V2}"
                raise UnsupportedError(f"got {text} content type; {known}")
            return pair[1]
    return _V1


def _label_problem(series: Written) -> str:
    """Say why no series has these labels; nothing where one may."""
    names = [name for name, _ in series.labels]
    shown = braced(tuple(sorted(series.labels)))
    if not series.readable or "" in names or not dict(series.labels).get(NAME):
        return f"invalid metric name or labels, got {shown}"
    if len(set(names)) < len(names):
        twice = next(name for name in sorted(names) if names.count(name) > 1)
        return f"invalid labels for series, labels {shown}, duplicated label {twice}"
    return ""


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LIMIT:
            raise WriteError(f"the body is longer than {LIMIT} bytes: send smaller batches")
    return bytes(body)
