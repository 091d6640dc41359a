"""What a user may mean by each setting, and the small data for it: the tables of `flag_pairs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from emrecon.cli.demo import TISSUE_OF_LABEL
from emrecon.io import write_image
from emrecon.io.interfile import write_projections
from emrecon.io.scan import read_scan
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom
from tests.benchmarks.flag_fuzz import write_cylinder
from tests.benchmarks.flag_pair_data import Data, Words

MEANS: Words = ("0.35", "0.65", "1.0")

IMPLIED: dict[str, dict[str, Words]] = {
    "--ring-wide": {"--projector": ("siddon",)},
    "--no-fit": {"--scanner": ("PRT-1",)},
    "--iterations": {"--tolerance": ("0.5",)},
    "--until-converged": {"--tolerance": ("0.5",)},
    "--no-outliers": {"--gaussians": ("2",), "--means": MEANS},
}
"""Settings that do nothing beside another, as that does it, or ends the run before it.

With outliers two fits of the small brain come to nothing; they are made again without, and say so.
"""


@dataclass(frozen=True)
class Table:
    """A command, and settings of it that a user may mean, each with the words that say it."""

    name: str
    base: Words
    settings: tuple[Words, ...]
    silent: frozenset[str] = frozenset()
    """Settings that decide nothing of the result, and that the sidecar need not tell."""

    told: bool = True
    """Whether there is a sidecar."""

    def lines(self) -> Iterator[tuple[Words, ...]]:
        """Yield no settings, each alone, and every two that do not contradict each other."""
        yield ()
        yield from ((one,) for one in self.settings)
        for one, other in combinations(self.settings, 2):
            first, second = _flags(one), _flags(other)
            if one[0] != other[0] and all(first.get(n, v) == v for n, v in second.items()):
                yield one, other

    def words(self, settings: tuple[Words, ...]) -> list[str]:
        """Return the command with some settings, each flag once."""
        marks = [n for n, word in enumerate(self.base) if word.startswith("--")]
        start = min(marks, default=len(self.base))
        flags = _flags(self.base[start:])
        for one in settings:
            flags |= _flags(one)
        return [
            *self.base[:start],
            *(word for n, values in flags.items() for word in (n, *values)),
        ]

    @staticmethod
    def implied(one: Words, others: tuple[Words, ...]) -> bool:
        """Return whether a setting says nothing that others do not say."""
        said = {flag: values for other in others for flag, values in _flags(other).items()}
        does = IMPLIED.get(one[0], {}).items()
        return any(item in does for item in said.items()) or _flags(one).items() <= said.items()


def _flags(words: Words) -> dict[str, Words]:
    """Return the values of each flag among words."""
    flags: dict[str, Words] = {}
    for word in words:
        if word.startswith("--"):
            flags.pop(word, None)
            flags[word] = ()
        else:
            name = next(reversed(flags))
            flags[name] = (*flags[name], word)
    return flags


def tables(folder: Path) -> list[Table]:
    """Return all tables, with the files for them written into a folder."""
    data = Data(folder)
    return [*_reconstructions(data), *_others(data)]


ONCE: Words = ("--iterations", "1", "--subsets", "3")

IMAGE: tuple[Words, ...] = (
    ("--voxel-mm", "5"), ("--size", "20", "20", "9"), ("--centre-mm", "4", "0", "0"),
    ("--psf-fwhm-mm", "5"), ("--post-fwhm-mm", "6"), ("--tolerance", "0.5"),
    ("--iterations", "2"), ("--subsets", "1"), ("--checkpoint-every", "1"), ("--threads", "1"),
)  # fmt: skip
"""Settings of any image."""

RUN_ALONE = frozenset({"--checkpoint-every", "--threads", "--cache"})
"""Settings that decide how a run is carried out, and no image."""


PENALTIES: tuple[Words, ...] = (
    ("--beta", "0.2"), ("--beta", "0.1,0.3"), ("--gamma", "1"), ("--epsilon", "0.01"),
    ("--uniform",), ("--algorithm", "bsrem"), ("--algorithm", "de-pierro"),
    ("--algorithm", "lbfgs"), ("--order-seed", "7"), ("--until-converged",),
)  # fmt: skip
"""Settings of a prior, but for images."""

KERNELS: tuple[Words, ...] = (
    ("--kernel-neighbours", "4"), ("--kernel-window", "5"), ("--kernel-width", "0.2"),
    ("--kernel-fwhm-mm", "6"), ("--kernel-pet-width", "0.5"), ("--kernel-as-stir",),
)  # fmt: skip

RAYS: tuple[Words, ...] = (
    ("--projector", "siddon", "--voxel-mm", "4", "4", "2"),
    ("--projector", "siddon", "--voxel-mm", "4", "4", "2", "--rays", "3"), ("--ring-wide",),
)  # fmt: skip

PRIOR: Words = ("--prior", "rdp", "--iterations", "5")

QUADRATIC: Words = ("--prior", "quadratic", "--iterations", "5")

CAMERAS: tuple[Words, ...] = (
    ("--collimator", "Siemens Symbia LEHR"), ("--isotope", "Tc-99m"),
    ("--response-mm", "0.04", "3"), ("--cps-per-mbq", "80"),
    ("--cps-per-mbq", "80", "--decayed-h", "3"), ("--cps-per-mbq", "80", "--view-s", "10"),
    ("--window", "2"), ("--scatter-from", "tew"), ("--scatter-from", "dew"),
    ("--scatter-from", "tew", "--scatter-fwhm-mm", "40"), ("--radius-mm", "200"),
    ("--start-angles-deg", "10", "190"), ("--angular-step-deg", "20"), ("--direction", "CC"),
    ("--pixel-mm", "7", "7"), ("--axis-column", "15"), ("--axis-mm", "5", "0", "0"),
    ("--patient-position", "FFS"), ("--first-row", "feet"), ("--gate", "1"),
)  # fmt: skip
"""Settings of gamma cameras, but for maps."""


def _reconstructions(data: Data) -> list[Table]:
    """Return the tables of emission scans."""
    sino: Words = ("recon", str(data.pet / "prompts.hs"), *ONCE)
    timed = str(data.tof / "mu.nii.gz")
    estimated: tuple[Words, ...] = (
        ("--mlaa", "--mu", timed), ("--mlaa", "--mlaa-passes", "1", "--mu", timed),
        ("--scatter", "simulate", "--mu", timed), ("--sum-tof",), ("--tof-fwhm-ps", "500"),
    )  # fmt: skip
    guided = (*QUADRATIC, "--anatomy", data.guide)
    of_images: tuple[Words, ...] = (
        ("--kappa", str(data.pet / "mu.nii.gz")), ("--anatomy", data.guide),
        ("--anatomy", data.guide, "--similar", "3"),
    )  # fmt: skip
    either = (PRIOR, data.kernel)
    few = (*IMAGE[:6], data.cache, *data.regions(data.pet), RAYS[0], *data.corrections[:3])
    rest = (
        *IMAGE[:5],
        *IMAGE[8:],
        *data.regions(data.pet),
        *data.times,
        *data.quantities("live detectors"),
        *either,
        ("--mu", str(data.pet / "mu.nii.gz")),
    )
    maps: tuple[Words, ...] = (("--mu", data.moved), ("--mu-centred", "--mu", data.moved))
    return [
        Table("recon PET", sino, (
            *IMAGE, data.cache, *data.regions(data.pet), *RAYS, *data.corrections,
            *data.quantities("nothing, in 24 views and 27 planes"),
            *data.quantities("bins")[1:2], *either, guided),
            RUN_ALONE),
        Table("recon prior", (*sino, *PRIOR), (*few, *PENALTIES, *of_images), RUN_ALONE),
        Table("recon kernel", (*sino, *data.kernel), (*few, *KERNELS), RUN_ALONE),
        Table("recon TOF", ("recon", str(data.tof), *ONCE),
              (*few[:9], *estimated, *either, guided), RUN_ALONE),
        Table("recon list-mode", ("recon", str(data.events), *ONCE),
              (*rest, data.cache, *RAYS), RUN_ALONE),
        Table("recon events", ("recon", str(data.events), "--list-mode", *ONCE), rest, RUN_ALONE),
        Table("recon PETSIRD", ("recon", str(data.petsird), *ONCE), (
            *IMAGE, *data.regions(data.petsird), *data.times[:3], *either,
            *data.quantities("live detectors")[:2]), RUN_ALONE),
        Table("recon SPECT", ("recon", str(data.spect / "projections.dcm"), *ONCE), (
            *IMAGE, data.cache, data.regions(data.spect)[0], *CAMERAS, *maps, *either),
            RUN_ALONE),
    ]  # fmt: skip


def _others(data: Data) -> list[Table]:
    """Return the tables of all commands but recon."""
    return [*_simulations(), *_of_scans(data), _segmentation(data.folder)]


def _simulations() -> list[Table]:
    """Return the tables of what a phantom is counted by."""
    scanned: tuple[Words, ...] = (
        ("--counts", "2e4"), ("--no-noise",), ("--no-attenuate",), ("--no-fit",), ("--seed", "2"),
        ("--scatter-fraction", "0.3"), ("--views", "8"), ("--bins", "17"),
    )  # fmt: skip
    rings: tuple[Words, ...] = (
        ("--span", "3"), ("--max-ring-difference", "3"), ("--arc-corrected",),
        ("--tof-fwhm-ps", "500"), ("--tof-fwhm-ps", "500", "--tof-width-ps", "300"),
        ("--tof-fwhm-ps", "500", "--tof-bins", "5"), ("--randoms-fraction", "0.4"),
        ("--resolution-mm", "6"), ("--spread", "0.3"), ("--dead-blocks", "2"),
        ("--scatter", "monte-carlo"), ("--scanner", "PRT-1"), ("--seconds", "7"),
    )  # fmt: skip
    heads: tuple[Words, ...] = (
        ("--heads", "1"), ("--start-deg", "30"), ("--arc-deg", "180"), ("--direction", "CC"),
        ("--orbit-mm", "200"), ("--bin-mm", "6"), ("--plane-mm", "6"), ("--planes", "6"),
        ("--isotope", "Lu-177"), ("--collimator", "none"), ("--view-s", "10"),
        ("--position", "FFS"), ("--patient-mm", "5", "0", "0"), ("--detector-fastest",),
    )  # fmt: skip
    few: Words = ("--scanner", "tiny", "--counts", "1e4")
    gamma: Words = ("--dicom", "--counts", "1e4", "--views", "4", "--bins", "16", "--planes", "5")
    cylinder = ("simulate", "flip-finder")
    return [
        Table("simulate PET", (*cylinder, *few), (*scanned, *rings)),
        Table("simulate events", (*cylinder, "--petsird", *few), (*scanned, *rings)),
        Table("simulate SPECT", (*cylinder, *gamma), (*scanned, *rings, *heads)),
    ]


def _of_scans(data: Data) -> list[Table]:
    """Return the tables of commands that take scans or images, but no image of one."""
    folder, pet = data.folder, data.pet
    mu = str(pet / "mu.nii.gz")
    like = read_scan(pet / "prompts.hs")[0].bins
    for name, counts in (("blank", 60.0), ("dark", 0.5)):
        write_projections(folder / f"{name}.hs", like, np.full(like.shape, counts, np.float32))
    prompts, image = str(pet / "prompts.hs"), str(pet / "truth.nii.gz")
    norm, randoms = str(pet / "normalisation.hs"), str(pet / "randoms.hs")
    weights: tuple[Words, ...] = (
        ("--prior", "rdp"), ("--prior", "quadratic"), ("--prior", "rdp", "--beta", "0.2"),
        ("--gamma", "1"), ("--epsilon", "0.01"), ("--uniform",), ("--similar", "3"),
        ("--kappa", mu), ("--anatomy", image), ("--algorithm", "bsrem"), ("--until-converged",),
    )  # fmt: skip
    body = write_cylinder(folder / "cylinder.nii")
    filled: Words = (
        "--bq-per-ml", "1e4", "--isotope", "F-18", "--duration-s", "60", "--scanner", "tiny"
    )  # fmt: skip
    return [
        Table("transmission", ("transmission", prompts, "--blank", str(folder / "blank.hs"),
                               "--iterations", "1", "--subsets", "3", "--quick", "1"), (
            ("--background", str(folder / "dark.hs")), ("--blank-scale", "2"), ("--quick", "2"),
            ("--iterations", "2"), ("--subsets", "2"), ("--voxel-mm", "5"), ("--threads", "1"),
            ("--size", "20", "20", "9"), ("--pixel-mm", "1"), ("--axis-column", "3"), *weights),
            RUN_ALONE),
        Table("normalise", ("normalise", prompts, "--radius-mm", "40", "--iterations", "1"), (
            ("--at-mm", "2", "1"), ("--mu-per-mm", "0.0096"), ("--iterations", "2"),
            ("--mu", mu), ("--attenuation", str(pet / "attenuation.hs")), ("--randoms", randoms),
            ("--scatter", str(pet / "scatter.hs")), ("--scatter", "simulate"),
            ("--normalisation", norm), ("--mlaa",), ("--sum-tof",),
            ("--dead-time-us", "1"), ("--span", "3"))),
        Table("scatter", ("scatter", image, "--like", prompts, "--mu", mu), (
            ("--fit",), ("--normalisation", norm), ("--randoms", randoms), data.corrections[5],
            ("--window-kev", "400", "650"), ("--energy-resolution", "0.2"), ("--sum-tof",),
            ("--mu-unit", "1/mm"), ("--span", "3"), ("--mlaa",), ("--scatter-rounds", "2"))),
        Table("calibrate", ("calibrate", str(body), *filled), (
            ("--isotope", "Ga-68"), ("--duration-s", "100"), ("--scanner", "mMR"),
            ("--inside", "0.5"), ("--bq-per-ml", "2e4"), ("--volume-ml", "600"),
            ("--assayed-h", "1"))),
        Table("convert events", ("convert", str(data.events)), (
            ("--span", "3"), ("--max-ring-difference", "2"), ("--start-s", "0.5"),
            ("--stop-s", "1.5"), ("--window", "2")), told=False),
        Table("convert NM", ("convert", str(data.spect / "projections.dcm")), (
            ("--window", "2"), ("--radius-mm", "200"), ("--direction", "CC"), ("--span", "3"),
            ("--first-row", "feet"), ("--scatter-from", "tew"), ("--gate", "1"),
            ("--pixel-mm", "7", "7")), told=False),
    ]  # fmt: skip


def _segmentation(folder: Path) -> Table:
    """Return the table of segmentations of a small noisy brain, of two volumes."""
    truth = from_phantom(brain(), TISSUE_OF_LABEL, Grid.centred((32, 36, 34), (5.5, 5.5, 5.5)))
    measured, _ = acquire(truth, Scan(), np.random.default_rng(1))
    image, mask = folder / "brain_T1w.nii", folder / "mask.nii"
    voxels = np.stack([measured.voxels, measured.voxels[::-1]])
    write_image(Volume(voxels, measured.affine), image)
    inside = truth.mask.astype(np.float32)
    write_image(Volume(inside, truth.affine), mask)
    inside[16:] = 0
    write_image(Volume(inside, truth.affine), half := folder / "half.nii")
    base = ("segment", str(image), "--mask", str(mask), "--volume", "1", "--starts", "1",
            "--iterations", "5", "--deep-grey", "none")  # fmt: skip
    return Table("segment", base, (
        ("--volume", "2"), ("--classes", "2"), ("--classes", "auto"),
        ("--classes", "auto", "--criterion", "bic"), ("--contrast", "T2"),
        ("--mixed", "0"), ("--mixed", "0", "--gaussians", "2"),
        ("--covariance", "full"), ("--no-outliers",), ("--beta", "0"),
        ("--neighbours", "26"), ("--bias-mm", "0"), ("--bias", "always"),
        ("--only-bias",), ("--lesions",), ("--five-tissue",), ("--space", "template"),
        ("--weight-prior", "0.3"), ("--exclude", str(half)), ("--means", *MEANS),
    ), RUN_ALONE)  # fmt: skip
