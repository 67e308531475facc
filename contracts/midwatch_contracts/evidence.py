"""What was seen: tool results, evidence ids, and the ledger of a run (CONTRACTS §3). Pure; rooms do the writing."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model

DataT = TypeVar("DataT")

EVIDENCE_ID = r"^ev-[0-9a-f]{16}$"
SHA256 = r"^[0-9a-f]{64}$"
GENESIS = "0" * 64
"""`prev_sha256` of the first entry of a ledger."""

Basis = Literal["measured", "inferred", "simulated"]
"""Where a figure shown to a person comes from (CONTRACTS §1)."""


class EvidenceRef(Model):
    """Names one stored result: `sha256` and `bytes` are those of the full, redacted result's canonical JSON."""

    id: str = Field(pattern=EVIDENCE_ID)
    sha256: str = Field(pattern=SHA256)
    bytes: int = Field(ge=0)
    truncated: bool = False
    cursor: str | None = None


class ToolResult(Model, Generic[DataT]):
    """What every tool returns: `summary` is one to three sentences of fact, `data` is typed and small."""

    summary: str
    data: DataT
    evidence: EvidenceRef


def evidence_id(server: str, tool: str, arguments: Mapping[str, Any], result_sha256: str) -> str:
    """Return `ev-` and the first 16 hex digits over the call and its result; arguments redacted, defaults filled in."""
    call = {"server": server, "tool": tool, "arguments": dict(arguments), "result_sha256": result_sha256}
    return "ev-" + sha256_hex(call)[:16]


def evidence_ref(server: str, tool: str, arguments: Mapping[str, Any], full: Any, **shown: Any) -> EvidenceRef:
    """Return the reference for the full, redacted result of a call; `shown` sets `truncated` and `cursor`."""
    digest = sha256_hex(full)
    return EvidenceRef(
        id=evidence_id(server, tool, arguments, digest), sha256=digest, bytes=len(canonical_bytes(full)), **shown
    )


class LedgerEntry(Model):
    """One line of `ledger.jsonl`; `sha256` is over the entry without `sha256` itself, so the lines form a chain."""

    seq: int = Field(ge=0)
    at: str
    run: str
    step: str | None
    kind: str
    evidence: str | None = Field(default=None, pattern=EVIDENCE_ID)
    body: dict[str, Any]
    prev_sha256: str = Field(pattern=SHA256)
    sha256: str = Field(pattern=SHA256)

    @classmethod
    def chained(
        cls,
        previous: "LedgerEntry | None",
        *,
        at: str,
        run: str,
        step: str | None,
        kind: str,
        evidence: str | None,
        body: Mapping[str, Any],
    ) -> "LedgerEntry":
        """Return the entry that follows `previous` (None for the first)."""
        fields: dict[str, Any] = {
            "seq": 0 if previous is None else previous.seq + 1,
            "at": at,
            "run": run,
            "step": step,
            "kind": kind,
            "evidence": evidence,
            "body": dict(body),
            "prev_sha256": GENESIS if previous is None else previous.sha256,
        }
        return cls.model_validate(fields | {"sha256": sha256_hex(fields)})


def verify_chain(entries: Iterable[LedgerEntry]) -> int:
    """Check seq, links and hashes; return the number of entries.

    Raises:
        ContractError: names the first entry that does not fit.
    """
    previous: LedgerEntry | None = None
    count = 0
    for entry in entries:
        body = entry.model_dump(exclude={"sha256"})
        if entry.seq != count or entry.prev_sha256 != (GENESIS if previous is None else previous.sha256):
            raise ContractError(f"ledger entry {count} is out of order: it does not follow the one before it")
        if sha256_hex(body) != entry.sha256:
            raise ContractError(f"ledger entry {count} was changed: its hash does not match its content")
        previous = entry
        count += 1
    return count
