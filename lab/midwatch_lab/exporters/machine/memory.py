"""Memory, from `/proc/meminfo`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from midwatch_lab.exporters.family import Family, Point

_KIBI: Final = 1024
_FIELDS: Final = (
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Slab", "SReclaimable", "Shmem", "Active", "Inactive",
    "AnonPages", "Mapped", "Dirty", "Writeback", "KernelStack", "PageTables", "SwapTotal", "SwapFree", "SwapCached",
    "CommitLimit", "Committed_AS",
)  # fmt: skip


class _Field:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, proc: Path) -> Iterable[Point]:
        for line in (proc / "meminfo").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == self.name:
                yield {}, float(value.split()[0]) * _KIBI


MEMORY_FAMILIES: Final = tuple(
    Family(f"node_memory_{name}_bytes", f"`{name}` of /proc/meminfo, in bytes", _Field(name)) for name in _FIELDS
)
