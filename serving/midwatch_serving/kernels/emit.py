# pyright: basic
# (numba and llvmlite have no types of their own)
"""LLVM IR from Python: the few instructions of which the micro-kernels are made, as numba intrinsics.

numba compiles loops over arrays well and register tiles badly, so the innermost tiles are written as IR: vectors of 16
floats, which LLVM splits where registers are narrower. Everything here is typed loosely on purpose: llvmlite has no
types of its own.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
LANES = 16
VF, VI, V16, V8, V64 = (
    ir.VectorType(F32, LANES),
    ir.VectorType(I32, LANES),
    ir.VectorType(I16, LANES),
    ir.VectorType(I8, LANES),
    ir.VectorType(I8, 4 * LANES),
)
BYTES = I8.as_pointer()
HALF = ir.HalfType()
VH = ir.VectorType(HALF, LANES)
_FIRST = ir.Constant(VI, [0] * LANES)


def i64(value: int) -> Any:
    """Return a constant."""
    return ir.Constant(I64, value)


class Emit:
    """A builder with the vocabulary of the micro-kernels. Offsets are bytes."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    def at(self, pointer: Any, offset: Any, kind: Any) -> Any:
        """Return the address `pointer + offset` as a pointer to `kind`."""
        return self.b.inttoptr(self.b.add(pointer, offset), kind.as_pointer())

    def load(self, pointer: Any, offset: Any, kind: Any) -> Any:
        """Load a `kind` from any alignment of four bytes (less, for bytes and halves)."""
        value = self.b.load(self.at(pointer, offset, kind))
        value.align = 1 if kind in (V8, V64) else 2 if kind is VH else 4
        return value

    def short(self, pointer: Any, offset: Any) -> Any:
        """Load 16 integers of 16 bits, sign and all, as integers of 32."""
        value = self.b.load(self.at(pointer, offset, V16))
        value.align = 2
        return self.b.sext(value, VI)

    def bfloats(self, pointer: Any, offset: Any) -> Any:
        """Load 16 bfloat16 as floats."""
        return self.b.bitcast(self.b.shl(self.short(pointer, offset), ir.Constant(VI, [16] * LANES)), VF)

    def store(self, value: Any, pointer: Any, offset: Any, kind: Any) -> None:
        """Store a `kind` at any alignment of four bytes."""
        self.b.store(value, self.at(pointer, offset, kind)).align = 4

    def store_small(self, value: Any, pointer: Any, offset: Any, kind: Any) -> None:
        """Store bytes or halves at any alignment of two bytes (one, for bytes)."""
        self.b.store(value, self.at(pointer, offset, kind)).align = 2 if kind in (HALF, VH) else 1

    def prefetch(self, pointer: Any, offset: Any, *, near: bool = True) -> None:
        """Ask for the cache line at `pointer + offset`, into the nearest cache or the second; no matter where it is."""
        numbers = [ir.Constant(I32, n) for n in (0, 3 if near else 2, 1)]  # to read, how near, data
        self.call("llvm.prefetch.p0", ir.VoidType(), [self.b.inttoptr(self.b.add(pointer, offset), BYTES), *numbers])

    def splat(self, value: Any, kind: Any) -> Any:
        """Return the vector `kind` that holds `value` in every lane."""
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _FIRST)

    def call(self, name: str, returns: Any, arguments: list[Any]) -> Any:
        """Call an LLVM intrinsic by its name."""
        kind = ir.FunctionType(returns, [a.type for a in arguments])
        function = self.b.module.globals.get(name) or ir.Function(self.b.module, kind, name)
        return self.b.call(function, arguments)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once."""
        return self.call("llvm.fma.v16f32", VF, [a, b, c])

    def most(self, a: Any, b: Any) -> Any:
        """Return the greater of two floats or vectors; neither may be a NaN."""
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def fold(self, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """Combine the 16 lanes, halves first: always in the same order."""
        half = LANES // 2
        while half:
            lanes = ir.Constant(VI, [(lane + half) % LANES for lane in range(LANES)])
            vector = combine(vector, self.b.shuffle_vector(vector, vector, lanes))
            half //= 2
        return self.b.extract_element(vector, ir.Constant(I32, 0))

    def floats(self, value: float) -> Any:
        """Return a vector constant."""
        return ir.Constant(VF, [float(np.float32(value))] * LANES)

    def accumulators(self, count: int, kind: Any, start: Any) -> list[Any]:
        """Return `count` variables of `kind` that LLVM keeps in registers."""
        variables = [cgutils.alloca_once(self.b, kind) for _ in range(count)]
        for variable in variables:
            self.b.store(start, variable)
        return variables

    def loop(self, count: Any) -> Any:
        """Return the context of a loop from 0 to `count`."""
        return cgutils.for_range(self.b, count, intp=I64)


def kernel(kinds: str, emit: Callable[..., Any], *, returns: bool = False) -> Any:
    """Return a numba function whose body `emit(Emit, *values)` writes.

    `kinds` has a letter an argument: `i` for an address or a count, `f` for a float. With `returns`, the float that
    `emit` gives back is returned.
    """
    arguments = [types.float32 if kind == "f" else types.intp for kind in kinds]

    def typing(_context: Any, *_kinds: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            result = emit(Emit(builder), *values)
            return result if returns else context.get_dummy_value()

        return (types.float32 if returns else types.void)(*arguments), generate

    names = ["context", *(f"a{i}" for i in range(len(kinds)))]
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # numba takes an intrinsic's arity from its signature
    typing.__signature__ = inspect.Signature([inspect.Parameter(n, positional) for n in names])  # pyright: ignore[reportFunctionMemberAccess]
    return intrinsic(typing)


def is_a(kind: Any, named_tuple: type[Any]) -> bool:
    """Say whether a numba type is that of a named tuple."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is named_tuple


def _address(_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(array), generate


address: Any = intrinsic(_address)
"""Return the address of an array's first element."""
