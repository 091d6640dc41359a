"""An image of NIfTI's family written again as NIfTI: its numbers and header as they are."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib

from emrecon.io.nifti.reading import StoredImage, open_numbers, single_header
from emrecon.io.nifti.writing import write_stored


def copy(source: Path, path: Path) -> None:
    """Write an image of NIfTI, Analyze or MGH as NIfTI in one file, numbers in the type they have.

    The header of NIfTI is kept, time between frames, codes of space and intent included; its
    extensions are not, as they may name the patient.

    Raises
    ------
    FormatError
        If `source` is damaged, or does not hold real numbers.
    WriteError
        If `path` cannot be written.
    """
    stored = open_numbers(source)
    raw = stored.unscaled()
    kept = isinstance(stored.image.header, nib.Nifti1Header)
    header = _kept(stored) if kept else new_header(stored)
    header.set_slope_inter(*stored.scaling)
    write_stored(header, raw, path)


def _kept(stored: StoredImage) -> nib.Nifti1Header:
    header = single_header(stored.image.header)
    header["magic"] = header.single_magic
    header["vox_offset"] = 0
    header.extensions.clear()
    return header


def new_header(stored: StoredImage) -> nib.Nifti1Header:
    """Return the header of NIfTI for an image whose format has another."""
    source, header = stored.image.header, nib.Nifti1Header()
    header.set_data_dtype(stored.dtype.newbyteorder("="))
    header.set_data_shape(stored.shape)
    header.set_zooms(source.get_zooms()[: len(stored.shape)])
    if isinstance(source, nib.freesurfer.mghformat.MGHHeader):  # of which frames are ms apart
        header["pixdim"][4] /= 1000
    header.set_qform(stored.affine, 1)
    header.set_sform(stored.affine, 1)
    header.set_xyzt_units("mm", "sec")
    return header
