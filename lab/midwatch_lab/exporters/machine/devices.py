"""Disks, file systems and network interfaces. Which are left out is what node_exporter leaves out by itself."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from midwatch_lab.exporters.family import Family, Point

_SECTOR: Final = 512
_MILLI: Final = 1000
_NO_DISK: Final = re.compile(r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+")
_DISK: Final = {
    "node_disk_reads_completed_total": (0, 1, "Reads"),
    "node_disk_read_bytes_total": (2, _SECTOR, "Bytes read"),
    "node_disk_read_time_seconds_total": (3, 1 / _MILLI, "Seconds spent in reads"),
    "node_disk_writes_completed_total": (4, 1, "Writes"),
    "node_disk_written_bytes_total": (6, _SECTOR, "Bytes written"),
    "node_disk_write_time_seconds_total": (7, 1 / _MILLI, "Seconds spent in writes"),
    "node_disk_io_time_seconds_total": (9, 1 / _MILLI, "Seconds in which the disk was busy"),
    "node_disk_io_time_weighted_seconds_total": (10, 1 / _MILLI, "Seconds that all requests took together"),
}
"""By name: the field of `/proc/diskstats` after the device, its unit, and what it is."""
_NO_TYPE: Final = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "fusectl",
    "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc", "procfs", "pstore", "rpc_pipefs", "securityfs",
    "selinuxfs", "squashfs", "erofs", "sysfs", "tracefs",
})  # fmt: skip
_REMOTE: Final = re.compile(r"nfs.*|cifs|smb.*|fuse\..*|9p|afs|ceph")
"""Left out here beside them: the lab would stand still while a server of these does."""
_NO_MOUNT: Final = re.compile(
    r"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
_NETWORK: Final = {
    "receive_bytes": (0, "Bytes received"),
    "receive_packets": (1, "Packets received"),
    "receive_errs": (2, "Packets that came in broken"),
    "receive_drop": (3, "Packets that came in and were dropped"),
    "transmit_bytes": (8, "Bytes sent"),
    "transmit_packets": (9, "Packets sent"),
    "transmit_errs": (10, "Packets that could not be sent"),
    "transmit_drop": (11, "Packets that were dropped before they were sent"),
}


class _Disk:
    def __init__(self, place: int, unit: float) -> None:
        self.place, self.unit = place, unit

    def __call__(self, proc: Path) -> Iterator[Point]:
        for line in (proc / "diskstats").read_text("ascii").splitlines():
            _, _, device, *rest = line.split()
            if not _NO_DISK.fullmatch(device):
                yield {"device": device}, int(rest[self.place]) * self.unit


class _FileSystem:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, proc: Path) -> Iterator[Point]:
        seen: set[tuple[str, str]] = set()
        for line in (proc / "self/mounts").read_text("utf-8", "replace").splitlines():
            device, mount, kind, options, *_ = line.split()
            mount = mount.replace("\\040", " ").replace("\\011", "\t")
            left = kind in _NO_TYPE or _REMOTE.fullmatch(kind) or _NO_MOUNT.match(mount) or (device, mount) in seen
            if left:
                continue
            seen.add((device, mount))
            with suppress(OSError):
                found = os.statvfs(mount)
                values = {
                    "size_bytes": found.f_blocks * found.f_frsize,
                    "free_bytes": found.f_bfree * found.f_frsize,
                    "avail_bytes": found.f_bavail * found.f_frsize,
                    "files": found.f_files,
                    "files_free": found.f_ffree,
                    "readonly": int("ro" in options.split(",")),
                }
                yield {"device": device, "fstype": kind, "mountpoint": mount}, float(values[self.name])


class _Network:
    def __init__(self, place: int) -> None:
        self.place = place

    def __call__(self, proc: Path) -> Iterator[Point]:
        for line in (proc / "net/dev").read_text("ascii").splitlines()[2:]:
            device, _, rest = line.partition(":")
            yield {"device": device.strip()}, float(rest.split()[self.place])


def _up(proc: Path) -> Iterator[Point]:
    interfaces = proc.parent / "sys/class/net"
    if interfaces.is_dir():
        for place in sorted(interfaces.iterdir()):
            with suppress(OSError):
                yield {"device": place.name}, float((place / "operstate").read_text("ascii").strip() == "up")


_PLACE: Final = ("device", "fstype", "mountpoint")
DEVICE_FAMILIES: Final = (
    *(Family(name, text, _Disk(at, unit), ("device",), "counter") for name, (at, unit, text) in _DISK.items()),
    Family("node_filesystem_size_bytes", "Size", _FileSystem("size_bytes"), _PLACE),
    Family("node_filesystem_free_bytes", "Room that is free", _FileSystem("free_bytes"), _PLACE),
    Family("node_filesystem_avail_bytes", "Room that is free for everybody", _FileSystem("avail_bytes"), _PLACE),
    Family("node_filesystem_files", "How many files there may be", _FileSystem("files"), _PLACE),
    Family("node_filesystem_files_free", "How many more files there may be", _FileSystem("files_free"), _PLACE),
    Family("node_filesystem_readonly", "1 where nothing can be written", _FileSystem("readonly"), _PLACE),
    *(
        Family(f"node_network_{name}_total", text, _Network(at), ("device",), "counter")
        for name, (at, text) in _NETWORK.items()
    ),
    Family("node_network_up", "1 for an interface that is up", _up, ("device",)),
)
