"""The differences from the original that are meant to be: {the case's sentence: why it cannot be otherwise}.

At most 15. One that agrees after all fails the run, since its reason no longer holds.
"""

from typing import Final

NAMED_DIFFERENCES: Final[dict[str, str]] = {}
