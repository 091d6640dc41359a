"""Energy windows and isotopes of DICOM NM files, and which window holds the photopeak."""

from __future__ import annotations

from emrecon.errors import FormatError, SettingsError
from emrecon.io.dicom.attributes import Attributes
from emrecon.io.nuclides import nuclide_in
from emrecon.io.spect import Window
from emrecon.tomo.inputs import CameraFacts

NUCLIDE_CODES = {
    "Tc-99m": ("C-163A8", "SRT", "^99m^Technetium"),
    "I-123": ("C-114A4", "SRT", "^123^Iodine"),
    "I-131": ("C-114B1", "SRT", "^131^Iodine"),
    "In-111": ("C-145A4", "SRT", "^111^Indium"),
    "Tl-201": ("C-138A9", "SRT", "^201^Thallium"),
    "Ga-67": ("C-131A2", "SRT", "^67^Gallium"),
}
"""DICOM's codes (PS3.16, CID 18): value, scheme and meaning."""


def nuclide_of(dataset: Attributes) -> str:
    """Return the isotope that the file names; empty where it names none."""
    for item in dataset.items("RadiopharmaceuticalInformationSequence"):
        texts = [
            code.text(keyword)
            for code in item.items("RadionuclideCodeSequence")
            for keyword in ("CodeMeaning", "CodeValue")
        ]
        for text in (*texts, item.text("Radiopharmaceutical")):
            if named := nuclide_in(text):
                return named
    return ""


def windows_of(dataset: Attributes, count: int) -> tuple[Window, ...]:
    """Return the energy windows; there must be `count` of them.

    Raises
    ------
    FormatError
        If there are more or fewer, or one has no limits or impossible ones.
    """
    items = dataset.items("EnergyWindowInformationSequence")
    if len(items) != count:
        raise dataset.refusal(
            "EnergyWindowInformationSequence",
            f"it has {len(items)} items for {count} energy windows in the frames",
        )
    return tuple(_window(item) for item in items)


def chosen_window(
    windows: tuple[Window, ...], nuclide: str, peaks_kev: tuple[float, ...], supplied: CameraFacts
) -> int:
    """Return which window to reconstruct: the one asked for, else that of the photopeak.

    Parameters
    ----------
    windows : tuple of Window
        Windows of the file.
    nuclide : str
        The isotope, empty where it is not known.
    peaks_kev : tuple of float
        Energies that it is imaged at, the main one first.
    supplied : CameraFacts
        May name a window.

    Raises
    ------
    SettingsError
        If there is no such window.
    FormatError
        If it cannot be told which one holds the photopeak.
    """
    listed = "; ".join(f"{number} {window}" for number, window in enumerate(windows, 1))
    if supplied.window:
        return _asked(windows, supplied.window, listed)
    if len(windows) == 1:
        return 0
    for peak in peaks_kev:
        holding = [number for number, window in enumerate(windows) if window.holds(peak)]
        if len(holding) == 1:
            return holding[0]
    why = f"not one alone holds a photopeak of {nuclide}" if peaks_kev else (
        f"the peaks of {nuclide} are not known here" if nuclide else "no isotope is named"
    )  # fmt: skip
    raise FormatError(
        f"which energy window to take? {why}: give --window (or --isotope), of {listed}"
    )


def _asked(windows: tuple[Window, ...], asked: str, listed: str) -> int:
    named = [n for n, window in enumerate(windows) if window.name.lower() == asked.lower()]
    if len(named) == 1:
        return named[0]
    if asked.isdecimal() and 1 <= int(asked) <= len(windows):
        return int(asked) - 1
    raise SettingsError(f"there is no one energy window {asked!r}; there are {listed}")


def _window(item: Attributes) -> Window:
    ranges = []
    for limits in item.items("EnergyWindowRangeSequence"):
        low = limits.number("EnergyWindowLowerLimit")
        high = limits.number("EnergyWindowUpperLimit")
        if low is None or high is None or not 0 <= low < high:
            raise limits.refusal(
                "EnergyWindowUpperLimit", "limits from 0 keV on, the upper above the lower"
            )
        ranges.append((low, high))
    if not ranges:
        raise item.refusal("EnergyWindowRangeSequence", "a window has limits in keV")
    return Window(item.text("EnergyWindowName"), tuple(ranges))
