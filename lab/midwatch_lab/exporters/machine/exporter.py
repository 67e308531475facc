"""The machine that the lab runs on: one instance, since all nodes of a lab share it, and two would count it twice."""

import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.exporters.family import Family
from midwatch_lab.exporters.machine.devices import DEVICE_FAMILIES
from midwatch_lab.exporters.machine.memory import MEMORY_FAMILIES
from midwatch_lab.exporters.machine.processor import PROCESSOR_FAMILIES
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.targets import Target

MACHINE_JOB: Final = "node-exporter"
NODE_FAMILIES: Final[tuple[Family, ...]] = (*PROCESSOR_FAMILIES, *MEMORY_FAMILIES, *DEVICE_FAMILIES)
_READ_S: Final = 5.0


def read_machine(proc: Path) -> Iterator[Gauge]:
    """Yield the gauges of a machine; what its kernel does not have is left out."""
    for family in NODE_FAMILIES:
        with suppress(FileNotFoundError, PermissionError):
            for labels, value in family.read(proc):
                yield family.name, labels, value


@dataclass
class Machine:
    """Reads the machine every five seconds."""

    clock: Clock
    proc: Path = Path("/proc")
    _due: float = 0.0
    _state: Path | None = None

    def groups(self) -> list[Group]:
        """Return the machine, anew every five seconds; nothing where there is no `/proc`."""
        if not self.proc.is_dir():
            return []
        if self._state is None or self.clock.now() >= self._due:
            self._due = self.clock.now() + _READ_S
            self._state = Path(self.proc)
        return [Group("machine", self._state, read_machine, measured=True)]

    @property
    def exporter(self) -> Exporter:
        """The target."""
        labels = {"job": MACHINE_JOB, "instance": platform.node() or "machine"}
        metadata = {family.name: family.metadata for family in NODE_FAMILIES}
        return Exporter(Target(labels, f"lab://{MACHINE_JOB}"), metadata, self.groups)
