"""Chunks hold every view once; sums have one order whoever makes them."""

from __future__ import annotations

from itertools import pairwise
from operator import add

import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.tomo.chunks import own_nodes, tree_sum
from emrecon.tomo.subsets import chunk_of, fitting_chunks, interleaved


@pytest.mark.parametrize("views", [48, 97, 252, 7])
@pytest.mark.parametrize("subsets", [1, 4, 6])
def test_every_view_is_in_one_chunk_and_every_chunk_in_every_subset(views, subsets):
    order = interleaved(subsets, views)
    chunks = fitting_chunks(0, min(len(views) for _, views in order))
    seen = []
    for number in range(chunks):
        own, local = chunk_of(order, number, chunks)
        seen += own.tolist()
        assert [subset for subset, _ in local] == [subset for subset, _ in order]
        for (_, views_of_subset), (_, places) in zip(order, local, strict=True):
            assert len(places)
            assert np.isin(own[places], views_of_subset).all()
    assert sorted(seen) == list(range(views))


def test_chunks_are_of_one_size_where_they_can_be():
    assert fitting_chunks(0, 252) == 8  # 32 or 31 views each
    assert fitting_chunks(0, 12) == 6  # 8 would have 2 or 1
    assert fitting_chunks(0, 10) == 5
    assert fitting_chunks(0, 1) == 1
    assert fitting_chunks(64, 252) == 64


def test_more_chunks_than_views_are_refused():
    with pytest.raises(SettingsError, match="a subset has 12 views"):
        fitting_chunks(13, 12)


@pytest.mark.parametrize("chunks", [1, 2, 5, 6, 8])
def test_a_sum_has_the_same_bits_however_the_chunks_are_shared(chunks):
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 8, (chunks, 1000)).astype(np.float32)  # order matters

    def at(node):
        return values[node[0]] if node[1] == node[0] + 1 else None

    whole = tree_sum((0, chunks), at, add)
    assert np.allclose(whole, values.sum(axis=0, dtype=np.float64), rtol=1e-6)
    for workers in range(1, chunks + 1):
        cuts = [n * chunks // workers for n in range(workers + 1)]
        nodes = [own_nodes(range(a, b), chunks) for a, b in pairwise(cuts)]
        parts = {node: tree_sum(node, at, add) for own in nodes for node in own}
        assert tree_sum((0, chunks), parts.get, add).tobytes() == whole.tobytes()
