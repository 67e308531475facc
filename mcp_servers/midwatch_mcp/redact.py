"""Secrets are taken out before anything leaves a server, and before a caller's filter or sort could see them.

Two passes: `redact_object` knows Kubernetes (Secret data, environment, arguments, applied manifests); `harmless` walks
any JSON and takes out what looks like a credential in text, along with control and hidden characters.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from midwatch_contracts.untrusted import clean

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?i)^(?:.*[-_.])?(?:password|passwd|passphrase|token|api[-_]?key|access[-_]?key|secret|secret[-_]?key"
    r"|client[-_]?secret|private[-_]?key|credentials?|auth)$"
    r"|^.*(?:Password|Token|ApiKey|Secret|PrivateKey)$"
)
"""Names whose value is a secret: `HF_TOKEN`, `db-password`, `clientSecret`. Not `secretName`, which only refers."""

_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)")
_BY_FORM = re.compile(
    r"""
      \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*                       # JSON Web Token
    | \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,} | \bhf_[A-Za-z0-9]{16,} | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bgithub_pat_[A-Za-z0-9_]{20,} | \bglpat-[A-Za-z0-9_-]{16,} | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b | \bAIza[A-Za-z0-9_-]{30,}
    """,
    re.VERBOSE,
)
_BY_PLACE = re.compile(r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)")
"""`user:password@` of a URL."""
_BY_NAME = re.compile(
    r"""
    (?P<keep>(?i:\bbearer\s+|\bbasic\s+(?=[A-Za-z0-9+/]{12})
        |--(?:[A-Za-z0-9]+[-_.])*(?:password|passwd|passphrase|key|token|secret)\s+(?!-)
        |(?:(?<![A-Za-z0-9])|(?<=[-_.]))
          (?:password|passwd|passphrase|api[-_]?key|access[-_]?key|secret[-_]?key
          |client[-_]?secret|private[-_]?key|(?:auth|access|refresh|bearer|id|session|api|hf)[-_]?token|token|secret)
          ["']?\s*(?:=|:)\s*["']?(?:(?:bearer|basic)\s+)?))
      (?P<value>(?:\[redacted\]|(?!\[redacted\])[^\s"',;&}\]]){4,})
    """,
    re.VERBOSE,
)
_FORM_MARKS = (
    *("eyJ", "sk-", "pk-", "rk-", "hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("xox", "AKIA", "ASIA", "AIza"),
)
_NAMED = re.compile(
    r"(?:passw(?:or)?d|passphrase|key|token|secret)[\"']?\s*[=:]|bearer\s|basic\s"
    r"|--\S*(?:passw(?:or)?d|passphrase|key|token|secret)\s"
)
"""Small ASCII text without this holds nothing for `_BY_NAME`: most log lines are spared it, which costs ten times as
much."""
_FLAG = re.compile(r"^--?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?P<value>=.*)?$", re.DOTALL)
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_DEPTH = 64
_TEXT = frozenset({str})


@lru_cache(maxsize=4096)
def secret_name(name: str) -> bool:
    """Say whether a variable, flag or field of this name holds a secret."""
    return _SECRET_NAME.match(name.lstrip("-")) is not None


def redact_text(text: str) -> str:
    """Return `text` with credentials replaced; what names them stays, so that a reader sees that there was one."""
    if "PRIVATE KEY" in text:
        text = _KEY.sub(REDACTED, text)
    if not text.isascii() or _NAMED.search(text.lower()):
        text = _BY_NAME.sub(lambda found: found["keep"] + REDACTED, text)
    if any(mark in text for mark in _FORM_MARKS):
        text = _BY_FORM.sub(REDACTED, text)
    return _BY_PLACE.sub(REDACTED, text) if "://" in text and "@" in text else text


def harmless(value: Any) -> Any:
    """Return JSON data with every text cleaned of hidden characters and credentials, and secret fields redacted.

    What has nothing of the kind is returned as it is: most results have not, and large ones are looked through at once.
    """
    texts: list[str] = []
    return value if _gather(value, texts, 0) and _plain(texts) else walked(value)


def _gather(value: Any, texts: list[str], depth: int) -> bool:
    """Append every text of `value`, keys too; False where a field is secret by its name, or the form is unusual."""
    if depth > MAX_DEPTH:
        return False
    kind = cast("object", type(value))
    if kind is str:
        texts.append(value)
        return True
    if kind is list:
        if depth < MAX_DEPTH and _TEXT.issuperset(map(type, value)):
            texts.extend(value)
            return True
        return all(_gather(item, texts, depth + 1) for item in value)
    if kind is dict:
        return all(_gather_field(key, item, texts, depth + 1) for key, item in value.items())
    return value is None or kind is int or kind is float or kind is bool


def _gather_field(key: Any, item: Any, texts: list[str], depth: int) -> bool:
    if type(key) is not str or (type(item) is str and item and secret_name(key)):
        return False
    texts.append(key)
    return _gather(item, texts, depth)


def _plain(texts: list[str]) -> bool:
    """Say whether none of the texts needs cleaning.

    They are searched as one, parted by spaces. A credential in one of them is then still found, since each form ends
    where its text does; one that seems to span two only costs the longer way.
    """
    joined = " ".join(texts)
    return joined.isascii() and joined.isprintable() and redact_text(joined) == joined


def walked(value: Any, depth: int = 0) -> Any:
    """Return what `harmless` does, text by text."""
    if depth > MAX_DEPTH:
        return "[too deep]"
    match value:
        case str():
            plain = value if value.isascii() and value.isprintable() else clean(value)
            return redact_text(plain) if len(plain) > 3 else plain  # noqa: PLR2004 (no credential is that short)
        case Mapping():
            fields = cast("Mapping[str, Any]", value)
            return {
                walked(key, depth + 1): REDACTED
                if isinstance(item, str) and item and secret_name(key)
                else walked(item, depth + 1)
                for key, item in fields.items()
            }
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [walked(item, depth + 1) for item in cast("Sequence[Any]", value)]
        case _:
            return value


def redact_object(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes object, or list of objects, without secrets; `value` itself is not changed."""
    return cast("dict[str, Any]", harmless(_strip(value, kind=str(value.get("kind", "")))))


def _strip(value: Any, kind: str = "") -> Any:
    if isinstance(value, list):
        return [_strip(item, kind) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    own = fields.get("kind")
    kind = own if isinstance(own, str) and "apiVersion" in fields else kind
    return {key: _field(key, item, kind) for key, item in fields.items()}


def _field(key: str, item: Any, kind: str) -> Any:
    if kind.removesuffix("List") == "Secret" and key in {"data", "stringData"} and isinstance(item, Mapping):
        return dict.fromkeys(cast("Mapping[str, Any]", item), REDACTED)
    if key == "annotations" and isinstance(item, Mapping):
        annotations = cast("Mapping[str, Any]", item)
        return {name: REDACTED if name == _APPLIED else text for name, text in annotations.items()}
    if key == "env" and isinstance(item, list):
        return [_variable(entry) for entry in cast("list[Any]", item)]
    if key in {"args", "command"} and isinstance(item, list):
        return redact_arguments(cast("list[Any]", item))
    return _strip(item, "Secret" if key == "items" and kind == "SecretList" else kind)


def _variable(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    fields = dict(cast("Mapping[str, Any]", entry))
    if secret_name(str(fields.get("name", ""))) and fields.get("value"):
        fields["value"] = REDACTED
    return fields


def redact_arguments(arguments: Sequence[Any]) -> list[Any]:
    """Return a command line with the values of secret flags replaced, written `--flag=value` or `--flag value`."""
    done: list[Any] = []
    hide = False
    for argument in arguments:
        flag = _FLAG.match(argument) if isinstance(argument, str) else None
        if hide and flag is None:
            done.append(REDACTED)
            hide = False
        elif flag is not None and secret_name(flag["name"]):
            done.append(argument if flag["value"] is None else f"{argument.partition('=')[0]}={REDACTED}")
            hide = flag["value"] is None
        else:
            done.append(argument)
            hide = False
    return done
