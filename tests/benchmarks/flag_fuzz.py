"""Every flag of every command with numbers, words and files that no one means.

``python -m tests.benchmarks.flag_fuzz`` runs all of them, or with words those whose command or
flag holds these; ``tests/cli/test_fuzz.py`` a sample of those with numbers.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import numpy as np

from emrecon import cli, forms
from emrecon.errors import EmreconError
from emrecon.io import read_image, write_image
from emrecon.io.interfile import write_projections
from emrecon.io.scan import read_scan
from emrecon.jobs.base import Execution
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.known_source import Source as NormalisationSource
from emrecon.jobs.measure import MeasurementJob
from emrecon.jobs.simulate import PhantomJob, SimulationJob
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.inputs import Binning, CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.problem import UNIT
from emrecon.tomo.settings import Settings
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition
from tests.io import samples

VALUES = ("0", "-1", "1e-9", "1e9", "1e30", "nan", "inf", "many")

WORDS = ("", "furlong", "0:1", "../x", "-")

FILES = ("missing", "folder", "empty", "text", "bytes", "image", "scan")
"""What a flag that takes a file is given; `commands` makes them."""

SECONDS = 60
"""More than any of these small runs takes, however busy the machine is."""

COUNTS = {
    "pixel_mm": 2, "response_mm": 3, "radius_mm": 1, "start_angles_deg": 1, "at_mm": 2, "mu": 1,
    "window_kev": 2, "anatomy": 1, "priors": 3, "prior_classes": 3, "means": 3,
}  # fmt: skip
"""How many numbers a flag takes, where that is not three."""


@dataclass(frozen=True)
class Command:
    """A command that ends well as it is, and the forms whose flags it takes."""

    name: str
    words: tuple[str, ...]
    base: tuple[tuple[str, ...], ...]
    taken: tuple[type, ...]

    def lines(self, folder: Path | None = None) -> Iterator[tuple[str, list[str]]]:
        """Yield the command with one of the flags at one of the values, and what that is.

        With the folder of the files for them, flags that take words and files, too.
        """
        for flag, count, kinds in flags(self.taken):
            rest = [word for words in self.base if words[0] != flag for word in words]
            tried = {value: value for value in VALUES} if kinds & {int, float} else {}
            if folder and str in kinds:
                tried |= {value: value for value in WORDS}
            if folder and Path in kinds:
                tried |= {name: str(folder / name) for name in FILES}
            for name, value in tried.items():
                yield f"{self.name} {flag} {name}", [*self.words, *rest, flag, *[value] * count]


def flags(taken: Sequence[type]) -> Iterator[tuple[str, int, set[Any]]]:
    """Yield every flag of some forms, how many values it takes, and of which types."""
    for form in taken:
        for name, hint in forms.types_of(form).items():
            many = get_origin(forms.without_none(hint)[1]) is tuple
            count = COUNTS.get(name, 3) if many else 1
            yield f"--{name.replace('_', '-')}", count, set(_plain(hint))


def _plain(hint: Any) -> list[Any]:
    return [kind for inner in get_args(hint) for kind in _plain(inner)] or [hint]


def commands(folder: Path) -> list[Command]:
    """Return all commands, with small data of every kind in a folder."""
    for kind in ("pet", "spect", "dicom", "petlink", "nifti"):
        (folder / kind).mkdir()
    (pet,), (spect,), (dicom,) = (
        getattr(samples, kind)(folder / kind) for kind in ("pet", "spect", "dicom")
    )
    (listmode,), image, *_ = samples.petlink(folder / "petlink"), *samples.nifti(folder / "nifti")
    _write_files(folder, pet)
    brain = _write_brain(folder / "brain.nii")
    cylinder = write_cylinder(folder / "cylinder.nii")
    mu, blank = write_cylinder(folder / "mu.nii", 0.0096, "1/mm"), folder / "blank.hs"
    like = read_scan(pet)[0].bins
    write_projections(blank, like, np.full(like.shape, 40, np.float32))
    one = (("--iterations", "1"), ("--subsets", "1"))
    once = (("--radius-mm", "40"), ("--iterations", "1"))
    prior = (("--iterations", "13"), ("--subsets", "1"), ("--prior", "rdp"), ("--beta", "1"))
    filled = (("--bq-per-ml", "1e4"), ("--isotope", "F-18"), ("--duration-s", "60"))
    filled = (*filled, ("--scanner", "tiny"))
    quick = (("--classes", "2"), ("--contrast", "other"), ("--iterations", "1"), ("--starts", "1"))
    quick = (*quick, ("--bias-mm", "0"), ("--mixed", "0"))
    tiny = (("--scanner", "tiny"), ("--counts", "1e4"), ("--views", "12"), ("--bins", "15"))
    gamma = (
        ("--dicom",),
        ("--counts", "1e4"),
        ("--views", "4"),
        ("--bins", "16"),
        ("--planes", "5"),
    )
    return [
        Command("recon PET", ("recon", str(pet)), one, (Settings, Corrections, Execution)),
        Command("recon prior", ("recon", str(pet)), prior, (Penalty,)),
        Command("recon SPECT", ("recon", str(spect)), one, (Settings, CameraFacts)),
        Command("recon NM", ("recon", str(dicom)), one, (CameraFacts,)),
        Command(
            "recon events", ("recon", str(listmode), "--list-mode"), one,
            (Settings, Corrections, ListmodeSettings),
        ),
        Command("info", ("info", str(dicom)), (), (CameraFacts,)),
        Command("convert events", ("convert", str(listmode)), (), (Binning,)),
        Command("convert NM", ("convert", str(dicom)), (), (CameraFacts,)),
        Command("phantom", ("phantom", "cylinder"), (("--voxel-mm", "8"),), (PhantomJob,)),
        Command("simulate", ("simulate", "cylinder"), tiny, (Acquisition,)),
        Command(
            "simulate NM", ("simulate", "cylinder"), gamma, (Acquisition, CameraAcquisition)
        ),
        Command(
            "simulate events", ("simulate", "cylinder", "--petsird"), tiny[:2],
            (Acquisition, SimulationJob),
        ),
        Command(
            "normalise", ("normalise", str(pet)), once, (NormalisationSource, Corrections)
        ),
        Command(
            "scatter", ("scatter", str(cylinder), "--like", str(pet)),
            (("--mu", str(mu)), ("--mu-unit", "1/mm")), (Corrections,),
        ),
        Command(
            "transmission", ("transmission", str(pet)),
            (("--blank", str(blank)), ("--iterations", "1"), ("--subsets", "1")),
            (RayFiles, TransmissionSettings, Penalty),
        ),
        Command("calibrate", ("calibrate", str(cylinder)), filled, (Cylinder,)),
        Command("segment", ("segment", str(brain)), quick, (TissueSettings, TissueInputs)),
        Command("metrics", ("metrics", str(image), "--truth", str(image)), (), (MeasurementJob,)),
    ]  # fmt: skip


def _write_files(folder: Path, scan: Path) -> None:
    """Write what flags are given that take files, `FILES`."""
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "text").write_text("neither = [a, header\n" * 5)
    (folder / "bytes").write_bytes(bytes(range(256)) * 5)
    shutil.copy(folder / "nifti" / "pair.img", folder / "image")
    shutil.copy(scan, folder / "scan")


def _write_brain(path: Path) -> Path:
    """Write an image of two noisy halves with nothing around them."""
    voxels = np.random.default_rng(0).normal(300, 20, (20, 20, 20)).astype(np.float32)
    voxels[10:] += 200
    write_image(Volume(np.pad(voxels, 3), np.diag([4.0, 4, 4, 1])), path)
    return path


def write_cylinder(path: Path, value: float = 1.0, unit: str = UNIT) -> Path:
    """Write an image of a uniform cylinder."""
    x, y = np.mgrid[-50:51:5.0, -50:51:5.0]
    voxels = np.float32(value) * np.repeat((np.hypot(x, y) < 35)[..., None], 9, axis=2)
    affine = np.diag([5.0, 5, 5, 1])
    affine[:3, 3] = -50, -50, -20
    write_image(Volume(voxels, affine, unit), path)
    return path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: object
    """Its exit code, or that it was an exception."""

    said: str
    """What it said on standard error."""

    fault: str
    """What is wrong with that, empty if nothing is."""


def ended_in(words: Sequence[str], folder: Path, name: str = "", *, sound: bool = True) -> Ended:
    """Run a command that writes into a folder; return how it ended.

    Where its input is not sound, what it writes is not looked at.
    """
    folder.mkdir()
    folders = {"simulate", "phantom", "convert"}
    endings = {
        "normalise": "out.hs",
        "scatter": "out.hs",
        "calibrate": "out.json",
        "segment": "out",
    }
    out = folder / (name or ("out" if words[0] in folders else endings.get(words[0], "out.nii")))
    tokens = list(words) if words[0] in {"info", "metrics"} else [*words, "-o", str(out)]
    code, said = _ended(tokens)
    left = sorted(path for path in folder.rglob("*") if path.is_file())
    return Ended(code, said, _fault(code, said, left, sound=sound))


def fault(words: Sequence[str], folder: Path, name: str = "", *, sound: bool = True) -> str:
    """Run a command; return what is wrong with how it ended, empty if nothing is."""
    return ended_in(words, folder, name, sound=sound).fault


def _fault(code: object, said: str, left: Sequence[Path], *, sound: bool) -> str:
    """Return what is wrong with exit code, words and files of a command."""
    if code not in {0, 1, 2}:
        return f"ended by {code}: {said[-1500:]}"
    lines = [line for line in said.splitlines() if not line.startswith("WARNING:")]
    if code and (len(lines) != 1 or not lines[0].startswith("emrecon: ")):
        return f"said in {len(lines)} lines: {said[-1500:]}"
    if code and left:
        return f"left {left[0].name} and {len(left) - 1} more"
    if "Warning:" in said:
        return f"Python's words: {said[-600:]}"
    try:
        return "" if code or not sound else _unsound(left)
    except EmreconError as error:
        return f"wrote what cannot be read: {error}"


def _unsound(files: Sequence[Path]) -> str:
    """Return what is wrong with files that were written."""
    for path in files:
        if (
            path.name.endswith((".nii", ".nii.gz"))
            and not np.isfinite(read_image(path).voxels).all()
        ):
            return f"{path.name} is not finite"
        if path.suffix == ".json" and "NaN" in path.read_text():
            return f"{path.name} holds NaN"
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".dcm" and b"nan" in path.read_bytes():
            return f"{path.name} holds nan"
    return ""


def _ended(tokens: Sequence[str]) -> tuple[object, str]:
    """Return exit code and standard error of a command, or what it was that went through."""

    def late(*about: object) -> NoReturn:
        raise TimeoutError(f"more than {SECONDS} s")

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    before, kept = signal.signal(signal.SIGALRM, late), root.handlers[:]
    root.handlers[:] = [handler]
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main(tokens)
    except SystemExit as end:
        if end.code == cli.INTERRUPTED:  # a wish to end all of this
            raise KeyboardInterrupt from None
        return end.code or 0, said.getvalue()
    except BaseException:  # noqa: BLE001 - what no user shall see
        return "an exception", traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        root.handlers[:] = kept
        logging.captureWarnings(capture=False)
    return 0, said.getvalue()


def main() -> int:
    """Run all of them, or those whose name holds a word; print what ended badly."""
    words, bad, count = " ".join(sys.argv[1:]), 0, 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for command in commands(folder):
            for name, line in command.lines(folder):
                if words not in name:
                    continue
                count += 1
                wrong = fault(line, folder / "run")
                shutil.rmtree(folder / "run")
                if wrong:
                    bad += 1
                    print(f"--- {name}: {wrong}", flush=True)  # noqa: T201
    print(f"{bad} of {count} ended badly")  # noqa: T201
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
