"""How much of the machine others used while something was measured: figures of a busy machine are worth little."""

import os
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
WAITING = (3, 4)
"""Columns of a machine that does nothing: idle, iowait (proc_stat(5))."""
GUEST = 8
"""Columns from here on are counted in others already."""


@dataclass(frozen=True)
class MachineLoad:
    """CPU seconds at one moment: of everyone, and of this process and those that it has waited for."""

    everyone: float
    own: float

    @classmethod
    def now(cls) -> "MachineLoad | None":
        """Read the counters; None where the system has none of these."""
        if not STAT.exists():
            return None
        columns = [int(word) for word in STAT.read_text("ascii").split("\n", 1)[0].split()[1 : 1 + GUEST]]
        busy = sum(count for index, count in enumerate(columns) if index not in WAITING)
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return cls(busy / os.sysconf("SC_CLK_TCK"), own)

    def others_since(self, before: "MachineLoad") -> float:
        """Return the CPU seconds that others used in between, a hypervisor's theft among them."""
        return max(0.0, (self.everyone - before.everyone) - (self.own - before.own))
