"""``emrecon simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Out, done, stage
from phantoms.acquisition import Acquisition, phantom_named

AcquisitionFlags = Annotated[Acquisition, Parameter(name="*", group="Acquisition", negative=None)]


def simulate(
    phantom: str,
    *,
    out: Out = Path("scan"),
    acquisition: AcquisitionFlags | None = None,
) -> None:
    """Simulate a scan of a phantom, with its truth beside it.

    Writes a folder: prompts, normalisation, attenuation, randoms and scatter as Interfile, truth,
    attenuation map and labels as NIfTI, and scan.toml that says which is which.

    Parameters
    ----------
    phantom
        cylinder, shepp-logan, nema, derenzo, flip-finder or brain.
    out
        Folder to write.
    acquisition
        What scans it, and how.
    """
    from emrecon.jobs import write_simulation

    acquisition = acquisition or Acquisition()
    with stage(f"counting {phantom}"):
        made = acquisition.scan(phantom_named(phantom))
    with stage("writing"):
        written = write_simulation(out, made)
    prompts = float(made.scan.prompts.sum(dtype="float64"))
    print(f"{prompts:.0f} prompts in {' x '.join(map(str, made.scan.bins.shape))} bins")
    done(*written)
