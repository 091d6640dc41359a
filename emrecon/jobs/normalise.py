"""The normalisation job: the scan of a known source to the detection efficiency of every bin."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emrecon import forms, io
from emrecon.brief import brief, outcome
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import DataError, SettingsError
from emrecon.io import sidecar
from emrecon.io.manifest import resolved
from emrecon.io.scan import read_scan
from emrecon.jobs import input_files
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
from emrecon.jobs.data_kinds import data_of, refuse_unused, sinograms_of
from emrecon.jobs.known_source import Source
from emrecon.jobs.refused import BY_NORMALISE, STATED
from emrecon.stop import Rule, after
from emrecon.tomo.corrections.ml_normalisation import Factors, SourceScan
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.scan import Scan, together

PAIR_S = 3e-9
"""Processor time for a pair of rings in a bin, there and back."""


BESIDE = 0.3
"""Share of the prompts less background on lines that miss the source, above which it is not that
source: scatter that is not given makes a tenth."""

RIGHT = "are its radius (not the diameter), its place and its attenuation right?"
"""What to check of a source."""


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

    __repr__ = brief

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        files = input_files.scan_inputs(self.scan, self.corrections)
        return files | input_files.with_data(forms.paths_in(self.source))

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

    def check(self, execution: Execution) -> None:
        """Refuse what efficiencies cannot be estimated of, as far as headers tell."""
        self.source.check()
        if self.out is not None and self.out.suffix != ".hs":
            raise SettingsError(f"efficiencies are written as Interfile (.hs), not {self.out}")
        check_outputs(self.outputs(), self.inputs(), anywhere=execution.MAKES_FOLDERS)
        self._refuse_unused()
        input_files.check_data(self.inputs())
        input_files.check_corrections(*resolved(self.scan, self.corrections))

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        bins = io.read_bins(*resolved(self.scan, self.corrections))
        if bins is None:
            return Estimate(BASE_MB, 0.0)
        lines = float(np.prod(bins.shape))
        seconds = START_S + lines * 3 * PAIR_S * 4 * self.source.iterations
        return Estimate(BASE_MB + 40 * lines / MB, seconds)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> NormalisationRun:
        """Read the scan, and refuse what efficiencies cannot be estimated of."""
        self.check(execution or Execution())
        with meters(f"reading {self.scan.name}", 1):
            scan, files = read_scan(self.scan, self.corrections)
            return NormalisationRun(self, scan, self._source_scan(scan), files)

    def _refuse_unused(self) -> None:
        """Refuse corrections that say what is estimated, or that are not made here."""
        named = set(forms.asked(self.corrections))
        if STATED & named:
            raise SettingsError(
                "efficiencies are what is estimated: leave out --norm, --normalisation, "
                "--correction and --additive"
            )
        if idle := sorted(BY_NORMALISE.intersection(forms.asked(self.corrections))):
            raise SettingsError(f"{idle[0]} says nothing about efficiencies: leave it out")
        if self.corrections.simulate_scatter:
            raise SettingsError(
                "scatter is not simulated here, as that needs the efficiencies: give a file"
            )
        prompts, stated = resolved(self.scan, self.corrections)
        refuse_unused(data_of(prompts, ListmodeSettings()), prompts.name, stated)
        if self.source.mu_per_mm and {"mu", "ct", "attenuation"}.intersection(
            forms.changed(stated)
        ):
            raise SettingsError("give mu_per_mm of the cylinder, or --mu, --ct or --attenuation")
        sinograms_of(
            prompts, stated,
            "efficiencies are estimated of PET sinograms without time of flight (--sum-tof)",
        )  # fmt: skip

    def _source_scan(self, scan: Scan) -> SourceScan:
        """Return the scan as the estimation wants it."""
        bins = scan.bins
        assert isinstance(bins, Bins)  # noqa: S101 - as its header told
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
        counted = SourceScan(bins, scan.prompts, lines, background)
        if (beside := counted.beside()) > BESIDE:
            raise SettingsError(
                f"{100 * beside:.2g} % of the prompts less background are on lines that miss the "
                f"source: {RIGHT}"
            )
        return counted


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

    __repr__ = brief

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
        if len(distances := self.counted.uncounted(reached.params)):
            bins = self.counted.bins
            middle = int(np.flatnonzero(self.counted.distance == 0)[0])
            away = abs(bins.s_mm[middle - distances[0]] - bins.s_mm[middle])
            raise DataError(
                f"hardly a count is {away:.3g} mm from the axis, where much of the source "
                f"would be seen: {RIGHT}"
            )
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

    __repr__ = outcome

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
            "Settings": forms.plain(job.source) | forms.told(job.corrections),
            "Facts": self.facts(),
            "Inputs": {what: sidecar.file_facts(p) for what, p in self.run.files.items()},
            "LogLikelihood": list(self.curve),
        }
        efficiency = self.run.counted.efficiency(self.reached.params)
        with written_together(job.out, job.out.parent, job.out.name, self.run.files) as beside:
            write_projections(beside / job.out.name, self.run.counted.bins, efficiency)
            sidecar.write(beside / outputs[-1].name, about)
        return outputs
