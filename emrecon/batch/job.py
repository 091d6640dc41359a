"""A job: one call of settings, inputs and outputs, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from emrecon.batch.fill import filled, names, path_names
from emrecon.errors import DataError, SettingsError
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition

Kind = Literal["recon", "segment", "simulate", "convert"]

CAMERA = "dicom"
"""Option of a simulation: let a gamma camera scan, and write DICOM."""

PINNED = "threads"
"""Setting that is a matter of the run, not of the job."""

ALONE = {"workers", "chunks"}
"""Flags of a reconstruction that takes several workers for itself."""


@dataclass(frozen=True)
class Conversion:
    """How to convert list-mode."""

    span: int = 11
    """Axial compression of the sinograms."""

    max_ring_difference: int | None = None
    """Largest ring difference to keep."""

    start_s: float = 0.0
    """Start of the part of a list-mode file to take."""

    stop_s: float = float("inf")
    """End of the part of a list-mode file to take."""


@dataclass(frozen=True)
class Job:
    """One job; everything in it survives JSON and pickle."""

    name: str
    """Name in reports; also of its log and record."""

    kind: Kind
    """What to do."""

    source: tuple[str, ...]
    """Files to work on: one scan, one or more images; of a simulation the phantom's name."""

    out: str
    """File or folder to write, as the command of this kind would take it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings and further files, by field name."""

    memory_mb: float = 0.0
    """Most memory that it may use; 0 leaves that to the run."""

    publish: Mapping[str, Any] = field(default_factory=dict)
    """Where finished files go in a BIDS dataset; empty elsewhere. See `emrecon.batch.bids`."""

    def plain(self) -> dict[str, Any]:
        """Return the job as JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Job:
        """Return the job that `plain` holds."""
        return cls(**(plain | {"source": tuple(plain["source"])}))

    def forms(self) -> tuple[Any, ...]:
        """Return the dataclasses that the options fill in, filled in.

        Raises
        ------
        SettingsError
            If a value is of another type than its field, or makes no sense.
        """
        return tuple(filled(form, self.options) for form in forms(self.kind, self.options))

    def settings(self) -> dict[str, Any]:
        """Return all settings that decide the result, defaults too, without files."""
        kinds = forms(self.kind, self.options)
        left_out = path_names(*kinds) | {PINNED, "checkpoint_every"}
        made = {name: value for form in self.forms() for name, value in asdict(form).items()}
        return {name: value for name, value in made.items() if name not in left_out}

    def inputs(self) -> dict[str, Path]:
        """Return every file that the job reads, by what it is.

        Raises
        ------
        EmreconError
            If a file is missing, or a header that names others cannot be read.
        """
        found = _INPUTS[self.kind](self)
        for what, path in found.items():
            if not path.exists():
                raise DataError(f"{what}: there is no file {path}")
        return found


def forms(kind: Kind, options: Mapping[str, Any]) -> tuple[type, ...]:
    """Return the dataclasses whose fields are the options of a kind of job."""
    if kind == "recon":
        return Settings, Corrections, CameraFacts, ListmodeSettings
    if kind == "segment":
        return TissueSettings, TissueInputs
    if kind == "simulate":
        return (Acquisition, CameraAcquisition) if options.get(CAMERA) else (Acquisition,)
    return Conversion, CameraFacts


def known_options(kind: Kind) -> set[str]:
    """Return the names of all options of a kind of job."""
    more = {CAMERA} if kind == "simulate" else set()
    return (names(*forms(kind, {CAMERA: True})) | more) - {PINNED}


def check_options(kind: Kind, options: Mapping[str, Any]) -> None:
    """Refuse names that no option of this kind has, and values that none could take.

    Raises
    ------
    SettingsError
        If there are any.
    """
    known = known_options(kind)
    for name in options:
        if name == PINNED:
            raise SettingsError("threads are the same for all jobs: give --threads instead")
        if name in ALONE:
            raise SettingsError(
                f"{name} is for one reconstruction over several machines (emrecon recon "
                f"--{name}); a batch gives each worker a scan of its own: leave it out, and give "
                "large scans more --threads"
            )
        if name not in known:
            raise SettingsError(f"a {kind} job has no {name!r}; it has {', '.join(sorted(known))}")
    for form in forms(kind, options):
        filled(form, options)


def _recon_inputs(job: Job) -> dict[str, Path]:
    from emrecon.io.manifest import scan_files  # noqa: PLC0415 - brings readers

    (source,) = job.source
    _there("scan", Path(source))
    parts = filled(Corrections, job.options)
    given = {name: getattr(parts, name) for name in path_names(Corrections)}
    for name, path in given.items():
        if path is not None:
            _there(name, path)
    return scan_files(Path(source), parts) | filled(ListmodeSettings, job.options).tables()


def _segment_inputs(job: Job) -> dict[str, Path]:
    inputs = {f"channel{n}": Path(path) for n, path in enumerate(job.source, 1)}
    for name in ("mask", "exclude"):
        if job.options.get(name):
            inputs[name] = Path(job.options[name])
    inputs |= {f"prior{n}": Path(p) for n, p in enumerate(job.options.get("priors", ()), 1)}
    return _with_data(inputs)


def _convert_inputs(job: Job) -> dict[str, Path]:
    return _with_data({"source": Path(job.source[0])})


def _simulate_inputs(job: Job) -> dict[str, Path]:
    return {}


def _with_data(inputs: dict[str, Path]) -> dict[str, Path]:
    from emrecon.io.formats import data_files  # noqa: PLC0415 - brings readers

    for what, path in inputs.items():
        _there(what, path)
    return inputs | data_files(inputs)


def _there(what: str, path: Path) -> None:
    if not path.exists():
        raise DataError(f"{what}: there is no {path}")


_INPUTS = {
    "recon": _recon_inputs,
    "segment": _segment_inputs,
    "simulate": _simulate_inputs,
    "convert": _convert_inputs,
}
