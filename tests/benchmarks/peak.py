"""What this machine does at most: a STREAM-like triad and loops of multiply-adds, by numba.

All threads work at once.  Rates are those of a second of all of them together, from CPU seconds,
the best of a few runs: a machine that others use too shows what its cores can do all the same.
"""

import time

import numba
import numpy as np

from emrecon.tomo.kernels.share import share

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
    """Multiply-adds on numbers in registers, in 8 chains of 16 numbers each."""
    for task in range(begin, end):
        x = out[task]
        m, s = np.float32(0.999), np.float32(1e-3)
        for k in range(0, x.size, 128):
            o = np.uint64(k)
            part = x[o : o + np.uint64(128)]
            for _ in range(ROUNDS):
                for i in range(128):
                    part[i] = part[i] * m + s


@_jit
def _cache(begin, end, out, rows):
    """Add four rows at once to another, all in the first-level cache: what projectors do."""
    for task in range(begin, end):
        o, x = out[task], rows[task]
        for _ in range(ROUNDS // 10):
            a, b, c, d = np.float32(0.1), np.float32(0.2), np.float32(-0.1), np.float32(-0.2)
            for k in range(o.size):
                o[k] += (a * x[0, k] + b * x[1, k]) + (c * x[2, k] + d * x[3, k])


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
    registers = tasks * 128 * ROUNDS / best(lambda: share(_registers, tasks, out))
    out, rows = np.ones((tasks, 128), np.float32), np.ones((tasks, 4, 128), np.float32)
    cache = tasks * 4 * 128 * (ROUNDS // 10) / best(lambda: share(_cache, tasks, out, rows))
    return registers, cache
