"""How long samples are kept, and how large they may grow, in the words of Prometheus's `storage.tsdb.retention`."""

import re
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.promql import duration_ms
from midwatch_lab.metrics.errors import BadDataError

_SIZE: Final = re.compile(r"([0-9]+)(B|KB|MB|GB|TB)")
_UNITS: Final = {unit: 1024**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))}


@dataclass(frozen=True)
class Retention:
    """Samples go when they are older than `seconds`, and the oldest when all take more than `size` bytes."""

    seconds: float = 3600.0
    size: int | None = 512 * 1024**2
    """None for no bound."""

    @classmethod
    def read(cls, time: str, size: str) -> "Retention":
        """Read a duration such as `6h` or `1d`, and a size such as `512MB` (units are powers of 1024).

        Raises:
            BadDataError: when one is none, or nothing could be kept.
        """
        milliseconds, found = duration_ms(time), _SIZE.fullmatch(size)
        if not milliseconds or milliseconds < 0:
            raise BadDataError(f"{time!r} is no time to keep samples for: write a duration such as 6h or 1d")
        if found is None or int(found[1]) == 0:
            raise BadDataError(f"{size!r} is no size that samples may take: write one such as 512MB or 2GB")
        return cls(milliseconds / 1000, int(found[1]) * _UNITS[found[2]])
