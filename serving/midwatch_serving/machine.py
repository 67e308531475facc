"""What this machine is, in a few words for a file of measurements."""

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def machine() -> str:
    """Return the processor and its cores, such as `AMD EPYC 9R45, 2 cores`."""
    name = platform.processor() or platform.machine()
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text("utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
                break
    return f"{name}, {os.cpu_count()} cores"
