"""The kubelet's meter: CPU time and memory of containers, which are process groups, from Linux's `/proc`.

Where there is no `/proc` nothing is read, and the metrics API has nothing to show. Source of the fields: proc(5).
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.kubelet.container import Container
from midwatch_lab.usage import Held, PodUsage, Usage, UsageBoard

_PROC: Final = Path("/proc")
_KIBI: Final = 1024
_WINDOW_MIN_S: Final = 1.0
"""Below this the clock ticks of the kernel are too coarse for a rate."""


@dataclass(frozen=True)
class Reading:
    """What a process group has used since it began: seconds of CPU time, and the bytes that it holds in memory."""

    cpu_s: float
    memory: int
    age_s: float
    """How long ago its leader began."""
    system_s: float = 0.0
    """The part of the CPU time that the kernel spent for it."""
    threads: int = 0
    members: tuple[int, ...] = ()
    """Its processes."""


def read_groups(proc: Path = _PROC) -> dict[int, Reading]:
    """Return the readings of all process groups by their leader's id; empty where there is no `/proc`.

    CPU time of children that have ended is in their parent's; a child that runs counts by itself.
    """
    if not proc.is_dir():
        return {}
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[int, Reading] = {}
    for entry in os.listdir(proc):  # noqa: PTH208 (a thousand names: no Path for each)
        if not entry.isdecimal():
            continue
        # A process may end between being listed and being read.
        with suppress(FileNotFoundError, ProcessLookupError):
            words = (proc / entry / "stat").read_bytes().rpartition(b")")[2].split()
            group = int(words[2])
            before = found.get(group, Reading(0.0, 0, 0.0))
            user, system, old_user, old_system = map(int, words[11:15])
            found[group] = Reading(
                before.cpu_s + (user + system + old_user + old_system) / ticks,
                before.memory + int(words[21]) * page,
                now - int(words[19]) / ticks if int(entry) == group else before.age_s,
                before.system_s + (system + old_system) / ticks,
                before.threads + int(words[17]),
                (*before.members, int(entry)),
            )
    return found


def held(reading: Reading, now: float, proc: Path = _PROC) -> Held:
    """Return what the processes of a group hold, from the pages that each process has of itself.

    What a process shares with another counts in both; a process that ended meanwhile counts in neither.
    """
    sums = dict.fromkeys(("RssAnon", "RssFile", "RssShmem", "VmSwap", "read_bytes", "write_bytes"), 0)
    for member in reading.members:
        for page, unit in (("status", _KIBI), ("io", 1)):
            with suppress(OSError):
                for line in (proc / str(member) / page).read_text("ascii", "replace").splitlines():
                    name, _, value = line.partition(":")
                    if name in sums:
                        sums[name] += int(value.split()[0]) * unit
    mapped = sums["RssFile"] + sums["RssShmem"]
    return Held(
        started=now - reading.age_s,
        user_s=reading.cpu_s - reading.system_s,
        system_s=reading.system_s,
        resident=reading.memory,
        anonymous=sums["RssAnon"],
        mapped=mapped,
        swapped=sums["VmSwap"],
        read=sums["read_bytes"],
        written=sums["write_bytes"],
        processes=len(reading.members),
        threads=reading.threads,
    )


class Meter:
    """Turns readings into what each container uses: the CPU time between two of them, over the time between them."""

    def __init__(self, board: UsageBoard, clock: Clock) -> None:
        self.board = board
        self.clock = clock
        self._before: dict[tuple[str, str], tuple[int, float, float]] = {}
        """By pod and container: the process, when it was read, and its CPU time then."""

    def measure(self, pods: Iterable[tuple[str, Iterable[Container]]]) -> None:
        """Read the containers of every (uid, containers), and report on the pods."""
        groups, now = read_groups(), self.clock.now()
        seen: dict[tuple[str, str], tuple[int, float, float]] = {}
        for uid, containers in pods:
            used: dict[str, Usage] = {}
            holding: dict[str, Held] = {}
            windows: list[float] = []
            for container in containers:
                process = container.process_id
                reading = groups.get(process) if process is not None else None
                if process is None or reading is None:
                    continue
                key = (uid, container.name)
                known = self._before.get(key)
                if known is None or known[0] != process:
                    known = (process, now - reading.age_s, 0.0)
                window = now - known[1]
                if window < _WINDOW_MIN_S:
                    continue
                seen[key] = (process, now, reading.cpu_s)
                used[container.name] = Usage(max(0.0, reading.cpu_s - known[2]) / window, reading.memory)
                holding[container.name] = held(reading, now)
                windows.append(window)
            if used:
                self.board.report(uid, PodUsage(now, max(windows), used, holding))
        self._before = seen
