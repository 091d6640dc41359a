"""``emrecon doctor``.

For example::

    emrecon doctor
    emrecon doctor --json > machine.json
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from emrecon.cli.common import Voice, VoiceFlags, print_table

NEEDED = (
    "emrecon", "numpy", "scipy", "numba", "llvmlite", "nibabel", "isal", "scikit-image", "pillow",
    "pydicom", "cyclopts", "msgspec", "psutil", "rich",
)  # fmt: skip
EXTRAS = (
    "napari", "PyQt6", "pyqtgraph", "distributed", "dask-jobqueue", "petsird",
    "bids-validator-deno",
)  # fmt: skip


def doctor(*, voice: VoiceFlags | None = None) -> None:
    """Say what there is to compute with: paste it into a report of a problem.

    Versions, processor and what its kernels may use, threads, memory, where compiled kernels are
    kept, and formats and phantoms of other packages.

    Parameters
    ----------
    voice
        How much is said.
    """
    tables = {
        "machine": machine(),
        "packages": {name: _version(name) or "MISSING" for name in NEEDED},
        "extras": {name: _version(name) or "not installed" for name in EXTRAS},
        "formats and phantoms": known(),
    }
    if (voice or Voice()).json:
        (voice or Voice()).tell_json(tables)
        return
    for title, rows in tables.items():
        print_table(title, rows.items())


def machine() -> dict[str, str]:
    """Return what the machine is, and what kernels use of it."""
    import llvmlite.binding as llvm  # type: ignore[import-untyped] # none are made
    import numba
    import psutil

    from emrecon.compiled import keep_kernels

    keep_kernels()
    features = dict(llvm.get_host_cpu_features())
    vectors = [name for name in ("avx2", "fma", "avx512f", "neon", "sve") if features.get(name)]
    memory = psutil.virtual_memory()
    return {
        "system": platform.platform(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "processor": f"{llvm.get_host_cpu_name()}, {platform.machine()}",
        "vectors": ", ".join(vectors) or "none known",
        "threads": f"{numba.config.NUMBA_NUM_THREADS} of {os.cpu_count()}",  # type: ignore[attr-defined] # set at run time
        "memory": f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free",
        "compiled kernels": numba.config.CACHE_DIR  # type: ignore[attr-defined] # set at run time
        or "beside the package, or the user's cache folder (NUMBA_CACHE_DIR is not set)",
    }


def known() -> dict[str, str]:
    """Return the formats and phantoms that are known, others' too."""
    from emrecon.io.formats import formats
    from phantoms import PHANTOMS

    return {"formats": ", ".join(one.name for one in formats()), "phantoms": ", ".join(PHANTOMS)}


def _version(name: str) -> str:
    """Return the version of a package; empty where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
