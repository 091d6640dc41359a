"""Attenuation that a reconstruction estimates from its own counts."""

from __future__ import annotations

from emrecon.errors import SettingsError
from emrecon.jobs.base import Meters
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import silent
from emrecon.volume import Volume


def with_attenuation(
    scan: Scan | ListmodeScan, corrections: Corrections, settings: Settings, meters: Meters
) -> tuple[Scan | ListmodeScan, Volume | None]:
    """Return a scan with its estimated attenuation map, and that map, if it is asked for.

    Raises
    ------
    SettingsError
        If there is no time of flight, or nothing of the map is known.
    """
    if not corrections.mlaa:
        return scan, None
    if not isinstance(scan, Scan):
        raise SettingsError("attenuation is not estimated from single events: leave out mlaa")
    from emrecon.tomo.joint import estimate_attenuation  # noqa: PLC0415 - of few scans

    scan.check()
    with meters("attenuation", 1) as meter:
        progress = meter.update if meter else silent
        estimate = estimate_attenuation(scan, settings, corrections.mlaa_passes, progress)
    facts = scan.facts | {"attenuation_estimate": estimate.facts}
    return scan.with_(mu=estimate.mu, facts=facts), estimate.mu
