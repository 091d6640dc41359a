"""Which frame of a DICOM NM file holds which projection: by its vectors, never by order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import Attributes
from emrecon.tomo.inputs import CameraFacts

Ints = NDArray[np.int64]

VECTORS = {
    "window": ("EnergyWindowVector", "NumberOfEnergyWindows"),
    "interval": ("RRIntervalVector", "NumberOfRRIntervals"),
    "slot": ("TimeSlotVector", "NumberOfTimeSlots"),
    "detector": ("DetectorVector", "NumberOfDetectors"),
    "rotation": ("RotationVector", "NumberOfRotations"),
    "view": ("AngularViewVector", ""),
}
"""What frames run through: the vector that says where each is, and how many there are."""

GATED = frozenset({"interval", "slot"})
"""What only gated acquisitions run through."""

_PIXELS = {8: "1", 16: "2", 32: "4"}


@dataclass(frozen=True)
class Frames:
    """Where every frame belongs."""

    index: Ints
    """Number of the frame, shape ``(windows, intervals, slots, places)``."""

    places: Ints
    """Detector, rotation and view, all from 1, of each place; shape ``(places, 3)``."""


def frames_of(dataset: Attributes, supplied: CameraFacts) -> Frames:
    """Return where every frame belongs.

    Raises
    ------
    FormatError
        If vectors are missing, too long or too short, out of range, or if frames are there twice
        or not at all.
    """
    gated = dataset.words("ImageType")[2:3] == ["GATED TOMO"]
    count = dataset.count("NumberOfFrames")
    if count is None:
        raise dataset.refusal("NumberOfFrames", "a TOMO file has many frames")
    names = [name for name in VECTORS if gated or name not in GATED]
    _known_pointers(dataset, names)
    if supplied.frame_order:
        vectors = _in_order(dataset, supplied.frame_order, count)
    else:
        vectors = {name: _vector(dataset, name, count) for name in names}
    ones = np.ones(count, np.int64)
    keys = np.stack([vectors.get(name, ones) for name in VECTORS], axis=1)
    return _gathered(dataset, keys)


def pixel_values(dataset: Attributes) -> NDArray[np.float32]:
    """Return the frames, shape ``(frames, rows, columns)``.

    Raises
    ------
    FormatError
        If they are not grey values of one sample, are truncated, or cannot be decompressed.
    """
    photometric = dataset.text("PhotometricInterpretation")
    if photometric != "MONOCHROME2":
        raise dataset.refusal("PhotometricInterpretation", "counts are MONOCHROME2")
    if (dataset.count("SamplesPerPixel") or 1) != 1:
        raise dataset.refusal("SamplesPerPixel", "counts have 1")
    if dataset.number("RescaleIntercept"):
        raise dataset.refusal("RescaleIntercept", "raw counts have 0")
    rows, columns = dataset.count("Rows"), dataset.count("Columns")
    frames, bits = dataset.count("NumberOfFrames"), dataset.count("BitsAllocated")
    if not (rows and columns and frames):
        missing = "Columns" if rows else "Rows"
        raise dataset.refusal(missing, "the size of a frame is wanted")
    if bits not in _PIXELS:
        raise dataset.refusal("BitsAllocated", "8, 16 or 32 bits are read")
    return _decoded(dataset, (frames, rows, columns), _PIXELS[bits]) * slope(dataset)


def slope(dataset: Attributes) -> np.float32:
    """Return the counts that a stored value of 1 stands for."""
    stated = dataset.number("RescaleSlope")
    if stated is not None and not stated > 0:
        raise dataset.refusal("RescaleSlope", "it is above 0")
    return np.float32(1.0 if stated is None else stated)


def _decoded(dataset: Attributes, shape: tuple[int, int, int], size: str) -> NDArray[np.float32]:
    syntax = dataset.dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        try:
            return dataset.dataset.pixel_array.reshape(shape).astype(np.float32)
        except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
            raise FormatError(
                f"{dataset.path}: frames in {syntax.name} cannot be decompressed: {error}"
            ) from error
    raw = dataset.value("PixelData")
    kind = "i" if dataset.number("PixelRepresentation") else "u"
    wanted = math.prod(shape) * int(size)
    stored = 0 if raw is None else len(raw)
    padding = b"" if raw is None else raw[wanted:]  # PS3.5 section 8.1.1 lets readers expect it
    if stored < wanted or padding.count(0) != len(padding):
        what = "truncated" if stored < wanted else "too long"
        raise FormatError(
            f"{dataset.path}: PixelData (7FE0,0010) is {what}: {stored} bytes, and {shape[0]} "
            f"frames of {shape[1]} x {shape[2]} pixels take {wanted}"
        )
    order = "<" if syntax.is_little_endian else ">"
    values = np.frombuffer(raw, f"{order}{kind}{size}", math.prod(shape))
    return values.reshape(shape).astype(np.float32)


def _known_pointers(dataset: Attributes, names: list[str]) -> None:
    """Refuse frames that run through something else than what is read here."""
    from pydicom.datadict import keyword_for_tag

    known = {VECTORS[name][0] for name in names}
    pointers = dataset.value("FrameIncrementPointer")
    listed = [] if pointers is None else np.atleast_1d(np.asarray(pointers, object)).tolist()
    for pointer in listed:
        keyword = keyword_for_tag(int(pointer))
        if keyword not in known:
            raise dataset.refusal(
                "FrameIncrementPointer",
                f"frames run through {keyword or hex(int(pointer))}, which this kind of "
                f"acquisition does not; known are {', '.join(sorted(known))}",
            )


def _vector(dataset: Attributes, name: str, frames: int) -> Ints:
    """Return one vector, from 1; where a file has only one of something, it needs none."""
    keyword, number = VECTORS[name]
    many = dataset.count(number) if number else None
    stored = dataset.integers(keyword)
    if stored is None:
        if many == 1:
            return np.ones(frames, np.int64)
        raise dataset.refusal(keyword, "every frame must say what it is", "--frame-order")
    if stored.size != frames:
        raise dataset.refusal(
            keyword, f"it has {stored.size} entries for {frames} frames", "--frame-order"
        )
    there = np.unique(stored)
    wanted = np.arange(1, (many or int(there[-1])) + 1)
    if not np.array_equal(there, wanted):
        raise dataset.refusal(
            keyword,
            f"entries are {there[0]} to {there[-1]}, {there.size} of them, but "
            f"{number or 'views'} go from 1 to {wanted.size}",
            "--frame-order",
        )
    return stored


def _in_order(dataset: Attributes, order: tuple[str, ...], frames: int) -> dict[str, Ints]:
    """Return the vectors of frames that run through the things in `order`, slowest first."""
    if unknown := sorted(set(order) - set(VECTORS)) or len(set(order)) != len(order):
        raise FormatError(
            f"--frame-order {' '.join(order)}: {unknown}; each once of {', '.join(VECTORS)}"
        )
    sizes = {name: dataset.count(VECTORS[name][1]) or 1 for name in VECTORS if name != "view"}
    left_out = [name for name, size in sizes.items() if size > 1 and name not in order]
    others = int(np.prod([sizes[name] for name in order if name != "view"]))
    if left_out or "view" not in order or frames % others:
        raise FormatError(
            f"{dataset.path}: --frame-order {' '.join(order)} does not explain {frames} frames "
            f"of {', '.join(f'{size} {name}s' for name, size in sizes.items() if size > 1)}"
        )
    sizes["view"] = frames // others
    steps = np.indices([sizes[name] for name in order]).reshape(len(order), -1) + 1
    return dict(zip(order, steps.astype(np.int64), strict=True))


def _gathered(dataset: Attributes, keys: Ints) -> Frames:
    """Return the frames by window, interval, slot and place; each must be there once."""
    names = list(VECTORS)
    seen, first, times = np.unique(keys, axis=0, return_index=True, return_counts=True)
    if times.max() > 1:
        at = int(np.argmax(times))
        twin = int(np.flatnonzero((keys == seen[at]).all(axis=1))[1])
        raise dataset.refusal(
            "AngularViewVector",
            f"frames {first[at] + 1} and {twin + 1} are both {_words(names, seen[at])}",
            "--frame-order",
        )
    places = np.unique(keys[:, 3:], axis=0)
    sizes = [len(np.unique(keys[:, column])) for column in range(3)]
    if len(keys) != len(places) * int(np.prod(sizes)):
        missing = _first_missing(keys, places)
        raise dataset.refusal(
            "NumberOfFrames", f"there is no frame for {_words(names, missing)}", "--frame-order"
        )
    index = np.lexsort(keys.T[::-1]).reshape(*sizes, len(places))
    return Frames(index, places)


def _first_missing(keys: Ints, places: Ints) -> Ints:
    """Return a combination that no frame has."""
    have = {tuple(row) for row in keys.tolist()}
    values = [np.unique(keys[:, column]).tolist() for column in range(3)]
    every = (
        (w, i, s, *place)
        for w in values[0] for i in values[1] for s in values[2] for place in places.tolist()
    )  # fmt: skip
    return np.array(next(key for key in every if key not in have))


def _words(names: list[str], key: Ints) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, key.tolist(), strict=True))
