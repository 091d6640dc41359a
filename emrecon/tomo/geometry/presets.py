"""Scanners by name, for simulation and for files that name a scanner without describing it.

Numbers of rings and crystals, radii, depths of interaction, ring spacings, bins and blocks are
those of the scanner database of STIR (UCL/STIR, ``Scanner.cxx``, version 6) unless a comment
gives another source. Crystals of a ring count the gaps between blocks where the manufacturer
numbers them as "virtual" crystals. View offsets are 0: a file that has one says so.
Time-of-flight bins divide the coincidence window equally; a file that has some says which.
Energy windows and resolutions at 511 keV are those of the performance measurements named beside
them; where none is, a scanner has none.
"""

from __future__ import annotations

from emrecon.errors import SettingsError
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.energy import BISMUTH, EnergyWindow
from emrecon.tomo.geometry.tof import Timing

MMR = Scanner(
    name="Siemens mMR",
    rings=64,
    crystals=504,  # 56 blocks of 8 crystals and a gap (Delso et al. 2011, J Nucl Med 52:1914)
    ring_spacing_mm=4.0625,
    radius_mm=328.0,
    doi_mm=7.0,
    bin_mm=2.08626,
    max_bins=344,
    block_crystals=(9, 8),
    energy=EnergyWindow(430, 610, 0.145),  # Delso et al. 2011
)

MCT = Scanner(
    name="Siemens mCT",
    rings=55,  # 4 blocks of 13 and a gap between two
    crystals=672,  # 48 blocks of 13 crystals and a gap
    ring_spacing_mm=4.054,
    radius_mm=421.0,
    doi_mm=7.0,
    bin_mm=2.005,
    max_bins=400,
    block_crystals=(14, 14),
)

VISION_600 = Scanner(
    name="Siemens Vision 600",
    rings=80,
    crystals=798,  # 38 blocks of 20 crystals of 3.2 mm and a gap
    ring_spacing_mm=3.29114,  # axial field of view 26.3 cm (van Sluis et al. 2019, J Nucl Med 60)
    radius_mm=410.0,
    doi_mm=7.0,
    bin_mm=1.6,
    max_bins=520,
    block_crystals=(21, 10),
    timing=Timing.of_ps(210.0, 4730.0 / 33, 33),  # window and resolution: van Sluis et al. 2019
    # Window: van Sluis et al. 2019; resolution: about 10 % for the same detectors (Prenosil et al.
    # 2022, J Nucl Med 63:476).
    energy=EnergyWindow(435, 585, 0.10),
)

DISCOVERY_MI_4 = Scanner(
    name="GE Discovery MI 4 rings",
    rings=36,
    crystals=544,
    ring_spacing_mm=5.52296,
    radius_mm=371.1,  # with the depth below an effective radius of 380.5 mm
    doi_mm=9.4,
    bin_mm=2.206,
    max_bins=415,
    block_crystals=(4, 9),
    # Window 4.9 ns, resolution 375.4 ps: Hsu et al. 2017, J Nucl Med 58:1511.
    timing=Timing.of_ps(375.4, 4900.0 / 29, 29),
    energy=EnergyWindow(425, 650, 0.094),  # Hsu et al. 2017
)

SIGNA_PETMR = Scanner(
    name="GE Signa PET/MR",
    rings=45,
    crystals=448,
    ring_spacing_mm=5.56,
    radius_mm=311.8,
    doi_mm=8.5,
    bin_mm=2.01565,
    max_bins=357,
    block_crystals=(4, 9),
    # Window 4.57 ns, resolution 390 ps: Levin et al. 2016, IEEE Trans Med Imaging 35:1907.
    timing=Timing.of_ps(390.0, 4570.0 / 27, 27),
    energy=EnergyWindow(425, 650, 0.105),  # Levin et al. 2016
)

HR_PLUS = Scanner(
    name="ECAT HR+",
    rings=32,
    crystals=576,
    ring_spacing_mm=4.85,
    radius_mm=412.0,
    doi_mm=7.0,
    bin_mm=2.25,
    max_bins=288,
    block_crystals=(8, 8),
    # Window: Brix et al. 1997, J Nucl Med 38:1614; the resolution is a usual one of BGO blocks.
    energy=EnergyWindow(350, 650, 0.25, BISMUTH),
)

ECAT_931 = Scanner(
    name="ECAT 931",
    rings=8,
    crystals=512,
    ring_spacing_mm=13.5,
    radius_mm=510.0,
    doi_mm=7.0,
    bin_mm=3.129,
    max_bins=192,
    block_crystals=(8, 4),
)

