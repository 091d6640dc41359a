"""Faults to plant in scans, and a hand that kills workers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import nibabel as nib
import numpy as np


def truncate(scan: Path) -> None:
    """Cut the counts in half."""
    data = (scan / "prompts.s").read_bytes()
    (scan / "prompts.s").write_bytes(data[: len(data) // 2])


def poison(scan: Path) -> None:
    """Let one bin hold NaN."""
    counts = np.fromfile(scan / "prompts.s", np.float32)
    counts[100] = np.nan
    counts.tofile(scan / "prompts.s")


def garble(scan: Path) -> None:
    """Make a header unreadable."""
    (scan / "prompts.hs").write_bytes(bytes(range(256)) * 8)


def lose_mu(scan: Path) -> None:
    """Lose the attenuation map."""
    (scan / "mu.nii.gz").unlink()


def bloat(scan: Path) -> None:
    """Make the attenuation map huge in memory, though small on disk."""
    huge = nib.Nifti1Image(np.zeros((640, 640, 400), np.uint8), np.diag([0.5, 0.5, 0.5, 1.0]))
    nib.save(huge, scan / "mu.nii.gz")


class Killer:
    """Kills the worker of a job with SIGKILL once the job began, as its log says.

    Parameters
    ----------
    log : Path
        Log of the job.
    after_s : float
        How long after its beginning.
    """

    def __init__(self, log: Path, after_s: float = 0.3) -> None:
        self._log, self._after_s = log, after_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._lurk)
        self.killed: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _lurk(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(FileNotFoundError):
                if found := re.findall(r"pid (\d+) ", self._log.read_text()):
                    time.sleep(self._after_s)
                    os.kill(int(found[-1]), signal.SIGKILL)
                    self.killed.append(int(found[-1]))
                    return
