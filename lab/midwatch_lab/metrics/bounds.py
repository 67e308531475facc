"""How far off a sample's own time may be, as in the original: one far ahead would put all later ones out of bounds."""

from typing import Final

AHEAD_MS: Final = 600_000
"""Ahead of the clock."""
BEHIND_MS: Final = 3_600_000
"""Behind the newest sample of all: half of the original's head block."""
