"""Sums over blocks of voxels of what each component sees of the intensities."""

import numpy as np

from emrecon.compiled import kernel, share


def tally(first, last, values, shift, blocks, shares, linear, square):
    """Add the intensities and their products, times each component's share, to their blocks.

    A component belongs to one thread, so the number of threads does not change a bit.

    Parameters
    ----------
    first, last : int
        Voxels that are added.
    values : float32 array, shape (c, n)
        Intensities.
    shift : float32 array, shape (c,)
        Added to those of each channel.
    blocks : int array, shape (n,)
        Block of each voxel.
    shares : float32 array, shape (j, n)
        Membership of each voxel in each component.
    linear : float64 array, shape (j, b, c)
        Sums, added to.
    square : float64 array, shape (j, b, c (c + 1) / 2)
        Sums of products, lower triangle row by row, added to.
    """
    inputs = first, last, values, shift, blocks, shares, linear, square
    share(_components, len(shares), *inputs)


@kernel(fastmath=True)
def _components(begin, end, first, last, values, shift, blocks, shares, linear, square):
    """Add what some of the components see."""
    channels = values.shape[0]
    for j in range(begin, end):
        if channels == 1:  # the same sums, three times as quick
            for v in range(first, last):
                one = np.float64(values[0, v] + shift[0])
                moment = shares[j, v] * one
                linear[j, blocks[v], 0] += moment
                square[j, blocks[v], 0] += moment * one
            continue
        for v in range(first, last):
            at, share, n = blocks[v], np.float64(shares[j, v]), 0
            for c in range(channels):
                moment = share * (values[c, v] + shift[c])
                linear[j, at, c] += moment
                for d in range(c + 1):
                    square[j, at, n] += moment * (values[d, v] + shift[d])
                    n += 1
