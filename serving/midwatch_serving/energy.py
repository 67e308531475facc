"""An estimate of the energy that serving uses, by the best means there are; each says its `method`.

`rapl_package`: the processors' own counters (Intel's running average power limit, which Linux shows for AMD too, under
/sys/class/powercap). They count whole packages, whoever used them, and since CVE-2020-8694 only root may read them.
`cpu_time`: CPU seconds of this process times watts a core; close where the process keeps its core busy, and nothing
of memory, disks or idle power is in it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 3.5
"""Watts of one virtual CPU (a hyperthread) at full load: the mean over server processors in Cloud Carbon Footprint's
AWS coefficients (`MAX_WATTS_AVG`, made from SPECpower_ssj2008 results by Teads and Etsy's method)."""


class EnergyMeter(Protocol):
    """Counts joules since it was made."""

    method: str

    def joules(self) -> float:
        """Return the energy used since the start, never less than before."""
        ...


class CpuTimeMeter:
    """CPU seconds of this process, all threads, times a constant."""

    method = "cpu_time"

    def __init__(
        self, watts_per_core: float = WATTS_PER_CORE, cpu_seconds: Callable[[], float] = time.process_time
    ) -> None:
        self._watts = watts_per_core
        self._cpu_seconds = cpu_seconds
        self._start = cpu_seconds()

    def joules(self) -> float:
        """Return the energy used since the start."""
        return (self._cpu_seconds() - self._start) * self._watts


class RaplMeter:
    """The packages' energy counters, which wrap: read them more often than that (some minutes at full power)."""

    method = "rapl_package"

    def __init__(self, packages: list[Path]) -> None:
        """Start counting; `packages` are folders with `energy_uj` and `max_energy_range_uj`.

        Raises:
            OSError, ValueError: when one cannot be read.
        """
        self._ranges = {package: _read(package / "max_energy_range_uj") for package in packages}
        self._last = {package: _read(package / "energy_uj") for package in packages}
        self._microjoules = 0

    def joules(self) -> float:
        """Return the energy used since the start; a counter that cannot be read any more stands still."""
        for package, before in self._last.items():
            try:
                now = _read(package / "energy_uj")
            except OSError:
                continue
            self._microjoules += now - before if now >= before else now + self._ranges[package] - before
            self._last[package] = now
        return self._microjoules / 1e6


def best_meter(watts_per_core: float | None = None, root: Path = POWERCAP) -> EnergyMeter:
    """Return the packages' counters where they may be read, else CPU time, which a given `watts_per_core` asks for."""
    if watts_per_core is not None:
        return CpuTimeMeter(watts_per_core)
    try:
        packages = sorted(zone for zone in root.glob("*rapl*:*") if _name(zone).startswith("package-"))
        return RaplMeter(packages) if packages else CpuTimeMeter()
    except (OSError, ValueError):
        return CpuTimeMeter()  # usual: only root may read the counters


def _name(zone: Path) -> str:
    return (zone / "name").read_text("ascii").strip()


def _read(path: Path) -> int:
    return int(path.read_text("ascii"))
