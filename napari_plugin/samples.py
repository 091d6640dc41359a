"""File > Open Sample: phantoms, and simulated scans of them with their truth.

A scan is simulated once for each version and kept in the user's cache folder as files, so that
the command line can reconstruct the very same one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emrecon import jobs
from emrecon.files import write_text
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.geometry.presets import by_name
from emrecon.volume import Grid
from napari_plugin import views
from napari_plugin.elsewhere import in_a_process
from napari_plugin.layers import KEY
from napari_plugin.reader import LayerData, read, volume_layer
from phantoms.acquisition import Acquisition, phantom_named
from phantoms.phantom import Phantom

if TYPE_CHECKING:
    from napari_plugin.session import Session

QUICK = Acquisition(
    scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4, counts=8e6
)
"""Few views and segments of a clinical scanner, so that a scan takes seconds."""

SCANS = {"brain": QUICK, "nema": replace(QUICK, bins=192)}
"""Ready-made scans, with bins enough for the phantom."""


def quick(phantom: str) -> Acquisition:
    """Return a scan that takes seconds, with bins enough for a phantom."""
    if phantom in SCANS:
        return SCANS[phantom]
    bins, most = QUICK.bins or 0, by_name(QUICK.scanner).max_bins
    while bins < most and not replace(QUICK, bins=bins).holds(phantom_named(phantom)):
        bins += 16
    return replace(QUICK, bins=bins)


log = logging.getLogger(__name__)

_WARNED = "warnings.txt"
"""File beside a simulated scan, of what was warned of then, a line each."""

EVENTS = "scan.petsird"
"""File of simulated list-mode."""

_VOXEL_MM = 2.5


def cache_folder() -> Path:
    """Return the folder in which simulated scans are kept."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - comes with napari

    return Path(user_cache_path("emrecon", appauthor=False)) / "samples"


def is_simulated(phantom: str) -> bool:
    """Return whether a ready-made scan is there."""
    return _is_written(_kept(_ready_made(phantom)))


def scan_folder(phantom: str, session: Session | None = None) -> Path:
    """Return the folder of a ready-made scan, simulated now if it is not there.

    Parameters
    ----------
    phantom : str
        One of `SCANS`.
    session : Session, optional
        What is told, and can end it.
    """
    return simulated(_ready_made(phantom), session)


def simulated(job: SimulationJob, session: Session | None = None) -> Path:
    """Return the folder of a scan, simulated now if it is not there.

    Parameters
    ----------
    job : SimulationJob
        What to simulate; where it is written is decided here.
    session : Session, optional
        What is told, and can end it at once: the work is a process of its own then.
    """
    job = _kept(job)
    folder = job.outputs()[0].parent
    warned = folder / _WARNED
    if not _is_written(job):
        if session is None:
            jobs.run(job)
        else:
            session.note = f"simulating {job.phantom}, once: its files are kept"
            earlier = len(session.warnings)
            in_a_process(job, session)
            write_text(warned, "\n".join(session.warnings[earlier:]))
            session.note = ""
    elif warned.exists():  # it is as true of the files that were kept
        for line in warned.read_text(encoding="utf-8").splitlines():
            log.warning("%s", line)
    return folder


def _ready_made(phantom: str) -> SimulationJob:
    return SimulationJob(phantom, acquisition=SCANS[phantom])


def _kept(job: SimulationJob) -> SimulationJob:
    """Return a job with its folder in the cache."""
    key = jobs.key_of(job, {})
    return replace(job, out=cache_folder() / f"{job.phantom}-{key}")


def _is_written(job: SimulationJob) -> bool:
    return job.outputs()[0].exists()  # the manifest, which is written last


def scan_layers(folder: Path, title: str) -> list[LayerData]:
    """Return prompts, and hidden the truth, attenuation map and labels, of a simulated scan.

    Single events are no image: of them there is no first layer.
    """
    layers = []
    if not (folder / EVENTS).exists():
        layers = [(d, info | {"name": f"{title} prompts"}, kind) for d, info, kind in read(folder)]
    for name in ("truth", "mu", "labels"):
        file = folder / f"{name}.nii.gz"
        for data, info, kind in read(file) if file.exists() else ():
            layers.append((data, info | {"name": f"{title} {name}", "visible": False}, kind))
    views.prefer()
    return layers


def brain_scan() -> list[LayerData]:
    """Return a simulated PET scan of a brain."""
    return scan_layers(scan_folder("brain"), "brain")


def nema_scan() -> list[LayerData]:
    """Return a simulated PET scan of the NEMA body phantom."""
    return scan_layers(scan_folder("nema"), "NEMA")


def phantom_layers(phantom: Phantom) -> list[LayerData]:
    """Return a phantom's activity, and hidden its attenuation and labels, on voxels of 2.5 mm."""
    from napari_plugin.labels import named  # noqa: PLC0415 - brings napari
    from napari_plugin.layers import volume_info  # noqa: PLC0415

    views.prefer()
    low, high = phantom.bounds_mm
    extent = [2 * max(-a, b) for a, b in zip(low, high, strict=True)]
    i, j, k = (int(length / _VOXEL_MM) + 3 for length in extent)
    grid = Grid.centred((i, j, k), (_VOXEL_MM,) * 3)
    activity = volume_layer(phantom.activity(grid), f"{phantom.name} activity")
    voxels, info, kind = volume_layer(phantom.mu(grid), f"{phantom.name} mu")
    mu: LayerData = (voxels, info | {"visible": False}, kind)
    marks, place = volume_info(phantom.label_map(grid))
    look = named(dict(phantom.labels), sorted(set(phantom.labels) - {0}))
    about = {"name": f"{phantom.name} labels", "visible": False, "metadata": {KEY: {}}}
    return [activity, mu, (marks.astype("uint8"), about | place | look, "labels")]


def brain() -> list[LayerData]:
    """Return the brain phantom."""
    return phantom_layers(phantom_named("brain"))


def nema() -> list[LayerData]:
    """Return the NEMA body phantom."""
    return phantom_layers(phantom_named("nema"))


def derenzo() -> list[LayerData]:
    """Return the Derenzo phantom."""
    return phantom_layers(phantom_named("derenzo"))


def shepp_logan() -> list[LayerData]:
    """Return the Shepp-Logan phantom."""
    return phantom_layers(phantom_named("shepp-logan"))


def flip_finder() -> list[LayerData]:
    """Return the flip finder phantom."""
    return phantom_layers(phantom_named("flip-finder"))


def cylinder() -> list[LayerData]:
    """Return the uniform cylinder."""
    return phantom_layers(phantom_named("cylinder"))
