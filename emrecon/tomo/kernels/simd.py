"""Sixteen numbers as one value of compiled code, for sums that are to stay in registers.

A loop over the numbers of a short row, as numba compiles it, loads and stores its sums at every
pass, and takes the last few numbers one by one.  Written with vectors, some rows' sums are local
variables, and stay in registers for as long as something is added to them.  A processor with
narrower registers takes a vector in parts, with the same result.  A wide vector has four times as
many numbers, so that a step's own cost is shared by more of them.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped] # has no type hints
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from emrecon.tomo.kernels.axial_tables import LANES, WIDE

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

    def at(self, context, builder, signature, args):
        """Point at the vector that begins at a place of a flat array."""
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.bitcast(builder.gep(data, [args[1]]), self.floats.as_pointer())

    def masked(self, builder, what, result, *args):
        """Call one of LLVM's loads and stores of some numbers of a vector."""
        kind = f"v{self.floats.count}f32"
        called = ir.FunctionType(result, [arg.type for arg in args])
        name = f"llvm.masked.{what}.{kind}.p0{kind}"
        return builder.call(get_or_insert_function(builder.module, called, name), args)


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
    """Take the numbers of a flat array from `at` on: sixteen, or as many as `like` has."""
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
        at, mask = like.at(context, builder, signature, args), like.first(builder, args[2])
        rest = (ir.IntType(32)(4), mask, like.zeros)
        return like.masked(builder, "load", like.floats, at, *rest)

    return like(array, types.intp, types.int32, like), code


@_intrinsic
def store_some(typing, array, at, count, vector):
    """Put the first `count` numbers of a vector into a flat array, from `at` on."""

    def code(context, builder, signature, args):
        at, mask = vector.at(context, builder, signature, args), vector.first(builder, args[2])
        vector.masked(builder, "store", ir.VoidType(), args[3], at, ir.IntType(32)(4), mask)
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
    """Return sixteen zeros."""
    return _vector(), lambda context, builder, signature, args: _vector.zeros


@_intrinsic
def wide(typing):
    """Return as many zeros as a wide vector has."""
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
