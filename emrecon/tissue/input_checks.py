"""Which settings of a segmentation say something beside its other inputs."""

from __future__ import annotations

from collections.abc import Sequence

from emrecon.errors import SettingsError
from emrecon.tissue.settings import Settings


def check_used(
    settings: Settings,
    prior_classes: Sequence[int] = (),
    deep_priors: Sequence[int] = (),
    *,
    priors: bool = False,
    means: bool = False,
    labels: bool = False,
) -> None:
    """Refuse what would have no effect, or lacks what it needs.

    Parameters
    ----------
    settings : Settings
        How to segment.
    prior_classes : sequence of int, optional
        Class of each prior, from 1.
    deep_priors : sequence of int, optional
        Numbers of the priors of deep grey matter, from 1.
    priors, means, labels : bool, optional
        Whether there are some.

    Raises
    ------
    SettingsError
        If there is such a setting.
    """
    if settings.classes == "auto" and (priors or means or labels):
        raise SettingsError(
            "classes auto finds their number, and means, labels and priors are of a given one: "
            "say which (--classes)"
        )
    default = Settings()
    idle = [
        name for name in ("align", "atlas_weight") if vars(settings)[name] != vars(default)[name]
    ]
    idle += ["prior_classes"] * bool(prior_classes or deep_priors)
    if idle and not priors:
        raise SettingsError(f"{idle[0]} is about priors, and there are none: give them (--priors)")
    if means and labels:
        raise SettingsError("there are means and labels to start from: give one of the two")
    if deep_priors and not settings.tissues:
        raise SettingsError("deep_priors part grey matter, and the classes are not CSF, GM and WM")
    if settings.five_tissue and not deep_priors:
        raise SettingsError(
            "five_tissue tells cortical from subcortical grey matter, which intensities do not, "
            "nor the maps of emrecon[maps]: give priors, one or more of them of deep grey matter, "
            "and say which (--priors csf cortex deep wm --prior-classes 1 2 2 3 --deep-priors 3)"
        )
