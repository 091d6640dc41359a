"""Sixteen numbers as one value of compiled code, for sums that are to stay in registers.

A loop over the numbers of a short row, as numba compiles it, loads and stores its sums at every
pass, and takes the last few numbers one by one.  Written with vectors, some rows' sums are local
variables, and stay in registers for as long as something is added to them.  A processor with
narrower registers takes a vector in parts, with the same result.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from emrecon.tomo.kernels.axial_tables import LANES

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INDICES = ir.VectorType(ir.IntType(32), LANES)

_intrinsic: Any = intrinsic  # who calls it leaves out the first argument


class _Vector(types.Type):
    def __init__(self):
        super().__init__(name=f"Vector{LANES}")


_vector = _Vector()


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLOATS)


def _at(context, builder, signature, args):
    """Point at the vector that begins at a place of a flat array."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), _FLOATS.as_pointer())


def _all(builder, value, kind):
    """Put one number into all places of a vector."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(_INDICES, None)
    )


@_intrinsic
def load(typing, array, at):
    """Take the sixteen numbers of a flat array from `at` on."""

    def code(context, builder, signature, args):
        return builder.load(_at(context, builder, signature, args), align=4)

    return _vector(array, types.intp), code


@_intrinsic
def store(typing, array, at, vector):
    """Put sixteen numbers into a flat array, from `at` on."""

    def code(context, builder, signature, args):
        builder.store(args[2], _at(context, builder, signature, args), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), code


@_intrinsic
def spread(typing, array, at):
    """Take sixteen times the number of a flat array at `at`."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _all(builder, builder.load(builder.gep(data, [args[1]])), _FLOATS)

    return _vector(array, types.intp), code


@_intrinsic
def nothing(typing):
    """Return sixteen zeros."""

    def code(context, builder, signature, args):
        return ir.Constant(_FLOATS, [0.0] * LANES)

    return _vector(), code


@_intrinsic
def times(typing, one, other):
    """Return the products."""

    def code(context, builder, signature, args):
        return builder.fmul(*args, flags=["contract"])

    return _vector(_vector, _vector), code


@_intrinsic
def plus(typing, sums, one, other):
    """Return the sums with the products added, by multiply-adds where there are any."""

    def code(context, builder, signature, args):
        product = builder.fmul(args[1], args[2], flags=["contract"])
        return builder.fadd(args[0], product, flags=["contract"])

    return _vector(_vector, _vector, _vector), code


@_intrinsic
def leading(typing, vector, count):
    """Return the first `count` numbers, and zeros behind them."""

    def code(context, builder, signature, args):
        places = ir.Constant(_INDICES, list(range(LANES)))
        mask = builder.icmp_signed("<", places, _all(builder, args[1], _INDICES))
        return builder.select(mask, args[0], ir.Constant(_FLOATS, [0.0] * LANES))

    return _vector(_vector, types.int32), code
