# pyright: basic
# (numba and llvmlite have no types of their own)
"""What this machine's CPU can do for the kernels."""

import ctypes
import platform
import sys

from llvmlite import binding

KERNELS = ("amx", "vnni", "portable")
"""Best first."""
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18
"""Linux on x86-64: a process must ask for AMX's tile registers (Documentation/arch/x86/xstate.rst)."""


def available() -> tuple[str, ...]:
    """Return the kernels that run here, best first. Asks the system for AMX's registers where the CPU has them."""
    features = binding.get_host_cpu_features()
    found: list[str] = []
    if _has(features, "avx512vnni", "avx512f", "avx512bw", "avx512vl"):
        if _has(features, "amx-int8", "amx-tile", "amx-bf16") and _amx_permitted():
            found.append("amx")
        found.append("vnni")
    if _has(features, "f16c", "fma") or platform.machine().lower() in {"aarch64", "arm64"}:
        found.append("portable")
    return tuple(found)


def _has(features: dict[str, bool], *names: str) -> bool:
    return all(features.get(name, False) for name in names)


def _amx_permitted() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return ctypes.CDLL(None, use_errno=True).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0
