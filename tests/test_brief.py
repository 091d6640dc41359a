"""At a prompt, a value says what it is and how large, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import emrecon
from emrecon.brief import LINE, brief, outcome
from emrecon.jobs.simulate import SimulationJob
from emrecon.tissue.settings import Settings as TissueSettings
from phantoms.acquisition import Acquisition
from tests.tissue.test_segment import head, shot


def held(value: Any) -> Iterator[Any]:
    """Yield a value with all the dataclasses and sequences of some in it, however deep."""
    if isinstance(value, tuple | list):
        for one in value[:3]:
            yield from held(one)
    elif is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from held(getattr(value, field.name))


def no_wall(value: Any) -> set[str]:
    """Check that everything in a value is short at a prompt; return the kinds that were seen."""
    seen = set()
    for one in held(value):
        text, kind = repr(one), type(one).__name__
        seen.add(kind)
        assert "array(" not in text, text
        if type(one).__repr__ in {brief, outcome}:
            assert len(text) < 1200, text
            assert max(map(len, text.splitlines())) < 2 * LINE, text
    return seen


@dataclass
class Counted:
    counts: Any
    name: str = "ring"
    level: float = float("nan")
    parts: tuple[int, ...] = (1, 2)
    __repr__ = brief


def test_what_is_usual_is_left_out_and_an_array_is_its_shape() -> None:
    assert repr(Counted(np.ones((3, 5)))) == "Counted(counts=<3 x 5 float64>)"
    assert repr(Counted(np.array([[1.25], [1e-9]]))) == "Counted(counts=[[1.25], [1e-09]])"
    assert repr(Counted(None, "x", 1.5, (3,))) == "Counted(name='x', level=1.5, parts=(3,))"
    assert (
        repr(Counted([np.ones(2), np.ones(2)], parts=(True, 2))) == "Counted(counts=<2 ndarray>)"
    )
    assert repr(Counted((0.5,) * 99)) == "Counted(counts=<99 float>)"
    assert repr(Counted({"a": 1})) == "Counted(counts=<1 by name>)"


def test_what_is_long_is_cut_and_gets_lines_of_its_own() -> None:
    text = repr(Counted(Counted(np.zeros(13), "n" * 60), "m" * 200))
    assert text.splitlines()[0] == "Counted("
    assert "    counts=Counted(...)," in text
    assert "mmm…'" in text
    assert max(map(len, text.splitlines())) <= LINE


def test_a_reconstruction_and_all_in_it(tmp_path: Path) -> None:
    job = SimulationJob("cylinder", tmp_path / "scan", Acquisition(scanner="tiny"))
    result, _ = emrecon.run(job)
    assert repr(result).startswith("FolderResult: ")
    assert "prompts in 24 x 23 x 27 bins" in repr(result)
    scan, _ = emrecon.read_scan(tmp_path / "scan")
    settings = emrecon.Settings(iterations=1, subsets=4)
    problem = emrecon.prepare(scan, settings)
    seen = no_wall(scan) | no_wall(problem) | no_wall(next(problem.iterates()))
    assert seen >= {"Scan", "Bins", "Problem", "Emission", "JosephProjector", "Iterate", "Grid"}
    assert "    settings=Settings(iterations=1, subsets=4)," in repr(problem)
    made = emrecon.reconstruct(tmp_path / "scan", None, settings)
    assert repr(made).startswith("ReconResult: ")
    assert "4 updates" in repr(made)
    assert (
        repr(made.volume)
        == "Volume(21 x 21 x 11 voxels of 4.186 x 4.186 x 2 mm, float32, counts/mm)"
    )
    assert no_wall(made) >= {"ReconResult", "ReconstructionJob", "Images", "ImageResult"}


def test_a_segmentation_and_all_in_it() -> None:
    found = emrecon.segment([shot()], TissueSettings(iterations=2, starts=1), mask=mask())
    assert repr(found).startswith("Segmentation(\n    names=('CSF', 'GM', 'WM'),\n")
    assert no_wall(found) >= {"Segmentation", "Stage", "Classes", "Errors", "Optimum"}


def mask() -> emrecon.Volume:
    return emrecon.Volume(head().mask.astype(np.float32), shot().affine)
