"""Observers: what they keep, and that a stopped run is the same run."""

from __future__ import annotations

import csv
import io
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from emrecon.em import Iterate, em, until, watch
from emrecon.errors import FormatError
from emrecon.stop import after
from emrecon.watchers import Bar, Checkpoint, ConvergenceLog
from tests.test_em import VOXELS, mlem


def test_convergence_log_says_how_far_and_how_well() -> None:
    log = ConvergenceLog(subsets=2)
    images = [np.full((2, 2), value, np.float32) for value in (1, 2, 4)]
    for number, image in enumerate(images):
        log(Iterate(number, image, -100.0 / (number + 1)))
    rows = list(csv.DictReader(io.StringIO(log.text())))
    assert [row["iteration"] for row in rows] == ["0", "0", "1"]
    assert [row["sub_iteration"] for row in rows] == ["0", "1", "2"]
    assert [float(row["log_likelihood"]) for row in rows] == [
        -100.0,
        -50.0,
        pytest.approx(-100 / 3),
    ]
    assert rows[0]["relative_change"] == ""
    assert [float(row["relative_change"]) for row in rows[1:]] == [0.5, 0.5]
    assert [float(row["seconds"]) for row in rows] == sorted(float(row["seconds"]) for row in rows)


def test_resumed_run_is_bit_identical(tmp_path: Path) -> None:
    model, x0, path = mlem(11), np.ones(VOXELS, np.float32), tmp_path / "run.npz"
    full = ConvergenceLog()
    *_, whole = until(watch(em(repeat(model), x0), full), after(10))
    first = ConvergenceLog()
    saver = Checkpoint(path, 4, "key", first)
    list(until(watch(em(repeat(model), x0), first, saver), after(6)))  # stops after the save at 4
    state = Checkpoint.load(path, "key")
    assert state.number == 4
    rest = ConvergenceLog(rows=state.rows)
    *_, last = until(watch(em(repeat(model), state.image, start=state.number), rest), after(10))
    np.testing.assert_array_equal(last.params, whole.params)
    assert last.log_likelihood == whole.log_likelihood
    for a, b in zip(full.rows, rest.rows, strict=True):
        assert (a.sub_iteration, a.log_likelihood) == (b.sub_iteration, b.log_likelihood)


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    Checkpoint(path, 1, "this", ConvergenceLog()).save(Iterate(1, np.ones(3, np.float32), 0.0))
    with pytest.raises(FormatError, match="other data, settings or version"):
        Checkpoint.load(path, "that")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(FormatError, match="not a checkpoint"):
        Checkpoint.load(path, "this")


def test_bar_follows_the_iterates() -> None:
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with Bar(console, 7, "OSEM") as bar:
        for number in range(8):
            bar(Iterate(number, None, 0.0))
    assert "OSEM" in out.getvalue()
    assert "7/7" in out.getvalue()


def test_bar_says_why_nothing_moves_at_first() -> None:
    import numba
    from rich.console import Console

    out = io.StringIO()
    with Bar(Console(file=out, force_terminal=True, width=80), 7, "OSEM") as bar:
        numba.njit(lambda: 1)()
        said = out.getvalue()
        bar.update(1, 7)
    assert "OSEM (compiling, once)" in said
    assert "compiling" not in out.getvalue().splitlines()[-1]


def test_bar_is_silent_where_there_is_no_terminal() -> None:
    from rich.console import Console

    out = io.StringIO()
    with Bar(Console(file=out), 7, "OSEM") as bar:
        bar.update(3, 7)
    assert out.getvalue().strip() == ""
