"""Chunks hold every view once; sums have one order whoever makes them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.spread.order import Choice, fitting_chunks, own_nodes, summed


@pytest.mark.parametrize("views", [48, 97, 252, 7])
@pytest.mark.parametrize("subsets", [1, 4, 6])
def test_every_view_is_in_one_chunk_and_every_chunk_in_every_subset(views, subsets):
    used, chunks = Choice(subsets, 0).counts(views)
    parts = [Choice(subsets, 0).of_chunk(views, number) for number in range(chunks)]
    assert sorted(np.concatenate(parts)) == list(range(views))
    for part in parts:
        for number in range(used):  # a subset of the chunk is the chunk's part of the subset
            assert len(part[number::used])
            assert np.all(part[number::used] % used == number)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_share_the_chunks_in_a_row(workers):
    shares = [Choice(21, 0, n, workers) for n in range(workers)]
    assert [c for share in shares for c in share.range(252)] == list(range(6))
    alone = Choice(21, 0)(252)
    assert np.array_equal(np.concatenate([share(252) for share in shares]), alone)


def test_chunks_are_of_one_size_where_they_can_be():
    assert fitting_chunks(0, 252) == 8  # 32 or 31 views each
    assert fitting_chunks(0, 12) == 6  # 8 would have 2 or 1
    assert fitting_chunks(0, 10) == 5
    assert fitting_chunks(0, 1) == 1
    assert fitting_chunks(64, 252) == 64


def test_more_chunks_than_views_or_workers_than_chunks_are_refused():
    with pytest.raises(SettingsError, match="a subset has 12 views"):
        Choice(21, 13).counts(252)
    with pytest.raises(SettingsError, match="6 chunks: give at most 6 workers"):
        Choice(21, 0, 0, 7).counts(252)


@pytest.mark.parametrize("chunks", [1, 2, 5, 6, 8])
def test_a_sum_has_the_same_bits_however_the_chunks_are_shared(chunks):
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 8, (chunks, 1000)).astype(np.float32)  # order matters

    def at(node):
        return values[node[0]] if node[1] == node[0] + 1 else None

    def add(node, one, other):
        return one + other

    whole = summed((0, chunks), at, add)
    assert np.allclose(whole, values.sum(axis=0, dtype=np.float64), rtol=1e-6)
    for workers in range(1, chunks + 1):
        cuts = [n * chunks // workers for n in range(workers + 1)]
        nodes = [own_nodes(range(a, b), chunks) for a, b in pairwise(cuts)]
        parts = {node: summed(node, at, add) for own in nodes for node in own}
        assert summed((0, chunks), parts.get, add).tobytes() == whole.tobytes()
