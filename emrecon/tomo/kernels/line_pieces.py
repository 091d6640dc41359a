"""Pieces of lines, eight samples at once: their sum, and its transpose.

Written in the compiler's own vectors, as its vectoriser makes four samples at once of the same
loop, or one; a machine without such vectors takes them apart. A sample reads two voxels that lie
side by side in a row, and two in the next row: two loads, not four.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped] # has no type hints
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["add_piece", "add_timed_piece", "prefetch", "sum_piece", "sum_timed_piece"]

_WIDE = 8
_BIT, _INT, _LONG, _FLOAT = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
_BITS, _INTS, _LONGS, _FLOATS = (ir.VectorType(k, _WIDE) for k in (_BIT, _INT, _LONG, _FLOAT))
_POINTERS, _TWO = ir.VectorType(ir.PointerType(), _WIDE), ir.VectorType(_FLOAT, 2)
_LOOSE = ("nnan", "ninf", "nsz", "contract")


class _Lanes:
    """Eight numbers in the program that is being written."""

    def __init__(self, builder, value):
        if not isinstance(value.type, ir.VectorType):  # the same number eight times
            none = ir.Constant(ir.VectorType(value.type, _WIDE), None)
            one = builder.insert_element(none, value, _INT(0))
            value = builder.shuffle_vector(one, one, _chosen([0] * _WIDE))
        self.builder, self.value = builder, value

    def __add__(self, other):
        return self._with(other, "add")

    def __sub__(self, other):
        return self._with(other, "sub")

    def __mul__(self, other):
        return self._with(other, "mul")

    def _with(self, other, name):
        loose = {"flags": _LOOSE} if self.value.type == _FLOATS else {}
        work = getattr(self.builder, ("f" if loose else "") + name)
        return _Lanes(self.builder, work(self.value, other.value, **loose))

    def whole(self):
        """Return the whole parts, as whole numbers."""
        return _Lanes(self.builder, self.builder.fptosi(self.value, _INTS))

    def real(self):
        """Return whole numbers as fractions."""
        return _Lanes(self.builder, self.builder.sitofp(self.value, _FLOATS))

    def where(self, some):
        """Return 0 but for some."""
        none = ir.Constant(self.value.type, None)
        return _Lanes(self.builder, self.builder.select(some, self.value, none))


def _chosen(places):
    return ir.Constant(ir.VectorType(_INT, len(places)), places)


def _call(builder, name, kind, *args):
    function = ir.FunctionType(kind, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)


def _pairs(builder, array, place, some):
    """Return the numbers at some places of an array, and the ones behind, by one load each."""
    far = _Lanes(builder, builder.sext(place.value, _LONGS)) * _Lanes(builder, _LONG(4))
    far += _Lanes(builder, builder.ptrtoint(array, _LONG))
    operands = builder.inttoptr(far.value, _POINTERS), _INT(4), some, ir.Constant(_LONGS, None)
    both = _call(builder, "llvm.masked.gather.v8i64.v8p0", _LONGS, *operands)
    both = builder.bitcast(both, ir.VectorType(_FLOAT, 2 * _WIDE))
    halves = (_chosen(list(range(first, 2 * _WIDE, 2))) for first in (0, 1))
    return [_Lanes(builder, builder.shuffle_vector(both, both, half)) for half in halves]


class _Piece:
    """What is handed to the functions below: see `sum_piece`."""

    def __init__(self, context, builder, signature, args, timed):
        pixels = context.make_array(signature.args[0])(context, builder, args[0]).data
        base, layer, self.width = cgutils.unpack_tuple(builder, args[1])
        self.builder, self.near = builder, builder.gep(pixels, [base])
        self.far = builder.gep(self.near, [self.width])
        self.steps = [_Lanes(builder, builder.trunc(step, _INT)) for step in (layer, self.width)]
        self.course = [
            _Lanes(builder, number) for number in cgutils.unpack_tuple(builder, args[2])
        ]
        self.many, self.value = args[3], args[4]
        self.table: Any = None
        if timed:
            table = context.make_array(signature.args[5])(context, builder, args[5])
            last = builder.trunc(builder.sub(table.nitems, table.nitems.type(2)), _INT)
            self.table = table.data, _Lanes(builder, last)

    def samples(self):
        """Yield once, in a loop: places, weights across and in time, and which there are."""
        a, da, b, db, q, dq = self.course
        builder, (layer, width) = self.builder, self.steps
        many = _Lanes(builder, self.many)
        with cgutils.for_range_slice(builder, _INT(0), self.many, _INT(_WIDE), _INT) as (k, _):
            count = _Lanes(builder, k) + _Lanes(builder, _chosen(list(range(_WIDE))))
            inside = builder.icmp_signed("<", count.value, many.value)
            t = count.real()
            fa, fb = a + t * da, b + t * db
            ia, ib = fa.whole(), fb.whole()
            place = count * layer + ia * width + ib
            share = None if self.table is None else self._share(q + t * dq)
            yield place, fa - ia.real(), fb - ib.real(), share, inside

    def _share(self, q):
        """Return the entries of the table at whole places and in between."""
        table, last = self.table
        q = _Lanes(self.builder, _call(self.builder, "llvm.fabs.v8f32", _FLOATS, q.value))
        i = _call(self.builder, "llvm.smin.v8i32", _INTS, q.whole().value, last.value)
        i = _Lanes(self.builder, i)
        low, high = _pairs(self.builder, table, i, ir.Constant(_BITS, [1] * _WIDE))
        return low + (q - i.real()) * (high - low)

    def sum(self):
        """Return the sum of the samples, times the value."""
        builder = self.builder
        total = cgutils.alloca_once_value(builder, ir.Constant(_FLOATS, None))
        for place, wa, wb, share, inside in self.samples():
            one, two = _pairs(builder, self.near, place, inside)
            near = one + wb * (two - one)
            one, two = _pairs(builder, self.far, place, inside)
            far = one + wb * (two - one)
            more = near + wa * (far - near)
            more = more if share is None else more * share
            builder.store((_Lanes(builder, builder.load(total)) + more).value, total)
        rest = builder.load(total)
        for half in (4, 2, 1):
            other = _chosen([n ^ half for n in range(_WIDE)])
            rest = builder.fadd(rest, builder.shuffle_vector(rest, rest, other), flags=_LOOSE)
        return builder.fmul(builder.extract_element(rest, _INT(0)), self.value, flags=_LOOSE)

    def add(self):
        """Add the value times the weights of each sample to its voxels."""
        builder = self.builder
        for place, wa, wb, share, inside in self.samples():
            each = _Lanes(builder, self.value)
            each = (each if share is None else each * share).where(inside)
            far = each * wa
            near = each - far
            parts = _by_sample(builder, (near - near * wb, near * wb, far - far * wb, far * wb))
            places = place.where(inside).value
            for n, lanes in enumerate(parts):
                at = builder.sext(builder.extract_element(places, _INT(n)), _LONG)
                self._add(at, lanes)

    def _add(self, at, lanes):
        """Add four numbers to the voxels of a sample."""
        builder = self.builder
        rows = [builder.gep(row, [at]) for row in (self.near, self.far)]
        rows = [builder.bitcast(row, _TWO.as_pointer()) for row in rows]
        four = builder.shuffle_vector(
            *(builder.load(row, align=4) for row in rows), _chosen([0, 1, 2, 3])
        )
        four = builder.fadd(four, lanes)
        for row, half in zip(rows, ([0, 1], [2, 3]), strict=True):
            builder.store(builder.shuffle_vector(four, four, _chosen(half)), row, align=4)


def _by_sample(builder, corners):
    """Return four numbers for each sample, of eight for each of four neighbours."""
    mixed = _chosen([n for k in range(_WIDE) for n in (k, k + _WIDE)])
    near, far = (
        builder.shuffle_vector(one.value, two.value, mixed)
        for one, two in (corners[:2], corners[2:])
    )
    for k in range(0, 2 * _WIDE, 2):
        yield builder.shuffle_vector(near, far, _chosen([k, k + 1, k + 16, k + 17]))


def _sum_of(timed):
    def typed(_, pixels, start, course, many, value, table):
        def code(context, builder, signature, args):
            return _Piece(context, builder, signature, args, timed).sum()

        return types.float32(pixels, start, course, many, value, table), code

    return typed


def _add_of(timed):
    def typed(_, pixels, start, course, many, value, table):
        def code(context, builder, signature, args):
            _Piece(context, builder, signature, args, timed).add()
            return context.get_dummy_value()

        return types.none(pixels, start, course, many, value, table), code

    return typed


def _prefetched(_, array, place):
    """Ask for a number of a contiguous float32 array, which is wanted soon."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        wanted = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), wanted, _INT(0), _INT(3), _INT(1))
        return context.get_dummy_value()

    return types.none(array, place), code


# All take: the voxels; where the first layer of the piece begins in them, and voxels from layer to
# layer and from row to row (int64); places a and b across the axis at the first layer and place in
# the table, each followed by what it gains a layer (float32); layers (int32); a value (float32);
# and the table of time-of-flight weights, which `timed` ones use.
sum_piece: Any = intrinsic(_sum_of(timed=False))
sum_timed_piece: Any = intrinsic(_sum_of(timed=True))
add_piece: Any = intrinsic(_add_of(timed=False))
add_timed_piece: Any = intrinsic(_add_of(timed=True))
prefetch: Any = intrinsic(_prefetched)
