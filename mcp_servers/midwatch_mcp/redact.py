"""Secrets are taken out before anything leaves a server, and before a caller's filter or sort could see them.

Two passes: `stripped` knows Kubernetes (Secret data, environment, arguments, applied manifests); `harmless` takes any
JSON and takes out what looks like a credential in text, along with control and hidden characters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import orjson

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
_LOGIN = re.compile(r"[^\s/:@]*:[^\s/@]+(?=@)")
_BY_PLACE = re.compile(rf"(?<=://){_LOGIN.pattern}")
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
_FORM_MARKS = {"eyJ": 0, "k-": 1, "hf_": 0, "gh": 0, "glpat-": 0, "xox": 0, "AKIA": 0, "ASIA": 0, "AIza": 0}
"""What is in each form of `_BY_FORM`, and how far from its beginning."""
_NAMES = ("password", "passwd", "passphrase", "key", "token", "secret")
_VALUE = re.compile(r"[\"']?\s*[=:]")
_SPACE = re.compile(r"\s")
_FLAG = re.compile(r"^--?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?P<value>=.*)?$", re.DOTALL)
_SINGLE = frozenset({str, int, float, bool, type(None)})
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_DEPTH = 64
_TOO_DEEP = b"\n" + b"  " * (MAX_DEPTH + 1)
"""How a line begins that lies deeper than that, in JSON that is indented by two."""
_JSON_ALONE = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SECRET_FIELDS = tuple(
    f'{word}":"'
    for word in ("password", "passwd", "passphrase", "token", "key", "secret", "credential", "credentials", "auth")
)
"""How every field of text ends whose name `_SECRET_NAME` takes, in small JSON."""


@lru_cache(maxsize=4096)
def secret_name(name: str) -> bool:
    """Say whether a variable, flag or field of this name holds a secret."""
    return _SECRET_NAME.match(name.lstrip("-")) is not None


def redact_text(text: str) -> str:
    """Return `text` with credentials replaced; what names them stays, so that a reader sees that there was one."""
    if "PRIVATE KEY" in text:
        text = _KEY.sub(REDACTED, text)
    if not text.isascii() or _names_a_value(text.lower()):
        text = _BY_NAME.sub(lambda found: found["keep"] + REDACTED, text)
    if any(_begins(text, mark, after) for mark, after in _FORM_MARKS.items()):
        text = _BY_FORM.sub(REDACTED, text)
    return _BY_PLACE.sub(REDACTED, text) if "@" in text and _followed(text, "://", _LOGIN) else text


def _names_a_value(lower: str) -> bool:
    """Say whether small ASCII text may hold something for `_BY_NAME`; most has not, at a thirtieth of the cost.

    It is looked for word by word, since a text is searched for one word much faster than for one of several.
    """
    found = [name for name in _NAMES if name in lower]
    if any(_followed(lower, name, _VALUE) for name in found):
        return True
    flags = found if "--" in lower else []
    return any(_followed(lower, word, _SPACE) for word in (*flags, "bearer", "basic"))


def _followed(text: str, word: str, by: re.Pattern[str]) -> bool:
    return any(by.match(text, at + len(word)) for at in _places(text, word))


def _begins(text: str, mark: str, after: int) -> bool:
    """Say whether this mark is in a credential; `k-` alone is in every `network-policy`."""
    return any(at >= after and _BY_FORM.match(text, at - after) for at in _places(text, mark))


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def harmless(value: Any) -> Any:
    """Return JSON data with every text cleaned of hidden characters and credentials, and secret fields redacted.

    What has nothing of the kind is returned as it is: most results have not, and are looked through as one text.
    """
    text = _written(value)
    return value if text is not None and _plain(text) else walked(value)


def _written(value: Any) -> str | None:
    """Return a value as JSON without spaces; None where it is no JSON, or nested too deep."""
    try:
        text = orjson.dumps(value, option=_JSON_ALONE).decode()
        levels = text.count("[") + text.count("{")
        if levels > MAX_DEPTH and _TOO_DEEP in orjson.dumps(value, option=_JSON_ALONE | orjson.OPT_INDENT_2):
            return None
    except orjson.JSONEncodeError:
        return None
    return text


def _plain(text: str) -> bool:
    """Say whether no text in this JSON needs cleaning, keys among them.

    It is searched as one. A credential in one of its texts is then still found, since each form ends where its text
    does; what only seems one costs the longer way. So does an escape, in which a character could hide.
    """
    if "\\" in text or "\x7f" in text or not text.isascii():
        return False
    lower = text.lower()
    for end in _SECRET_FIELDS:
        for at in _places(lower, end):
            if secret_name(text[text.rindex('"', 0, at) + 1 : at + len(end) - 3]):
                return False
    parted = text.replace('":', '" ')  # a key and its value are no `name: value` of one text
    return redact_text(parted) == parted


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


def stripped(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes object, or list of objects, without what its fields say is secret; `value` is not changed."""
    return cast("dict[str, Any]", _strip(value, kind=str(value.get("kind", ""))))


def _strip(value: Any, kind: str = "") -> Any:
    if isinstance(value, list):
        return [item if type(item) in _SINGLE else _strip(item, kind) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    own = fields.get("kind")
    kind = own if isinstance(own, str) and "apiVersion" in fields else kind
    return {key: item if type(item) in _SINGLE else _field(key, item, kind) for key, item in fields.items()}


def _field(key: str, item: Any, kind: str) -> Any:
    """Return a field that holds fields or a list; what a single value is, `harmless` judges by its name and form."""
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
