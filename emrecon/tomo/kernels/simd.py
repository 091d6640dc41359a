"""Some numbers as one value of compiled code, for sums that are to stay in registers.

A loop over the numbers of a short row, as numba compiles it, loads and stores its sums at every
pass, and takes the last few numbers one by one.  Written with vectors, some rows' sums are local
variables, and stay in registers for as long as something is added to them.  A processor with
narrower registers takes a vector in parts, with the same result.  A wide vector has four times as
many numbers, so that a step's own cost is shared by more of them.

How many numbers a vector has follows from what numba keys its cache of kernels by: the processor
that it compiles for, NUMBA_CPU_NAME and NUMBA_CPU_FEATURES included.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped] # has no type hints
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.registry import cpu_target
from numba.extending import intrinsic, register_model

AVX512 = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]
"""Whether kernels are compiled for registers of 64 bytes, and 32 of them."""

LANES = 16 if AVX512 else 8
"""Numbers in a vector: two of NEON's registers, one of AVX2's or of AVX-512's."""

WIDE = 4 * LANES
"""Numbers in a wide vector."""

_intrinsic: Any = intrinsic  # who calls it leaves out the first argument


class _Vector(types.Type):
    def __init__(self, lanes):
        super().__init__(name=f"Vector{lanes}")
        self.floats = ir.VectorType(ir.FloatType(), lanes)
        self.indices = ir.VectorType(ir.IntType(32), lanes)
        self.zeros = ir.Constant(self.floats, [0.0] * lanes)

    def all(self, builder, value):
        """Put one number into all places, of a vector of its own kind."""
        none = ir.Constant(ir.VectorType(value.type, self.floats.count), ir.Undefined)
        one = builder.insert_element(none, value, ir.IntType(32)(0))
        return builder.shuffle_vector(one, none, ir.Constant(self.indices, None))

    def first(self, builder, count):
        """Tell the first `count` places from the others."""
        places = ir.Constant(self.indices, list(range(self.floats.count)))
        return builder.icmp_signed("<", places, self.all(builder, count))

    def is_full(self, builder, count):
        """Tell whether `count` fills a vector: masked stores are slow, but for AVX-512's."""
        return builder.icmp_signed(">=", count, ir.IntType(32)(self.floats.count))

    def at(self, context, builder, signature, args):
        """Point at the vector that begins at a place of a flat array."""
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.bitcast(builder.gep(data, [args[1]]), self.floats.as_pointer())

    def masked(self, builder, what, result, *args):
        """Call one of LLVM's loads and stores of some numbers of a vector."""
        kind = f"v{self.floats.count}f32"
        called = ir.FunctionType(result, [arg.type for arg in args])
        name = f"llvm.masked.{what}.{kind}.p0{kind}"
        return builder.call(cgutils.get_or_insert_function(builder.module, called, name), args)


_vector, _wide = _Vector(LANES), _Vector(WIDE)


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.floats)


def _like(like):
    """Return the kind of vector that an argument asks for, and the argument's type."""
    return (_vector, types.none) if like is None else (like, like)


@_intrinsic
def load(typing, array, at, like=None):
    """Take the numbers of a flat array from `at` on: LANES, or as many as `like` has."""
    kind, like = _like(like)

    def code(context, builder, signature, args):
        return builder.load(kind.at(context, builder, signature, args), align=4)

    return kind(array, types.intp, like), code


@_intrinsic
def store(typing, array, at, vector):
    """Put the numbers of a vector into a flat array, from `at` on."""

    def code(context, builder, signature, args):
        builder.store(args[2], vector.at(context, builder, signature, args), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@_intrinsic
def load_some(typing, array, at, count, like):
    """Take the first `count` numbers of a vector from `at` on, and zeros behind them."""

    def code(context, builder, signature, args):
        at, taken = (
            like.at(context, builder, signature, args),
            cgutils.alloca_once(builder, like.floats),
        )
        with builder.if_else(like.is_full(builder, args[2])) as (full, partial):
            with full:
                builder.store(builder.load(at, align=4), taken)
            with partial:
                rest = (ir.IntType(32)(4), like.first(builder, args[2]), like.zeros)
                builder.store(like.masked(builder, "load", like.floats, at, *rest), taken)
        return builder.load(taken)

    return like(array, types.intp, types.int32, like), code


@_intrinsic
def store_some(typing, array, at, count, vector):
    """Put the first `count` numbers of a vector into a flat array, from `at` on."""

    def code(context, builder, signature, args):
        at = vector.at(context, builder, signature, args)
        with builder.if_else(vector.is_full(builder, args[2])) as (full, partial):
            with full:
                builder.store(args[3], at, align=4)
            with partial:
                rest = (ir.IntType(32)(4), vector.first(builder, args[2]))
                vector.masked(builder, "store", ir.VoidType(), args[3], at, *rest)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int32, vector), code


@_intrinsic
def spread(typing, array, at, like=None):
    """Take the number of a flat array at `at` as often as a vector has numbers."""
    kind, like = _like(like)

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return kind.all(builder, builder.load(builder.gep(data, [args[1]])))

    return kind(array, types.intp, like), code


@_intrinsic
def nothing(typing):
    """Return a vector of zeros."""
    return _vector(), lambda context, builder, signature, args: _vector.zeros


@_intrinsic
def wide(typing):
    """Return a wide vector of zeros."""
    return _wide(), lambda context, builder, signature, args: _wide.zeros


@_intrinsic
def add(typing, one, other):
    """Return the sums."""

    def code(context, builder, signature, args):
        return builder.fadd(*args, flags=["contract"])

    return one(one, one), code


@_intrinsic
def times(typing, one, other):
    """Return the products."""

    def code(context, builder, signature, args):
        return builder.fmul(*args, flags=["contract"])

    return one(one, one), code


@_intrinsic
def plus(typing, sums, one, other):
    """Return the sums with the products added, by multiply-adds where there are any."""

    def code(context, builder, signature, args):
        product = builder.fmul(args[1], args[2], flags=["contract"])
        return builder.fadd(args[0], product, flags=["contract"])

    return sums(sums, sums, sums), code


@_intrinsic
def leading(typing, vector, count):
    """Return the first `count` numbers, and zeros behind them."""

    def code(context, builder, signature, args):
        return builder.select(vector.first(builder, args[1]), args[0], vector.zeros)

    return vector(vector, types.int32), code
