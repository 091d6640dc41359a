"""Expectation-maximisation for medical images: reconstruction and tissue segmentation.

The names here are the whole product; each is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emrecon.em import Iterate, Model, em, last, until, watch

if TYPE_CHECKING:
    from emrecon.io import read_image, write_image
    from emrecon.io.scan import open_events, read_scan
    from emrecon.jobs import run
    from emrecon.jobs.convert import ConversionJob
    from emrecon.jobs.measure import MeasurementJob
    from emrecon.jobs.recon import ReconstructionJob, reconstruct
    from emrecon.jobs.segment import SegmentationJob, segment_files
    from emrecon.jobs.simulate import SimulationJob
    from emrecon.stop import Flat, after
    from emrecon.tissue.segment import segment
    from emrecon.tissue.settings import Settings as TissueSettings
    from emrecon.tomo.algorithms.mlem import Mlem
    from emrecon.tomo.algorithms.mltr import Mltr
    from emrecon.tomo.inputs import CameraFacts, Corrections
    from emrecon.tomo.likelihood import Likelihood
    from emrecon.tomo.listmode_settings import ListmodeSettings
    from emrecon.tomo.operators.algebra import Operator, as_linear_operator
    from emrecon.tomo.operators.projector import projector
    from emrecon.tomo.prepare import prepare, recon
    from emrecon.tomo.radon import from_radon
    from emrecon.tomo.scan import Scan
    from emrecon.tomo.settings import Settings
    from emrecon.tomo.transmission import Transmission
    from emrecon.volume import Grid, Volume
    from phantoms.simulate import simulate

_PLACES = {
    "emrecon.io": ("read_image", "write_image"),
    "emrecon.io.scan": ("open_events", "read_scan"),
    "emrecon.jobs": ("run",),
    "emrecon.jobs.convert": ("ConversionJob",),
    "emrecon.jobs.measure": ("MeasurementJob",),
    "emrecon.jobs.recon": ("ReconstructionJob", "reconstruct"),
    "emrecon.jobs.segment": ("SegmentationJob", "segment_files"),
    "emrecon.jobs.simulate": ("SimulationJob",),
    "emrecon.stop": ("Flat", "after"),
    "emrecon.tissue.segment": ("segment",),
    "emrecon.tomo.algorithms.mlem": ("Mlem",),
    "emrecon.tomo.algorithms.mltr": ("Mltr",),
    "emrecon.tomo.inputs": ("CameraFacts", "Corrections"),
    "emrecon.tomo.likelihood": ("Likelihood",),
    "emrecon.tomo.listmode_settings": ("ListmodeSettings",),
    "emrecon.tomo.operators.algebra": ("Operator", "as_linear_operator"),
    "emrecon.tomo.operators.projector": ("projector",),
    "emrecon.tomo.prepare": ("prepare", "recon"),
    "emrecon.tomo.radon": ("from_radon",),
    "emrecon.tomo.scan": ("Scan",),
    "emrecon.tomo.settings": ("Settings",),
    "emrecon.tomo.transmission": ("Transmission",),
    "emrecon.volume": ("Grid", "Volume"),
    "phantoms.simulate": ("simulate",),
}
_LATER = {name: (place, name) for place, names in _PLACES.items() for name in names}
_LATER["TissueSettings"] = ("emrecon.tissue.settings", "Settings")

__all__ = [
    "CameraFacts",
    "ConversionJob",
    "Corrections",
    "Flat",
    "Grid",
    "Iterate",
    "Likelihood",
    "ListmodeSettings",
    "MeasurementJob",
    "Mlem",
    "Mltr",
    "Model",
    "Operator",
    "ReconstructionJob",
    "Scan",
    "SegmentationJob",
    "Settings",
    "SimulationJob",
    "TissueSettings",
    "Transmission",
    "Volume",
    "__version__",
    "after",
    "as_linear_operator",
    "em",
    "from_radon",
    "last",
    "open_events",
    "prepare",
    "projector",
    "read_image",
    "read_scan",
    "recon",
    "reconstruct",
    "run",
    "segment",
    "segment_files",
    "simulate",
    "until",
    "watch",
    "write_image",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import the heavier public names when they are first asked for (PEP 562)."""
    from importlib import import_module  # noqa: PLC0415 - keeps the package's import quick

    if name == "__version__":
        return import_module("importlib.metadata").version("emrecon")
    if name not in _LATER:
        raise AttributeError(f"module 'emrecon' has no attribute {name!r}")
    place, own = _LATER[name]
    return getattr(import_module(place), own)


def __dir__() -> list[str]:
    """Return the public names, which are all that tab completion shows."""
    return list(__all__)
