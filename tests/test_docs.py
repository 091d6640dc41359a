"""What the documentation tells a reader to run, runs."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import emrecon

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))
GALLERY = sorted((DOCS / "gallery").glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials(script: Path, tmp_path: Path) -> None:
    for run in ("first", "second"):  # in the same folder
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ.copy(),
        )  # fmt: skip
        assert done.returncode == 0, f"{run} run: {done.stderr[-2000:]}"
        assert re.search(r"\d", done.stdout)
        assert "FALLS" not in done.stdout  # an objective that rises by its algorithm
        assert "mu-map" not in done.stderr  # their maps are those that their counts were made with


@pytest.mark.slow
@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_gallery(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site shows what its scripts draw; here they run, and draw something."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(script), run_name="__main__")
        assert plt.get_fignums()
    finally:
        plt.close("all")


@pytest.mark.slow
def test_photons_become_bq_per_ml(tmp_path: Path) -> None:
    """With few of the counts: the page has the figures of all of them."""
    script = DOCS / "examples" / "monte_carlo_pet.py"
    done = subprocess.run(
        [sys.executable, str(script), "6e4"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ.copy(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    off = [float(word) for word in re.findall(r"([+-]\d+\.\d) % off", done.stdout)]
    assert len(off) == 4
    assert max(map(abs, off[:2])) < 15  # grey and white matter, by chance
    dicom = re.search(r"DICOM: within (\S+) of the greatest", done.stdout)
    assert dicom
    assert float(dicom[1]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("page", ["physicist", "engineer"])
def test_the_first_hour(page: str, tmp_path: Path) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    block = re.search(r"## The first hour\n\n```bash\n(.*?)```", text, re.DOTALL)
    assert block
    commands = re.sub(r"^emrecon demo.*$", "", block[1], flags=re.MULTILINE)  # it has its own test
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.rglob("*.nii.gz"))


def test_the_reference_holds_every_public_name() -> None:
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(set(emrecon.__all__) - {"__version__"})


@pytest.mark.skipif(not (DOCS.parent / "README.md").exists(), reason="not in a clone")
def test_every_page_that_is_linked_exists() -> None:
    pages = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]
    assert pages
    for page in pages:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
