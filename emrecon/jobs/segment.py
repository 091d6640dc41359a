"""The segmentation job: images from files to labels, maps, pictures and a sidecar in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from emrecon import forms, io
from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.heard import heard
from emrecon.io import sidecar
from emrecon.io.head_maps import installed_maps, map_files
from emrecon.jobs import base, input_files
from emrecon.jobs.base import START_S, Estimate, Execution, Look, Meters, no_meters, nobody
from emrecon.jobs.bundle import check_outputs, keep_others
from emrecon.jobs.segment_names import endings
from emrecon.stop import Rule
from emrecon.tissue.contrasts import check_contrast, contrast_of
from emrecon.tissue.input_checks import check_used
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings

if TYPE_CHECKING:
    from emrecon.jobs.segment_result import SegmentResult
    from emrecon.tissue.field import Image
    from emrecon.tissue.stage_models import Strides
    from emrecon.tissue.stages import Fit
    from emrecon.volume import Volume

TISSUE_MB = 340.0
"""Memory of a process with what segmentation needs loaded, and no data."""

BRAIN_MM3 = 1.7e6
"""What of a head is brain, at most."""

BRAIN_BYTES, VOXEL_BYTES = 173.0, 8.0
"""Memory for a voxel of brain, and for any voxel of each channel."""

BRAIN_S = 2.2e-6
"""Processor time for a voxel of brain."""


@dataclass(frozen=True)
class SegmentationJob:
    """Segment an image into tissue classes by EM.

    Examples
    --------
    >>> job = SegmentationJob((Path("t1.nii.gz"),), Path("tissue"))
    >>> job.KIND, str(job.out)
    ('segment', 'tissue')
    """

    images: tuple[Path, ...]
    """One image, or several channels on one grid, such as T1 and T2."""

    out: Path | None = None
    """Folder to write; files in it are named after the first image."""

    settings: Settings = field(default_factory=Settings)
    """How to segment."""

    files: TissueInputs = field(default_factory=TissueInputs)
    """Mask, exclusion mask, priors, labels and means."""

    KIND: ClassVar[str] = "segment"

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.images or not all(image.name for image in self.images):
            raise SettingsError("there is no image to segment: name one or more")
        if self.settings.contrast == "auto" and self.settings.classes == 3:
            contrast = contrast_of(self.images[0].name) or "auto"
            object.__setattr__(self, "settings", replace(self.settings, contrast=contrast))

    @property
    def stem(self) -> str:
        """What the files are named after."""
        return sidecar.beside(self.images[0], "").name

    def named(self) -> dict[str, Path]:
        """Return the images that are read, by what they are."""
        channels = {f"channel{n}": path for n, path in enumerate(self.images, 1)}
        return channels | forms.paths_in(self.files)

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is.

        The installed maps of a brain are among them where whether there are any decides the mask
        of a whole head, how deep nuclei are told apart or what the priors are.

        Raises
        ------
        DataError
            If one is missing.
        """
        images = input_files.with_data(self.named())
        strips = self.settings.human and not self.files.mask
        lays = self.settings.lays_maps and not self.files.priors
        heads = map_files() if strips or lays or self.settings.shows_nuclei else {}
        return images | heads

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that may be written, the labels (or the bias field) first.

        Those of a bias field are not where the image shows none.
        """
        if self.out is None:
            return ()
        names, channels = self.settings.names, len(self.images)
        marks = [""] if channels == 1 else [f"_channel-{n}" for n in range(1, channels + 1)]
        fields = [f"{w}{m}.nii.gz" for m in marks for w in ("biasfield", "corrected")]
        if self.settings.only_bias:
            return tuple(self.out / f"{self.stem}_{end}" for end in [*fields, "biasfield.json"])
        ends = ["dseg.nii.gz", "dseg.tsv", "dseg.json", "dseg.png", "histogram.png"]
        ends += ["entropy.nii.gz", "outliers.nii.gz"]
        ends += [f"label-{n}_{w}.nii.gz" for n in names for w in ("probseg", "fraction")]
        if self.settings.wavelength_mm:
            ends += fields
        ends += endings(self.settings, self.files)
        return tuple(self.out / f"{self.stem}_{end}" for end in ends)

    def keep_others(self) -> None:
        """Refuse to write over results that were not made of the same first image.

        Raises
        ------
        WriteError
            If there are such files: those of another image of the same name, say.
        """
        facts = [path for path in self.outputs() if path.suffix == ".json"]
        facts += [self.out / f"{self.stem}_dseg.json"] if self.out else []

        def ours() -> bool:
            return any(sidecar.made_of(path, "channel1", self.images[0]) for path in facts)

        keep_others(self.outputs(), str(self.images[0]), ours=ours)

    def check(self, execution: Execution) -> None:
        """Refuse what settings and the files that are named decide.

        Raises
        ------
        EmreconError
            If an image is missing, an output cannot be written, or settings make no sense.
        """
        files, given = self.named(), self.files
        input_files.must_exist(files)
        check_outputs(self.outputs(), files, self.out, anywhere=execution.MAKES_FOLDERS)
        check_contrast(self.images[0].name, self.settings.contrast)
        check_used(
            self.settings, given.prior_classes, given.deep_priors, priors=bool(given.priors),
            means=bool(given.means), labels=given.labels is not None,
        )  # fmt: skip
        input_files.check_data(files)
        self._check_grids(files)

    def _check_grids(self, files: dict[str, Path]) -> None:
        """Refuse images that headers tell do not lie on the first channel's grid."""
        from emrecon.tissue.data import (  # noqa: PLC0415 - brings numba
            CHANNEL,
            EXCLUSION,
            LABELS,
            MASK,
            same_grid,
        )

        headers = {what: input_files.image_header(path) for what, path in files.items()}
        every = [headers[f"channel{n}"] for n in range(1, len(self.images) + 1)]
        known = [header for header in every if header is not None]
        if len(known) < len(every):  # of a format whose data alone tell
            return
        first, *others = one_volume(known, self.files.volume)
        named = {CHANNEL.format(n): header for n, header in enumerate((first, *others), 1)}
        beside = {MASK: "mask", EXCLUSION: "exclude", LABELS: "labels"}
        named |= {words: header for words, w in beside.items() if (header := headers.get(w))}
        for words, header in named.items():
            same_grid(header, first, words, resample=self.settings.resample)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        voxels, mm3 = input_files.image_size(self.images[0])
        brain, channels = min(voxels, BRAIN_MM3 / max(mm3, 1e-6)), len(self.images)
        held = brain * BRAIN_BYTES + voxels * channels * VOXEL_BYTES
        more = (0.7 + 0.3 * channels) * (0.75 + self.settings.starts / 24)
        seconds = START_S + (START_S + brain * BRAIN_S) * more
        return Estimate(TISSUE_MB + held / base.MB, seconds)

    def begin(self, meters: Meters = no_meters, execution: Execution | None = None) -> SegmentRun:
        """Read images and find where to start.

        Parameters
        ----------
        meters, execution
            As of all jobs; nothing here takes long before the first iterate.

        Raises
        ------
        EmreconError
            If anything is wrong with input, settings or output.
        """
        from emrecon.tissue.segment import begin  # noqa: PLC0415 - brings numba

        with heard() as said:
            self.check(execution or Execution())
            files = self.named()
            volumes = {what: io.read_image(path) for what, path in files.items()}
            every = [volumes[f"channel{n}"] for n in range(1, len(self.images) + 1)]
            channels = one_volume(every, self.files.volume)
            fit = begin(
                channels,
                self.settings,
                mask=volumes.get("mask"),
                exclude=volumes.get("exclude"),
                means=np.array(self.files.means) if self.files.means else None,
                labels=volumes.get("labels"),
                prior_classes=self.files.prior_classes,
                deep_priors=self.files.deep_priors,
                head_maps=installed_maps,
                priors=[volumes[what] for what in forms.numbered("prior", self.files.priors)],
            )
        return SegmentRun(self, fit, channels, files, tuple(said))


