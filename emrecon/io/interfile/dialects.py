"""Interfile that is neither an image nor projections here: which dialect it is, and what to do."""

from __future__ import annotations

from emrecon.io.interfile.header import Header

SIEMENS = {
    "sinogram": "a Siemens sinogram: give the list-mode (PETLINK, .hdr) or, where there is none, "
    "convert it to STIR's Interfile",
    "norm": "a Siemens normalisation without '%number of normalization components'",
    "image": "a Siemens image header without axes x, y, z: give the header of the image itself",
}
"""What a header of Siemens' dialect is of, by a word in its name space."""


def dialect_of(header: Header) -> str:
    """Return what a header is of, or which keys it lacks, in words that say what to do."""
    space = header.text("%sms-mi header name space", default="").lower()
    kind = f"{space} {header.text('data format', default='').lower()}"
    for word, words in SIEMENS.items():
        if word in kind:
            return words
    return (
        "Interfile of neither images nor projections: 'matrix axis label [1]' is to be x or "
        "tangential coordinate, or 'number of projections' to be stated"
    )
