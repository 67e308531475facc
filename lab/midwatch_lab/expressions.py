"""Regular expressions as Go has them: RE2, which takes time linear in the text, whoever wrote the pattern.

Faults are said in Go's words (regexp/syntax, `ErrorCode`), since the originals show them to their clients.
"""

from functools import lru_cache
from typing import Any, Final, cast

import re2  # pyright: ignore[reportMissingTypeStubs] (google-re2 ships none)

from midwatch_lab.errors import PatternError

_RE2: Final = cast("Any", re2)
_QUIET: Final = _RE2.Options()
_QUIET.log_errors = False
_GO_WORDS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """Return a pattern with the methods of Python's own.

    Raises:
        PatternError: when RE2 refuses it.
    """
    try:
        return _RE2.compile(pattern, options=_QUIET)
    except _RE2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        own, _, fragment = text.partition(": ")
        raise PatternError(f"error parsing regexp: {_GO_WORDS.get(own, own)}: `{fragment}`") from error
