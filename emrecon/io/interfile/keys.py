"""The keys of Interfile that decide where counts lie and what they are, and those that do not.

All are spelled as `emrecon.io.interfile.header` compares them: lower case, single blanks.
"""

from __future__ import annotations

SPELLINGS = {
    "image data byte order": "imagedata byte order",
    "data byte order": "imagedata byte order",
    "byte order": "imagedata byte order",
    "scale factor (mm/pixel)": "scaling factor (mm/pixel)",
    "scale factor (degree/pixel)": "scaling factor (degree/pixel)",
    "image scale factor": "image scaling factor",
    "data rescale slope": "image scaling factor",
    "rescale slope": "image scaling factor",
    "nud/rescale slope": "image scaling factor",
    "rescale intercept": "data rescale offset",
    "rescale offset": "data rescale offset",
    "data rescale intercept": "data rescale offset",
    "nud/rescale intercept": "data rescale offset",
    "x offset (mm)": "x offset",
    "y offset (mm)": "y offset",
    "first projection angle": "first projection angle in data set",
    "center of rotation": "centre of rotation",
}
"""Other names of a key, and the one under which it is asked for."""

ONE = (
    "number of detector layers",
    "number of energy windows",
    "number of gates",
    "number of time gates",
    "number of bed positions",
    "number of data sets",
    "number of data types",
    "number of image data types",
    "number of scan data types",
    "number of time windows",
    "total number of data sets",
)
"""Keys that may say 1 (or 0) and no more."""

ZERO = (
    "gantry tilt angle (degrees)",
    "gantry tilt (degrees)",
    "gantry slant angle (degrees)",
    "data rescale offset",
    "y offset",
)
"""Angles and offsets that must be 0."""

WORDS: dict[str, tuple[str, ...]] = {
    "scanner geometry (blocksoncylindrical/cylindrical/generic)": ("cylindrical",),
    "scanner geometry": ("cylindrical",),
    "pet scanner type": ("cylindrical",),
    "image data compression": ("none", "off"),
    "data compression": ("none", "off"),
    "data encode": ("none", "off"),
    "%compression": ("none", "off"),
    "septa state": ("none", "retracted", "extended"),
    "slice orientation": ("transverse",),
    "%patient orientation": ("hfs",),
}
"""Keys that decide where counts lie, and the words that change nothing about it."""

HARMLESS = frozenset(
    {
        "version of keys",
        "conversion program",
        "program author",
        "program version",
        "program date",
        "original institution",
        "contact person",
        "data description",
        "patient name",
        "patient id",
        "patient dob",
        "patient sex",
        "study id",
        "exam type",
        "data format",
        "process status",
        "transaxial fov diameter (cm)",
        "default number of arc-corrected bins",
        "number of blocks per bucket in transaxial direction",
        "number of blocks per bucket in axial direction",
        "number of crystals per singles unit in axial direction",
        "number of crystals per singles unit in transaxial direction",
        "distance between crystals in axial direction (cm)",
        "distance between crystals in transaxial direction (cm)",
        "distance between blocks in axial direction (cm)",
        "distance between blocks in transaxial direction (cm)",
        "number of radionuclides",
        "radionuclide halflife (sec)",
        "radionuclide branching factor",
        "maximum pixel count",
        "minimum pixel count",
        "acquisition mode",
        "acquisition start condition",
        "acquisition termination condition",
        "date of keys",
        "flood corrected",
        "horizontal bed translation",
        "injected volume (ml)",
        "institution",
        "number of images/energy window",
        "number of images/window",
        "originating system",
        "process label",
        "relative time of tracer injection (sec)",
        "study date",
        "study duration (acquired) sec",
        "study duration (elapsed) sec",
        "study duration (sec)",
        "study time",
        "study type",
        "time per projection (sec)",
        "total number of images",
        "tracer name",
    }
)
"""Keys that decide nothing here and are passed over without a word."""

SAYS_NOTHING = frozenset({"", "0", "0.0", "1", "none", "no", "n", "off", "unknown", "corrected"})
"""Values of a key that is not known for which it need not be named: they stand for nothing."""
