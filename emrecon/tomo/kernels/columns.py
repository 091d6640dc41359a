"""Columns of voxels times a matrix of few elements in each row."""

from emrecon.compiled import kernel, share


def times(columns, taps, first, out):
    """Fill `out` (columns, new) with weighted sums of neighbours in `columns` (columns, old).

    Element k of a new column is the sum over t of ``taps[t, k]`` times element ``first[k] + t``
    of the old one.
    """
    share(_times, len(columns), columns, taps, first, out)


@kernel()
def _times(begin, end, columns, taps, first, out):
    """Do the columns begin ... end - 1."""
    for c in range(begin, end):
        old, new = columns[c], out[c]
        for k in range(new.size):
            new[k] = taps[0, k] * old[first[k]]
        for t in range(1, taps.shape[0]):
            tap = taps[t]
            for k in range(new.size):
                new[k] += tap[k] * old[first[k] + t]
