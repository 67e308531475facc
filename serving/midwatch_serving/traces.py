"""Public traces as workloads: Azure LLM 2023, BurstGPT, Mooncake and ServeGen, each known by its columns.

| trace | file | columns |
|---|---|---|
| Azure LLM 2023 (Patel et al., Splitwise, ISCA 2024) | `*.csv` | `TIMESTAMP, ContextTokens, GeneratedTokens` |
| BurstGPT (Wang et al. 2024) | `*.csv` | `Timestamp` s, `Request tokens`, `Response tokens` (0: failed), `Session ID` |
| Mooncake (Qin et al., FAST 2025) | `*.jsonl`, `*.csv` | `timestamp` ms, `input_length`, `output_length`, `hash_ids` |
| ServeGen (Xiang et al. 2025) | `NAME-trace.csv`, `NAME-dataset.json` | see `servegen` |
"""

import csv
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from midwatch_serving.errors import WorkloadError
from midwatch_serving.servegen import read_servegen
from midwatch_serving.workload import Request, Workload

FILES = 1024
"""More than a folder is read of."""
MOONCAKE_PIECE = 512
"""Tokens that one hash id stands for."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?")


def read_traces(where: Path, *, limit: int, seed: int = 0) -> Workload:
    """Return the first `limit` requests of a trace: a file, or all files of one kind in a folder, merged by time.

    Raises:
        WorkloadError: nothing there can be read; names the file, the line, and what was expected.
    """
    if limit < 1:
        raise WorkloadError(f"{limit} requests: give 1 or more")
    if not where.exists():
        raise WorkloadError(f"there is no file or folder {where}")
    files = [where] if where.is_file() else sorted(p for p in where.iterdir() if p.is_file())
    served = [path for path in files if path.name.endswith("-trace.csv")]
    others = [path for path in files if path.suffix in {".csv", ".jsonl"} and path not in served]
    if served and others:
        raise WorkloadError(
            f"{where} holds traces of several kinds ({served[0].name}, {others[0].name}): name one file"
        )
    if served:
        return Workload(tuple(read_servegen(served, limit=limit, seed=seed)), about=f"ServeGen, {where}")
    if not others:
        raise WorkloadError(
            f"{where} holds no trace: a .csv of Azure LLM 2023 or BurstGPT, a .jsonl of Mooncake, or *-trace.csv of "
            "ServeGen is expected"
        )
    if len(others) > FILES:
        raise WorkloadError(f"{where} holds {len(others)} files, more than {FILES}: name one")
    kinds = {path: _kind(path) for path in others}
    if len(set(kinds.values())) > 1:
        raise WorkloadError(f"{where} holds traces of several kinds: name one file")
    read = kinds[others[0]]
    each = [_apart(islice(read(path), limit), number) for number, path in enumerate(others)]
    requests = sorted(chain.from_iterable(each), key=lambda r: r.arrival_s)[:limit]
    if not requests:
        raise WorkloadError(f"{where} holds no request")
    start = requests[0].arrival_s
    shifted = (Request(r.arrival_s - start, r.prompt_tokens, r.output_tokens, r.prefix) for r in requests)
    return Workload(tuple(shifted), about=f"{read.__name__.removeprefix('_')}, {where}")


Reader = Callable[[Path], Iterator[Request]]


def requests_of(path: Path) -> Iterator[Request]:
    """Yield the requests of one trace file (not ServeGen's) as it is read, however long it is; times are its own.

    Raises:
        WorkloadError: a row cannot be read; names the file, the line, and what was expected.
    """
    if not path.is_file():
        raise WorkloadError(f"there is no file {path}")
    return _kind(path)(path)


def _apart(requests: Iterable[Request], number: int) -> Iterator[Request]:
    """Keep the pieces of one file's prompts apart from those of another that uses the same ids."""
    for r in requests:
        yield replace(r, prefix=tuple((piece * FILES + number, tokens) for piece, tokens in r.prefix))


def _kind(path: Path) -> Reader:
    if path.suffix == ".jsonl":
        return _mooncake
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        header = [name.strip().lower() for name in next(csv.reader(file), cast("list[str]", []))]
    if {"timestamp", "contexttokens", "generatedtokens"} <= set(header):
        return _azure
    if {"timestamp", "request tokens", "response tokens"} <= set(header):
        return _burstgpt
    if {"timestamp", "input_length", "output_length"} <= set(header):
        return _mooncake_table
    raise WorkloadError(
        f"{path}: line 1: the columns {', '.join(header) or '(none)'} are of no trace known here (Azure LLM 2023: "
        "TIMESTAMP, ContextTokens, GeneratedTokens; BurstGPT: Timestamp, Request tokens, Response tokens; Mooncake: "
        "timestamp, input_length, output_length, hash_ids)"
    )


def _azure(path: Path) -> Iterator[Request]:
    for line, row in _rows(path):
        moment = _MOMENT.fullmatch(row["timestamp"])
        if moment is None:
            raise WorkloadError(f"{path}: line {line}: {row['timestamp']!r} is no time as 2023-11-16 18:15:46.68")
        try:
            whole = datetime.fromisoformat(moment[1] + "+00:00").timestamp()
        except ValueError as error:
            raise WorkloadError(f"{path}: line {line}: {row['timestamp']!r} is no time: {error}") from error
        prompt = _tokens(path, line, "ContextTokens", row["contexttokens"], least=1)
        output = _tokens(path, line, "GeneratedTokens", row["generatedtokens"], least=0)
        yield Request(whole + float(moment[2] or 0), prompt, max(output, 1))


def _burstgpt(path: Path) -> Iterator[Request]:
    for line, row in _rows(path):
        at = _number(path, line, "Timestamp", row["timestamp"])
        prompt = _tokens(path, line, "Request tokens", row["request tokens"], least=0)
        output = _tokens(path, line, "Response tokens", row["response tokens"], least=0)
        session = row.get("session id", "")
        if prompt and output:  # a response of 0 tokens is a failure in this trace
            # A conversation's prompts repeat what was said before, so that they begin alike.
            yield Request(at, prompt, output, ((zlib.crc32(session.encode()), prompt),) if session else ())


def _mooncake(path: Path) -> Iterator[Request]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            yield _mooncake_request(path, line, _entry(path, line, text))


def _mooncake_table(path: Path) -> Iterator[Request]:
    for line, row in _rows(path):
        hashes = row.get("hash_ids", "").strip("[]").replace(",", " ").split()
        if not all(text.isdecimal() for text in hashes):
            raise WorkloadError(f"{path}: line {line}: hash_ids is {row['hash_ids']!r}: [1, 2, 3] is expected")
        yield _mooncake_request(path, line, {**row, "hash_ids": [int(text) for text in hashes]})


def _mooncake_request(path: Path, line: int, entry: dict[str, Any]) -> Request:
    at = _number(path, line, "timestamp", entry.get("timestamp")) / 1000
    prompt = _tokens(path, line, "input_length", entry.get("input_length"), least=1)
    output = _tokens(path, line, "output_length", entry.get("output_length"), least=0)
    hashes = entry.get("hash_ids", [])
    if not isinstance(hashes, list) or not all(type(h) is int for h in cast("list[object]", hashes)):
        raise WorkloadError(f"{path}: line {line}: hash_ids is no list of whole numbers")
    pieces = tuple((abs(h), MOONCAKE_PIECE) for h in cast("list[int]", hashes))
    return Request(at, prompt, max(output, 1), pieces)


def _entry(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise WorkloadError(f"{path}: line {line}: no JSON: {error}") from error
    if not isinstance(entry, dict):
        raise WorkloadError(f"{path}: line {line}: a JSON object is expected")
    return cast("dict[str, Any]", entry)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader)]
        try:
            for row in reader:
                if row and len(row) != len(header):
                    raise WorkloadError(
                        f"{path}: line {reader.line_num}: {len(row)} fields where the header has {len(header)}"
                    )
                if row:
                    yield reader.line_num, {name: value.strip() for name, value in zip(header, row, strict=True)}
        except csv.Error as error:
            raise WorkloadError(f"{path}: line {reader.line_num}: no CSV: {error}") from error


def _tokens(path: Path, line: int, name: str, value: object, *, least: int) -> int:
    number = _number(path, line, name, value)
    if number != int(number) or number < least:
        raise WorkloadError(f"{path}: line {line}: {name} is {value!r}: a whole number from {least} on is expected")
    return int(number)


def _number(path: Path, line: int, name: str, value: object) -> float:
    try:
        number = float(cast("str | float", value))
    except (TypeError, ValueError) as error:
        raise WorkloadError(f"{path}: line {line}: {name} is {value!r}: a number is expected") from error
    if not 0 <= number < 1e15:  # noqa: PLR2004 (finite, and exact as a float)
        raise WorkloadError(f"{path}: line {line}: {name} is {value!r}: a number from 0 on is expected")
    return number