def one_volume(channels: Sequence[Volume], number: int) -> list[Volume]:
    """Return channels of one volume each: those of several (4D) at a number, counted from 1.

    Raises
    ------
    SettingsError
        If a number is given and no channel has so many volumes, or none has several.
    """
    if not number:
        return list(channels)
    several = [len(one.voxels) for one in channels if one.voxels.ndim > 3]
    if not several:
        raise SettingsError("--volume: every image holds one volume alone, leave it away")
    if not 1 <= number <= min(several):
        raise SettingsError(f"--volume {number}: there are volumes 1 to {min(several)}")
    return [
        replace(one, voxels=one.voxels[number - 1]) if one.voxels.ndim > 3 else one
        for one in channels
    ]


@dataclass(frozen=True, eq=False)
class FitStage:
    """The fit of the image, or of the means of blocks of it."""

    image: Image
    """The model that is iterated."""

    strides: Strides
    """Voxels along i, j, k of a block."""

    updates: int
    """Most passes that are made."""

    name: str = "segmenting"
    """What is iterated."""


@dataclass(frozen=True, eq=False)
class SegmentRun:
    """A segmentation up to its first iterate."""

    job: SegmentationJob
    """What is segmented."""

    fit: Fit
    """What is iterated."""

    channels: list[Volume]
    """The images."""

    read: dict[str, Path]
    """Files that were read, by what they are."""

    said: tuple[str, ...] = ()
    """What was warned of on the way."""

    __repr__ = brief

    def iterate(
        self,
        look: Look = nobody,
        *rules: Rule,
        fitted: Callable[[], object] = lambda: None,
    ) -> SegmentResult:
        """Iterate stage after stage, and work out volumes and how sure they are.

        Parameters
        ----------
        look : callable
            Returns who watches a `FitStage`.
        *rules : callable
            Once one says that it is enough, each stage that is left makes one pass.
        fitted : callable, optional
            Called between the last iterate and the volumes.
        """
        from emrecon.jobs.segment_result import SegmentResult  # noqa: PLC0415 - brings nibabel
        from emrecon.tissue.segment import segmented  # noqa: PLC0415 - brings numba

        def watchers(image: Image, strides: Strides, most: int) -> Sequence[base.Observer]:
            return look(FitStage(image, strides, most))

        with heard() as said:
            segmentation = segmented(self.fit, watchers, *rules, fitted=fitted)
        own = segmentation.atlas is None or bool(self.job.files.priors)
        used = (
            segmentation.mask_from == "maps" or segmentation.average.matrix is not None or not own
        )
        read = self.read | (map_files() if used else {})
        job, every = self.job, tuple(dict.fromkeys((*self.said, *said, *segmentation.doubts)))
        return SegmentResult(
            segmentation, self.channels[0], read, job.out, job.stem, job.files, every
        )


