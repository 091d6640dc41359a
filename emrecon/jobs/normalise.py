"""The normalisation job: the scan of a known source to the detection efficiency of every bin."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emrecon import forms, io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import SettingsError
from emrecon.io import sidecar
from emrecon.io.manifest import scan_files
from emrecon.io.scan import read_scan
from emrecon.jobs import base
from emrecon.jobs.base import (
    BASE_MB,
    MB,
    START_S,
    Estimate,
    Execution,
    Look,
    Meters,
    Summary,
    no_meters,
    nobody,
)
from emrecon.jobs.bundle import check_outputs, keep_others, written_together
from emrecon.stop import Rule, after
from emrecon.tomo.corrections.ml_normalisation import Factors, SourceScan
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.scan import Scan, together
from emrecon.volume import Array

PAIR_S = 3e-9
"""Processor time for a pair of rings in a bin, there and back."""

LONG_MM = 1e4
"""Length of a cylinder that reaches beyond the scanner."""


@dataclass(frozen=True)
class Source:
    """The source that was scanned, and how long its efficiencies are iterated."""

    radius_mm: float = 0.0
    """Radius of a uniform cylinder along the scanner's axis, longer than its field of view."""

    at_mm: tuple[float, ...] = ()
    """Where the cylinder's axis is: x and y in RAS mm; by default in the middle."""

    mu_per_mm: float = 0.0
    """Attenuation of the cylinder, 1/mm (water 0.0096), where no map or factors are given."""

    activity: Path | None = None
    """Image of the source's activity in any unit, instead of a cylinder's radius."""

    iterations: int = 60
    """Steps of the crystals' efficiencies, each followed by one of the geometric profile."""

    def __post_init__(self) -> None:
        if len(self.at_mm) not in {0, 2} or not np.isfinite(self.at_mm).all():
            raise SettingsError(f"at_mm is x and y, not {self.at_mm}")
        if not (0 <= self.radius_mm < LONG_MM and 0 <= self.mu_per_mm < 1):
            raise SettingsError("radius_mm and mu_per_mm are 0 or more")
        if self.iterations < 1:
            raise SettingsError(f"iterations are 1 or more, not {self.iterations}")

    def check(self) -> None:
        """Refuse no source, or two.

        Raises
        ------
        SettingsError
            If neither or both of cylinder and image are given.
        """
        if bool(self.radius_mm) == (self.activity is not None):
            raise SettingsError(
                "what was scanned? say the radius of a cylinder (--radius-mm) or give an image of "
                "its activity (--activity)"
            )
        if self.activity is not None and (self.mu_per_mm or self.at_mm):
            raise SettingsError("at_mm and mu_per_mm are of a cylinder: give --mu with --activity")

    def lines(self, bins: Bins) -> tuple[Array, Array | None]:
        """Return the line integrals of the source, and attenuation factors if it states any."""
        from emrecon.tomo.operators.joseph import JosephProjector  # noqa: PLC0415 - brings numba
        from phantoms.lines import line_integrals  # noqa: PLC0415 - likewise
        from phantoms.shapes import cylinder  # noqa: PLC0415

        if self.activity is not None:
            image = io.read_image(self.activity).ras()
            return JosephProjector(image.grid(), bins.untimed).forward(image.voxels), None
        x, y = self.at_mm or (0.0, 0.0)
        body = cylinder((x, y, 0.0), (self.radius_mm, self.radius_mm), LONG_MM)
        lengths = line_integrals((body,), bins.untimed, (1.0,))
        np.maximum(lengths, 0, out=lengths)
        return lengths, np.exp(-np.float32(self.mu_per_mm) * lengths) if self.mu_per_mm else None


