"""What this machine does at most: a STREAM-like triad and loops of multiply-adds, by numba.

All threads work at once.  Rates are those of a second of all of them together, from CPU seconds,
the best of a few runs: a machine that others use too shows what its cores can do all the same.
The multiply-adds are in vectors as wide as the machine has them.
"""

import time

import numba
import numpy as np

from emrecon.compiled import share
from emrecon.tomo.kernels.simd import LANES, load, plus, spread, store

_jit = numba.njit(nogil=True, fastmath=True)

LENGTH = 1024
"""Numbers of the loop on the first-level cache: 12 kB in three arrays."""

ROUNDS = 20_000


@_jit
def _triad(begin, end, a, b, c):
    for i in range(begin, end):
        o = np.uint64(i) * np.uint64(1 << 16)
        for k in range(np.uint64(1 << 16)):
            a[o + k] = b[o + k] + np.float32(1.5) * c[o + k]


@_jit
def _registers(begin, end, out):
    """Multiply-adds on numbers in registers, in 8 chains of a vector each."""
    m = np.full(1, 0.999, np.float32)
    for task in range(begin, end):
        x, k = out[task], spread(m, 0)
        a, b, c, d = load(x, 0), load(x, LANES), load(x, 2 * LANES), load(x, 3 * LANES)
        e, f, g, h = load(x, 4 * LANES), load(x, 5 * LANES), load(x, 6 * LANES), load(x, 7 * LANES)
        for _ in range(ROUNDS):
            a, b, c, d = plus(k, a, k), plus(k, b, k), plus(k, c, k), plus(k, d, k)
            e, f, g, h = plus(k, e, k), plus(k, f, k), plus(k, g, k), plus(k, h, k)
        store(x, 0, plus(plus(plus(a, k, b), k, c), k, d))
        store(x, LANES, plus(plus(plus(e, k, f), k, g), k, h))


@_jit
def _cache(begin, end, out, rows):
    """Add four rows at once to another, all in the first-level cache: what projectors do."""
    weights = np.full(4, 0.1, np.float32)
    for task in range(begin, end):
        o, x = out[task], rows[task].reshape(-1)
        a, b, c, d = spread(weights, 0), spread(weights, 1), spread(weights, 2), spread(weights, 3)
        for _ in range(ROUNDS // 10):
            for k in range(0, o.size, LANES):
                one = plus(plus(load(o, k), a, load(x, k)), b, load(x, k + o.size))
                one = plus(plus(one, c, load(x, k + 2 * o.size)), d, load(x, k + 3 * o.size))
                store(o, k, one)


def best(work, repeats=5):
    """Return the least CPU seconds a thread of some runs, after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken) / numba.get_num_threads()


def bytes_per_second():
    """Return the rate of a triad over arrays that fit no cache: three numbers a step."""
    pieces = 1024
    a, b, c = (np.ones(pieces << 16, np.float32) for _ in range(3))
    return 12 * a.size / best(lambda: share(_triad, pieces, a, b, c))


def multiply_adds_per_second():
    """Return the rate of multiply-adds, in registers and from the first-level cache."""
    tasks = 16 * numba.get_num_threads()
    out = np.ones((tasks, 128), np.float32)
    registers = tasks * 8 * LANES * ROUNDS / best(lambda: share(_registers, tasks, out))
    out, rows = np.ones((tasks, 128), np.float32), np.ones((tasks, 4, 128), np.float32)
    cache = tasks * 4 * 128 * (ROUNDS // 10) / best(lambda: share(_cache, tasks, out, rows))
    return registers, cache