def segment_files(
    images: Sequence[Path],
    out: Path,
    settings: Settings | None = None,
    files: TissueInputs | None = None,
    *,
    meters: Meters = no_meters,
) -> tuple[SegmentResult, tuple[Path, ...]]:
    """Segment images from files into a folder, as ``emrecon segment`` does, to the same bits.

    Parameters
    ----------
    images : sequence of Path
        Channels, on one grid.
    out : Path
        Folder to write.
    settings : Settings, optional
        How to segment.
    files : TissueInputs, optional
        Mask, exclusion mask, priors, labels and means.
    meters : callable, optional
        Makes the progress bars.

    Returns
    -------
    SegmentResult
        What was made, in memory.
    tuple of Path
        The files, the labels first.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; no file is written then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(0, 20, (20, 20, 20)) + 300
    >>> shell = np.abs(np.indices((20, 20, 20)) - 9.5).max(0)
    >>> noisy += (shell < 8) * 200 + (shell < 6) * 200  # fluid about grey about white
    >>> with TemporaryDirectory() as name:
    ...     t1, mask = Path(name) / "t1.nii", Path(name) / "mask.nii"
    ...     em.write_image(em.Volume(noisy.astype(np.float32), np.eye(4)), t1)
    ...     em.write_image(em.Volume(np.ones((20, 20, 20), np.float32), np.eye(4)), mask)
    ...     inputs = TissueInputs(mask=mask)
    ...     settings = em.TissueSettings(bias_mm=0, scale=1)
    ...     _, files = em.segment_files((t1,), Path(name) / "tissue", settings, inputs)
    ...     files[0].name
    't1_dseg.nii.gz'
    """
    job = SegmentationJob(tuple(images), out, settings or Settings(), files or TissueInputs())
    result, written = base.run(job, meters)
    return cast("SegmentResult", result), written
