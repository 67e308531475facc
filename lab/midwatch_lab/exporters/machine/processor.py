"""CPUs, load, kernel counters and identity. Source of the fields: proc(5)."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from midwatch_lab.exporters.family import Family, Point

_MODES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_STAT: Final = {
    "node_context_switches_total": ("ctxt", "Context switches"),
    "node_forks_total": ("processes", "Processes that were begun"),
    "node_intr_total": ("intr", "Interrupts"),
}
_NOW: Final = {
    "node_procs_running": ("procs_running", "Processes that can run"),
    "node_procs_blocked": ("procs_blocked", "Processes that wait for a device"),
    "node_boot_time_seconds": ("btime", "When the machine began, in Unix seconds"),
}
_VMSTAT: Final = {
    "node_vmstat_pgfault": "pgfault",
    "node_vmstat_pgmajfault": "pgmajfault",
    "node_vmstat_oom_kill": "oom_kill",
}


def fields(path: Path) -> dict[str, str]:
    """Return a page of lines `NAME VALUE…` by name."""
    return dict(line.split(None, 1) for line in path.read_text("ascii", "replace").splitlines() if " " in line)


def _cpus(proc: Path) -> Iterator[Point]:
    ticks = os.sysconf("SC_CLK_TCK")
    for name, rest in fields(proc / "stat").items():
        if name.startswith("cpu") and name != "cpu":
            for mode, value in zip(_MODES, rest.split(), strict=False):
                yield {"cpu": name.removeprefix("cpu"), "mode": mode}, int(value) / ticks


class _Stat:
    """One line of `/proc/stat` or `/proc/vmstat`."""

    def __init__(self, page: str, name: str) -> None:
        self.page, self.name = page, name

    def __call__(self, proc: Path) -> Iterable[Point]:
        found = fields(proc / self.page).get(self.name)
        return () if found is None else (({}, float(found.split()[0])),)


class _Load:
    """One of the three load averages."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __call__(self, proc: Path) -> Iterable[Point]:
        return (({}, float((proc / "loadavg").read_text("ascii").split()[self.place])),)


class _Single:
    """A number in a file of its own, one of several in its line."""

    def __init__(self, path: str, place: int = 0) -> None:
        self.path, self.place = path, place

    def __call__(self, proc: Path) -> Iterable[Point]:
        found = proc / self.path
        return (({}, float(found.read_text("ascii").split()[self.place])),) if found.exists() else ()


def _uname(proc: Path) -> Iterable[Point]:
    said = os.uname()
    domain = (proc / "sys/kernel/domainname").read_text("ascii").strip()
    labels = {"sysname": said.sysname, "release": said.release, "version": said.version, "machine": said.machine}
    yield {**labels, "nodename": said.nodename, "domainname": domain}, 1.0


PROCESSOR_FAMILIES: Final = (
    Family("node_cpu_seconds_total", "CPU time by what it was spent on", _cpus, ("cpu", "mode"), "counter"),
    Family("node_load1", "Load over a minute", _Load(0)),
    Family("node_load5", "Load over five minutes", _Load(1)),
    Family("node_load15", "Load over a quarter of an hour", _Load(2)),
    *(Family(name, text, _Stat("stat", line), (), "counter") for name, (line, text) in _STAT.items()),
    *(Family(name, text, _Stat("stat", line)) for name, (line, text) in _NOW.items()),
    *(
        Family(name, f"`{line}` of /proc/vmstat", _Stat("vmstat", line), (), "unknown")
        for name, line in _VMSTAT.items()
    ),
    Family("node_filefd_allocated", "Open files", _Single("sys/fs/file-nr")),
    Family("node_filefd_maximum", "How many files may be open", _Single("sys/fs/file-nr", 2)),
    Family(
        "node_nf_conntrack_entries", "Connections that are tracked", _Single("sys/net/netfilter/nf_conntrack_count")
    ),
    Family(
        "node_nf_conntrack_entries_limit",
        "How many connections may be tracked",
        _Single("sys/net/netfilter/nf_conntrack_max"),
    ),
    Family(
        "node_uname_info",
        "The kernel and the machine's name",
        _uname,
        ("sysname", "release", "version", "machine", "nodename", "domainname"),
    ),
)
