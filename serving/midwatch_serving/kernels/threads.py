# pyright: basic
# (numba and llvmlite have no types of their own)
"""How the threads of a step meet: every thread runs the whole step on its share of the work, with barriers between.

No thread pool of a compiler's runtime: a step has hundreds of short phases, and a barrier that both threads reach at
about the same time costs a fraction of a microsecond. One that must wait gives its core away soon, since on a busy
machine the other thread may not be running at all.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from midwatch_serving.kernels.emit import I64

SPINS = 400
"""Polls of a barrier before the core is offered to others."""


def _add(_context: Any, _address: Any, _amount: Any) -> Any:
    def generate(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[0], I64.as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "acq_rel")

    return types.int64(types.intp, types.int64), generate


def _read(_context: Any, _address: Any) -> Any:
    def generate(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(values[0], I64.as_pointer()), "acquire", 8)

    return types.int64(types.intp), generate


def _yield(_context: Any) -> Any:
    def generate(context: Any, builder: Any, _s: Any, _values: Any) -> Any:
        function = builder.module.globals.get("sched_yield") or ir.Function(
            builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"
        )
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), generate


fetch_add: Any = intrinsic(_add)
"""Add to the integer at an address, atomically; return what it was."""
fetch: Any = intrinsic(_read)
give_way: Any = intrinsic(_yield)


@njit(nogil=True)
def barrier(address: Any, passed: int, threads: int) -> int:
    """Wait until all `threads` have come here; return `passed`, the number of barriers passed so far, plus one."""
    if threads == 1:
        return passed
    target = (passed + 1) * threads
    if fetch_add(address, 1) + 1 < target:
        spins = 0
        while fetch(address) < target:
            spins += 1
            if spins > SPINS:
                give_way()
    return passed + 1


@njit(nogil=True)
def take(address: Any, size: int, threads: int, least: int) -> tuple[int, int]:
    """Take the next share of `size` items from the counter at `address`: (first, end), empty when none are left."""
    if threads == 1:
        first = fetch_add(address, size)
        return first, (max(first, size))
    share = max(least, size // (threads * 4))
    first = fetch_add(address, share)
    return first, max(first, min(first + share, size))