@dataclass(frozen=True)
class NormalisationJob:
    """Estimate detection efficiencies from the scan of a known source."""

    scan: Path
    """The scan: a folder or manifest, projections, list-mode."""

    out: Path | None = None
    """Efficiencies to write (.hs)."""

    source: Source = field(default_factory=Source)
    """The source that was scanned."""

    corrections: Corrections = field(default_factory=Corrections)
    """Files with randoms, scatter and attenuation of the scan."""

    KIND: ClassVar[str] = "normalise"

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        named = forms.paths_in(self.corrections) | forms.paths_in(self.source)
        base.must_exist({"scan": self.scan} | named)
        files = scan_files(self.scan, self.corrections) | forms.paths_in(self.source)
        base.must_exist(files)
        return files

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the header first."""
        if self.out is None:
            return ()
        return (self.out, self.out.with_suffix(".s"), sidecar.beside(self.out, ".json"))

    def keep_others(self) -> None:
        """Refuse to write over files that are no efficiencies by the same prompts.

        Raises
        ------
        WriteError
            If there are some.
        """
        outputs = self.outputs()
        if any(path.is_file() for path in outputs):
            prompts = self.inputs()["prompts"]
            ours = partial(sidecar.made_of, outputs[-1], "prompts", prompts)
            keep_others(outputs, str(prompts), ours=ours)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        bins = io.read_bins(self.inputs()["prompts"], self.corrections)
        if bins is None:
            return Estimate(BASE_MB, 0.0)
        lines = float(np.prod(bins.shape))
        seconds = START_S + lines * 3 * PAIR_S * 4 * self.source.iterations
        return Estimate(BASE_MB + 40 * lines / MB, seconds)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> NormalisationRun:
        """Read the scan, and refuse what efficiencies cannot be estimated of."""
        self.source.check()
        if self.out is not None and self.out.suffix != ".hs":
            raise SettingsError(f"efficiencies are written as Interfile (.hs), not {self.out}")
        check_outputs(self.outputs(), self.inputs())
        self._refuse_unused()
        with meters(f"reading {self.scan.name}", 1):
            scan, files = read_scan(self.scan, self.corrections)
            return NormalisationRun(self, scan, self._source_scan(scan), files)

    def _refuse_unused(self) -> None:
        """Refuse corrections that say what is estimated, or that are not made here."""
        named = set(forms.paths_in(self.corrections))
        if {"norm", "normalisation", "correction", "additive"} & named:
            raise SettingsError(
                "efficiencies are what is estimated: leave out --norm, --normalisation, "
                "--correction and --additive"
            )
        if self.corrections.simulate_scatter:
            raise SettingsError(
                "scatter is not simulated here, as that needs the efficiencies: give a file"
            )
        if self.corrections.mlaa:
            raise SettingsError("attenuation is not estimated here: give --mu or --mu-per-mm")
        if self.source.mu_per_mm and {"mu", "mu1", "ct", "attenuation"} & named:
            raise SettingsError("give mu_per_mm of the cylinder, or --mu, --ct or --attenuation")

    def _source_scan(self, scan: Scan) -> SourceScan:
        """Return the scan as the estimation wants it."""
        bins = scan.bins
        if not isinstance(bins, Bins) or bins.timing is not None:
            raise SettingsError(
                "efficiencies are estimated of PET sinograms without time of flight (--sum-tof)"
            )
        lines, stated = self.source.lines(bins)
        known = stated if scan.attenuation is None else scan.attenuation
        if scan.mu is not None:
            from emrecon.tomo.corrections.attenuation import factors  # noqa: PLC0415 - numba

            known = factors(scan.mu, bins)
        if known is not None:
            lines *= known
        parts = [part.copy() for part in (scan.randoms, scan.scatter) if part is not None]
        background = parts[0] if parts else None
        if len(parts) == 2:
            background = together(*parts)
        return SourceScan(bins, scan.prompts, lines, background)


@dataclass(frozen=True, eq=False)
class NormalisationRun:
    """An estimation up to its first iterate."""

    job: NormalisationJob
    """What is estimated."""

    scan: Scan
    """The scan as it was read."""

    counted: SourceScan
    """The counts of the source."""

    files: dict[str, Path]
    """The files that were read."""

    name: str = "efficiencies"
    """What is iterated."""

    @property
    def updates(self) -> int:
        """Most updates that it makes."""
        return 2 * self.job.source.iterations

    def iterate(self, look: Look = nobody, *rules: Rule) -> NormalisationResult:
        """Iterate to the end, or until a rule says that it is enough."""
        curve: list[float] = []
        steps = watch(
            self.counted.iterates(), lambda it: curve.append(it.log_likelihood), *look(self)
        )
        reached = last(until(steps, after(self.updates), *rules))
        return NormalisationResult(self, reached, tuple(curve))


@dataclass(frozen=True, eq=False)
class NormalisationResult:
    """Efficiencies, and how they were found."""

    run: NormalisationRun
    """What was estimated."""

    reached: Iterate[Factors]
    """The factors."""

    curve: tuple[float, ...]
    """Log-likelihood of every iterate."""

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        facts = self.facts()
        words = (
            f"{facts['prompts']:.6g} prompts; {facts['crystals_live']} crystals vary by "
            f"{100 * facts['crystal_spread']:.2g} %, {facts['crystals_dead']} count nothing"
        )
        return Summary((words,), facts["prompts"], self.curve)

    def facts(self) -> dict[str, Any]:
        """Return figures about the factors, for the sidecar."""
        crystals = self.reached.params.crystals
        live = crystals[self.run.counted.live(self.reached.params)]
        return {
            "prompts": float(self.run.scan.prompts.sum(dtype=np.float64)),
            "crystals_live": int(live.size),
            "crystals_dead": int(crystals.size - live.size),
            "crystal_spread": float(live.std() / live.mean()),
            "geometric_profile": (self.reached.params.profile / self.reached.params.profile[0]),
            "updates": self.reached.number,
        }

    def write(self) -> tuple[Path, ...]:
        """Write the efficiencies with a sidecar: all of them or none."""
        from emrecon.io.interfile import write_projections  # noqa: PLC0415 - not without a file

        job = self.run.job
        if job.out is None:
            raise SettingsError("there is no name to write the efficiencies to")
        outputs = job.outputs()
        about = {
            "GeneratedBy": sidecar.generated_by(),
            "Settings": forms.plain(job.source),
            "Facts": self.facts(),
            "Inputs": {what: sidecar.file_facts(p) for what, p in self.run.files.items()},
            "LogLikelihood": list(self.curve),
        }
        efficiency = self.run.counted.efficiency(self.reached.params)
        with written_together(job.out, job.out.parent, job.out.name, self.run.files) as beside:
            write_projections(beside / job.out.name, self.run.counted.bins, efficiency)
            sidecar.write(beside / outputs[-1].name, about)
        return outputs