PRT_1 = Scanner(
    name="PRT-1",
    rings=16,
    crystals=384,
    ring_spacing_mm=6.75,
    radius_mm=373.0,  # with the depth below an effective radius of 380 mm
    doi_mm=7.0,
    bin_mm=3.1088,
    max_bins=128,
    block_crystals=(8, 8),
)

# Rings, crystals, blocks of 20 x 20, diameter, axial (127 mm) and transaxial (100 mm) field of
# view: Bao et al. 2009, J Nucl Med 50:401 and Phys Med Biol 54:2359. The depth is the mean one of
# first interactions in 10 mm of LSO (0.083 per mm at 511 keV); the bin is the spacing it gives.
INVEON = Scanner(
    name="Siemens Inveon",
    rings=80,
    crystals=320,
    ring_spacing_mm=1.59,
    radius_mm=80.5,
    doi_mm=4.3,
    bin_mm=0.8325,
    max_bins=128,
    block_crystals=(20, 20),
    # Bao et al. 2009, with the usual window; what 10 mm of LSO take whole.
    energy=EnergyWindow(350, 650, 0.146, 1.30),
)

TINY = Scanner(
    name="tiny",  # no real scanner: as small as tests and examples want it
    rings=6,
    crystals=48,
    ring_spacing_mm=4.0,
    radius_mm=60.0,
    doi_mm=4.0,
    bin_mm=4.0,
    max_bins=23,
    block_crystals=(6, 3),
    energy=EnergyWindow(430, 610, 0.15),
)

PRESETS: dict[str, Scanner] = {
    "mMR": MMR,
    "mCT": MCT,
    "Vision 600": VISION_600,
    "Discovery MI 4": DISCOVERY_MI_4,
    "Signa PET/MR": SIGNA_PETMR,
    "HR+": HR_PLUS,
    "ECAT 931": ECAT_931,
    "PRT-1": PRT_1,
    "Inveon": INVEON,
    "tiny": TINY,
}
"""Scanners by short name."""

USUAL = {
    MMR.name: (11, 60),
    MCT.name: (11, 49),
    VISION_600.name: (19, 79),
    HR_PLUS.name: (9, 22),
    ECAT_931.name: (3, 1),  # with septa
    INVEON.name: (3, 79),
}
"""Usual axial compression: span and largest ring difference. GE's spans are not odd, so its
scanners have none here."""

# Other names of the same scanners in headers; the numbers are Siemens' model numbers.
_ALIASES: dict[str, Scanner] = {
    "Biograph mMR": MMR,
    "Siemens Biograph mMR": MMR,
    "2008": MMR,
    "Biograph mCT": MCT,
    "Siemens Biograph mCT": MCT,
    "2011": MCT,
    "1104": MCT,
    "1094": MCT,
    "Vision": VISION_600,
    "Biograph Vision": VISION_600,
    "Biograph Vision 600": VISION_600,
    "Siemens Biograph Vision 600": VISION_600,
    "1208": VISION_600,
    "GE Discovery MI": DISCOVERY_MI_4,
    "Discovery MI": DISCOVERY_MI_4,
    "Discovery MI4": DISCOVERY_MI_4,
    "Discovery MI 4 rings": DISCOVERY_MI_4,
    "PET/MR Signa": SIGNA_PETMR,
    "GE Signa": SIGNA_PETMR,
    "Signa": SIGNA_PETMR,
    "ECAT 962": HR_PLUS,
    "Siemens ECAT HR+": HR_PLUS,
    "RPT": PRT_1,
}


def by_name(name: str) -> Scanner:
    """Return the scanner called `name`, whatever its case, spaces and dashes.

    Raises
    ------
    SettingsError
        If no scanner of that name is known.
    """
    try:
        return _BY_KEY[_key(name)]
    except KeyError:
        raise SettingsError(
            f"no scanner called {name!r} is known; known are {', '.join(PRESETS)}"
        ) from None


def same_scanner(one: str, other: str) -> bool:
    """Return whether two names are of one scanner, by any of the names that it has here."""
    keys = {_key(one), _key(other)}
    known = {_BY_KEY[key].name if key in _BY_KEY else key for key in keys}
    return len(known) == 1


def usual_span(scanner: Scanner) -> tuple[int, int]:
    """Return the usual span and largest ring difference; span 3 and all rings where none is."""
    return USUAL.get(scanner.name, (3, scanner.rings - 1))


def _key(name: str) -> str:
    """Return a name as it is compared: letters, digits and plus signs alone, in lower case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")


_BY_KEY: dict[str, Scanner] = {
    _key(name): scanner
    for name, scanner in (
        *((scanner.name, scanner) for scanner in PRESETS.values()),
        *PRESETS.items(),
        *_ALIASES.items(),
    )
}
