"""Pictures kept while a run goes on, thinned so that they stay within a share of memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]

MOST = 32
"""Pictures kept of a run: new memory for each slows a run down."""

SPARSEST = 8
"""Updates between two pictures that a long run begins with: it may be stopped early."""


class History:
    """Keeps every n-th picture, `MOST` at most; n doubles whenever the next would not fit.

    The first is kept always, and so is the newest until the next is thinned.

    Parameters
    ----------
    most_bytes : int
        Memory that all pictures together may take; two are kept whatever it is.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.every = 1
        self._lock = threading.Lock()
        self._kept: dict[int, Image] = {}

    def keep_last(self) -> None:
        """Forget all but the newest."""
        with self._lock:
            self._kept = dict(list(self._kept.items())[-1:])

    def take_over(self, other: History) -> None:
        """Begin with the pictures of a run that goes on."""
        with self._lock:
            self._kept, self.every = dict(other._kept), other.every

    def expect(self, updates: int) -> None:
        """Keep fewer from the start, but every `SPARSEST`-th, where so many updates may come."""
        while self.every < SPARSEST and updates > MOST * self.every:
            self.every *= 2

    def wants(self, number: int) -> bool:
        """Return whether the picture of update `number` is one to keep."""
        return number % self.every == 0

    def keep(self, number: int, image: Image) -> None:
        """Keep a picture, which is not changed afterwards, dropping others to make room."""
        most = min(MOST, max(2, self.most_bytes // max(1, image.nbytes)))
        with self._lock:
            kept = dict(sorted((self._kept | {number: image}).items()))
            while len(kept) > most:
                ends = {min(kept), max(kept)}
                self.every *= 2
                kept = {n: i for n, i in kept.items() if n % self.every == 0 or n in ends}
            self._kept = kept

    def replace(self, numbers: Iterable[int], images: list[Image]) -> None:
        """Hold these pictures instead, all of them: somebody keeps them anyway."""
        with self._lock:
            self._kept, self.every = dict(zip(numbers, images, strict=True)), 1

    @property
    def numbers(self) -> list[int]:
        """Return the updates of which there is a picture, in order."""
        return list(self._kept)

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return sum(image.nbytes for image in self._kept.values())

    def words(self) -> str:
        """Return what is kept and what it takes, as a person reads it."""
        every = "" if self.every == 1 else f", 1 in {self.every}"
        images = "1 image" if len(self.numbers) == 1 else f"{len(self.numbers)} images"
        return f"{images} kept{every}; {self.bytes / 1e6:.0f} MB"

    def picture(self, place: int) -> tuple[int, Image]:
        """Return number and picture at a place of the history."""
        with self._lock:
            return list(self._kept.items())[place]

    def frames(self) -> Frames:
        """Return the pictures, of which there is one at least, as one array without copying."""
        with self._lock:
            return Frames(list(self._kept.values()))

    def nearest(self, number: int) -> int:
        """Return the place in the history of the picture nearest to an update.

        Raises
        ------
        IndexError
            If nothing is kept.
        """
        numbers = self.numbers
        if not numbers:
            raise IndexError("the history is empty")
        return min(range(len(numbers)), key=lambda k: abs(numbers[k] - number))


class Frames:
    """Images side by side along a first axis, as far as napari asks of an array.

    Images of 60 MB are not copied to be stacked: an index picks one, a slice of several stacks
    only what is left of each.

    Parameters
    ----------
    images : list of array
        All of one shape.
    """

    def __init__(self, images: list[Image]) -> None:
        self._images = images
        self.shape = (len(images), *images[0].shape)
        self.dtype = images[0].dtype
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401 - any index
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, slice):
            inside = [image[tuple(rest)] for image in self._images[first]]
            return np.stack(inside)
        if np.ndim(first):
            return np.stack([self._images[int(k)][tuple(rest)] for k in first])
        picked: NDArray[Any] = self._images[int(first)][tuple(rest)]
        return picked

    def __array__(
        self,
        dtype: np.dtype[Any] | None = None,
        copy: bool | None = None,  # noqa: FBT001 - numpy's protocol
    ) -> NDArray[Any]:
        return np.stack(self._images).astype(dtype or self.dtype, copy=False)
