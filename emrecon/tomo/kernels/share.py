"""Independent tasks shared among threads."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from emrecon.compiled import KERNEL_THREADS


def share(kernel, tasks, *args):
    """Run `kernel(begin, end, *args)` over ranges of tasks in numba's number of threads.

    The kernel releases the interpreter's lock, and no two tasks write the same place.
    """
    threads = min(numba.get_num_threads(), tasks)
    if threads < 2:
        kernel(0, tasks, *args)
        return
    cuts = np.linspace(0, tasks, min(8 * threads, tasks) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads, KERNEL_THREADS) as pool:
        for done in [pool.submit(kernel, *cut, *args) for cut in itertools.pairwise(cuts)]:
            done.result()
