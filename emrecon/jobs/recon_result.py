"""What a reconstruction made, and its files: image, sidecar, picture, convergence log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import forms, io
from emrecon.brief import outcome
from emrecon.errors import DataError, SettingsError
from emrecon.files import write_text
from emrecon.io import sidecar
from emrecon.io.bids_pet import decay_keys, recon_keys, time_keys
from emrecon.io.frames import Frame
from emrecon.io.nuclides import nuclide_in
from emrecon.io.pictures.preview import preview
from emrecon.jobs.base import Summary
from emrecon.jobs.bundle import written_together
from emrecon.jobs.data_kinds import CAMERA, SINOGRAMS
from emrecon.jobs.recon_choice import MU, REGIONS, SCATTER, SWEEP, ReconChoice
from emrecon.jobs.recon_image import ImageResult
from emrecon.jobs.recon_images import Images
from emrecon.jobs.recon_scatter import draw_scatter
from emrecon.jobs.region_table import as_tsv, columns_of, text_of
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog, Row

log = logging.getLogger(__name__)

FEWEST, MOST = 1e-5, 1.1
"""Shares of the injected dose in an image beyond which it is warned of."""


@dataclass(frozen=True, eq=False)
class ReconResult:
    """What a reconstruction made: one image, or one a frame or gate."""

    job: ReconChoice
    """What was reconstructed."""

    source: Images
    """What each image was made of."""

    images: tuple[ImageResult, ...]
    """Each image."""

    stopped: bool
    """Whether a rule ended it before its settings did."""

    __repr__ = outcome

    @cached_property
    def volume(self) -> Volume:
        """The image; with frames, gates or betas, these are the first axis."""
        volumes = [image.volume for image in self.images]
        if not self.several:
            return volumes[0]
        voxels = np.stack([volume.voxels for volume in volumes])
        return Volume(voxels, volumes[0].affine, volumes[0].unit)

    @property
    def several(self) -> bool:
        """Whether there are frames, gates or several strengths of a prior."""
        return self.job.several

    @property
    def history(self) -> ConvergenceLog:
        """How the iterates of the last image fared."""
        return self.images[-1].history

    @property
    def subsets(self) -> int:
        """Number of updates in a pass over the data."""
        return self.images[-1].settings.subsets

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        at = self.images[0].facts["resumed_at_update"]
        counts = float(sum(image.facts["prompts"] for image in self.images))
        lines = [self._line(number) for number in range(len(self.images))]
        if not self._attenuated:
            normalised = self.source.corrections.normalisation
            held = ", unless the normalisation holds it" if normalised else ""
            lines.append(f"no mu-map, CT or factors: not corrected for attenuation{held}")
        quantifier = self.source.quantifier
        if quantifier.calibration and "scatter" not in quantifier.corrected:
            lines.append(f"not corrected for scatter: {self.volume.unit} are too high by it")
        if (dead := self.images[0].facts.get("dead_time_factor")) is not None:
            lines.append(f"dead time: {dead:.4g} times as many would have been counted")
        if (share := self._dose_share) is not None:
            lines.append(f"{100 * share:.3g} % of the injected dose is in the image")
        return Summary(tuple(lines), counts, self._curve(), self.subsets, at)

    @cached_property
    def _dose_share(self) -> float | None:
        """How much of the injected dose the image holds, or the frame with most; if known."""
        of = self.source.quantifier.dose_share
        shares = [of(image.volume, image.facts) for image in self.images]
        return max((share for share in shares if share is not None), default=None)

    def _curve(self) -> tuple[float, ...]:
        """Return the objective of all images together after every update.

        One that ended sooner counts by its last iterate of the same subset.
        """
        rows = [image.history.rows for image in self.images]

        def at(own: list[Row], n: int) -> float:
            beyond = max(0, n - len(own) + 1)
            return own[n - -(-beyond // self.subsets) * self.subsets].objective

        return tuple(sum(at(own, n) for own in rows) for n in range(max(map(len, rows))))

    def _line(self, number: int) -> str:
        """Return in a line what one image is."""
        image, facts = self.images[number], self.images[number].facts
        name = self.source.names[number]
        shape = " x ".join(str(n) for n in image.volume.voxels.shape)
        voxel = " x ".join(f"{v:.4g}" for v in image.volume.spacing_mm)
        seconds = image.history.rows[-1].seconds
        return (
            (f"{name}: " if self.several else "")
            + f"{facts['prompts']:.0f} prompts, {facts['background']:.0f} expected in background; "
            f"{image.reached.number} updates in {seconds:.1f} s; {shape} voxels of {voxel} mm"
        )

    def write(self, out: Path | None = None) -> tuple[Path, ...]:
        """Write the image with sidecar, picture and convergence log: all of them or none.

        Parameters
        ----------
        out : Path, optional
            Image to write, where it is another than the job's.

        Raises
        ------
        DataError
            If an image is not finite, or 0 everywhere.
        WriteError
            If a file cannot be written, or is one of the inputs.
        """
        for one in self.images:
            _check(one)
        job = self.job if out is None else replace(self.job, out=out)
        if job.out is None:
            raise SettingsError("there is no name to write the image to")
        job.check_format()
        outputs = job.outputs()
        about = self._about()
        inputs = self.images[-1].inputs
        with written_together(job.out, outputs[0].parent, outputs[0].name, inputs) as beside:
            image, *others, json, csv, png = (beside / path.name for path in outputs)
            sidecar.write(json, about)
            write_text(csv, self._log())
            shown, title = self._pictured
            preview(
                shown, png, title=f"{about['ReconMethodName']} {title}",
                several="gates" if job.listmode.gates else "frames",
            )  # fmt: skip
            self._write_others(others)
            if io.is_series(job.out):
                io.write_series(self.volume, beside, about)
            else:
                io.write_image(self.volume, image)
        _warn_of_stale(job, inputs.values())
        if self._dose_share is not None and not FEWEST < self._dose_share < MOST:
            log.warning(
                "%s: %.3g %% of the injected dose is in the image: check dose, unit, times and "
                "calibration", job.out.name, 100 * self._dose_share,
            )  # fmt: skip
        if job.checkpoint and self.source.key:
            job.checkpoint.unlink(missing_ok=True)
        return outputs

    @property
    def _pictured(self) -> tuple[Volume, str]:
        """What is drawn, and by how many passes it came; of a sweep the strength in the middle."""
        middle = len(self.images) // 2 if self.job.penalty.betas else -1
        image = self.images[middle]
        title = f"{image.passes} x {image.settings.subsets}"
        if not self.job.penalty.betas:
            return self.volume, title
        return image.volume, f"{title}, {self.source.names[middle]}, one of {len(self.images)}"

    @property
    def _mu(self) -> Volume:
        """The attenuation map that was estimated."""
        mu = self.images[0].mu
        assert mu is not None  # noqa: S101 - for the type alone
        return mu

    def _write_others(self, files: Sequence[Path]) -> None:
        """Write those of the files beside an image that only some runs make."""
        pairs = list(zip(self._apart, self.images, strict=True))
        for path in files:
            if path.name.endswith(SCATTER):
                draw_scatter([image.scatter for image in self.images], path)
            if path.name.endswith(MU):
                io.write_image(self._mu, path)
            if path.name.endswith(REGIONS):
                write_text(path, as_tsv([(a, one.regions) for a, one in pairs if one.regions]))
            if path.name.endswith(SWEEP):
                write_text(path, text_of([{**a, **_reached(one)} for a, one in pairs]))

    @property
    def _apart(self) -> list[dict[str, float]]:
        """What tells each image apart in a table: its frame, gate or strength of the prior."""
        if not self.several:
            return [{}]
        if betas := self.job.penalty.betas:
            return [{"beta": beta} for beta in betas[: len(self.images)]]
        name = "gate" if self.job.listmode.gates else "frame"
        return [{name: number} for number in range(1, len(self.images) + 1)]

    def _about(self) -> dict[str, Any]:
        """Return what is to be known about the image, for its sidecar."""
        newest, rows = self.images[-1], self.images[-1].history.rows
        about = sidecar.describe(self.volume, newest.settings, newest.inputs, self._facts, rows)
        about["Settings"] |= self._chosen
        if newest.regions is not None:
            chosen, count = forms.plain(self.job.regions), len(newest.regions.rows)
            about["Regions"] = chosen | newest.regions.facts | {"labels": count}
        if self.job.penalty.prior or self.job.kernel.kernel:
            about["ReconMethodName"] = self.job.method
        made = about["Settings"] | {"iterations": newest.passes}
        about |= recon_keys(made, about["ReconMethodName"])
        if self.several:
            about["Convergence"] = [
                {**apart, **asdict(row)}
                for apart, image in zip(self._apart, self.images, strict=True)
                for row in image.history.rows
            ]
        if self.source.data == CAMERA:
            return about
        return self._known() | self.source.quantifier.facts.values | about | self._timing()

    @property
    def _chosen(self) -> dict[str, Any]:
        """What was chosen beside the settings, as the sidecar has it beside them."""
        job, chosen = self.job, {"centre_mm": list(self.job.settings.centre_mm)}
        if job.penalty.prior:
            chosen |= forms.plain(job.penalty)
        if job.kernel.kernel:
            chosen |= forms.plain(job.kernel)
        said, whole = job.corrections, self.source.corrections  # whole: with the manifest's
        for form in (job.anatomical, said, whole, job.camera, job.listmode):
            chosen |= forms.told(form)
        tables = job.listmode.tables()  # among the inputs, with their checksums
        return {name: value for name, value in chosen.items() if name not in tables}

    @property
    def _facts(self) -> dict[str, Any]:
        """What was found of the image; of several, of each."""
        each = [image.facts for image in self.images]
        if self.job.penalty.betas:
            return {"betas": each}
        if self.job.listmode.gates:
            return {"gates": each, "gating": self.source.gates}
        if self.several:
            return {"frames": each}
        return each[0] | {"seconds_iterating": self.images[0].history.rows[-1].seconds}

    def _known(self) -> dict[str, Any]:
        """Return the required keys of BIDS PET that a person may state better."""
        by, data = self._attenuated, self.source.data
        words = {"mu": "mu-map", "ct": "mu-map of a CT", "attenuation": "factors"}
        if self.source.corrections.mlaa:
            words = dict.fromkeys(words, "mu-map estimated from the counts (MLAA)")
        nuclide = nuclide_in(str(self.images[0].facts.get("radionuclide", "")))
        isotope = {"TracerRadionuclide": nuclide.replace("-", "")} if nuclide else {}
        return isotope | {
            "AcquisitionMode": "3D sinograms" if data == SINOGRAMS else "list mode",
            "AttenuationCorrection": words.get(by[0], "STIR factors") if by else "none",
        }

    @property
    def _attenuated(self) -> list[str]:
        """What is known of attenuation, by the names of corrections."""
        names = ("mu", "ct", "attenuation", "correction")
        return [name for name in names if getattr(self.source.corrections, name)]

    def _timing(self) -> dict[str, Any]:
        """Return times and decay by the names of BIDS."""
        start_s = self.source.quantifier.facts.scan_start_s
        parts = self.images[:1] if self.job.penalty.betas else self.images
        factors = [image.facts.get("decay_factor", 1.0) for image in parts]
        corrected = self.job.listmode.decay_corrected or bool(self.source.quantifier.calibration)
        decay = factors if corrected else None
        if self.job.listmode.gates:
            durations = [image.facts["duration_s"] for image in self.images]
            return {"GateDuration": durations, **decay_keys(start_s, decay)}
        frames = [(frame.start_s, frame.duration_s) for frame in self.frames]
        seconds = self.images[0].facts["duration_s"] or self.source.quantifier.facts.duration_s
        if seconds and not frames:
            frames = [(0.0, float(seconds))]
        if frames:
            return time_keys(start_s, frames, decay)
        return decay_keys(start_s, decay)

    @property
    def frames(self) -> Sequence[Frame]:
        """The frames that there are images of; none of gates."""
        stretches = self.source.stretches[: len(self.images)]
        return [stretch for stretch in stretches if isinstance(stretch, Frame)]

    def _log(self) -> str:
        """Return the convergence log as CSV, of several images with the number of each first."""
        texts = [image.history.text() for image in self.images]
        if len(texts) == 1:
            return texts[0]
        (name,) = self._apart[0]
        pairs = zip(self._apart, texts, strict=True)
        rows = [f"{apart[name]},{row}" for apart, text in pairs for row in text.splitlines()[1:]]
        return "\n".join([f"{name},{texts[0].splitlines()[0]}", *rows, ""])


def _warn_of_stale(job: ReconChoice, inputs: Iterable[Path]) -> None:
    """Say which files of an earlier run lie beside an image as if they were of it."""
    for path in sorted({*job.stale()} - {*inputs}):
        log.warning("%s is of an earlier run, not of this image: remove it", path)


def _reached(image: ImageResult) -> dict[str, float]:
    """Return what one image of a sweep came to: in its last whole pass, subsets at their turns."""
    subsets = image.settings.subsets
    end = image.reached.number // subsets * subsets + (subsets == 1)
    rows = [row for row in image.history.rows if end - subsets <= row.sub_iteration < end]
    likelihood, penalty = sum(row.log_likelihood for row in rows), sum(row.penalty for row in rows)
    if len(rows) < subsets:  # it ended before
        likelihood = penalty = np.nan
    reached = {
        "objective": likelihood - penalty, "log_likelihood": likelihood, "penalty": penalty,
        "residual_percent": image.facts.get("residual_percent") or np.nan,
    }  # fmt: skip
    return reached | (columns_of(image.regions) if image.regions else {})


def _check(image: ImageResult) -> None:
    """Refuse an image that tells nothing."""
    voxels, prompts = image.volume.voxels, image.facts["prompts"]
    wrong = voxels.size - np.count_nonzero(np.isfinite(voxels))
    fewer = (
        f"reconstruct the {prompts:.6g} prompts with fewer than {image.settings.subsets} subsets"
    )
    if wrong:
        raise DataError(
            f"{wrong} of {voxels.size} voxels are not finite, and the image is not written: "
            f"{fewer}, and check the scale of normalisation and calibration"
        )
    if not voxels.any():
        raise DataError(f"the image is 0 everywhere, and is not written: {fewer}")
