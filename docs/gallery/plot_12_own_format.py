"""
A file format of your own
=========================

A format is an object with a name that recognises its files and reads them. Listed as an entry
point of a package, it is known to every command, to batches and to the panel. Here it is one for
arrays of NumPy, held to what the built-in formats are tested with.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.errors import FormatError
from emrecon.io.checking import check_format


class NumpyImage:
    """Arrays of NumPy as images with voxels of 1 mm."""

    name = "NumPy"

    def kind(self, head, path):
        """Recognise a file by its first bytes."""
        return "image" if head.startswith(b"\x93NUMPY") else None

    def describe(self, path, camera):
        """Say what ``emrecon info`` shows."""
        return {"kind": "NumPy array", "voxels": str(self.read_image(path).voxels.shape)}

    def read_image(self, path):
        """Read it, or say that it is damaged."""
        try:
            return em.Volume(np.load(path).astype(np.float32), np.eye(4))
        except (ValueError, EOFError) as error:
            raise FormatError(f"{path} is damaged: {error}") from error


# %%
# ``check_format`` cuts the sample short in several places and asks that each ends in a clear
# error, that no other format takes it for its own, and more.
with tempfile.TemporaryDirectory() as folder:
    sample = Path(folder) / "image.npy"
    i, j, k = np.indices((20, 24, 12))
    np.save(sample, np.exp(-((i - 8) ** 2 + (j - 14) ** 2 + (k - 5) ** 2) / 20.0))
    (Path(folder) / "work").mkdir()
    check_format(NumpyImage(), Path(folder) / "work", [sample])
    image = NumpyImage().read_image(sample)

# %%
# Two lines in the package's ``pyproject.toml`` make it known, see :doc:`/formats`.
figure, axes = plt.subplots(figsize=(4, 3.4))
axes.imshow(image.voxels[:, ::-1, 5].T, cmap="gray_r")
axes.set(title="read back", xticks=[], yticks=[])
plt.show()
