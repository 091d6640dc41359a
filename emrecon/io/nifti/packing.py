"""The gzip that reads and writes ``.nii.gz``."""

from __future__ import annotations

try:
    from isal import igzip as gzip  # ISA-L: packs eight times as quickly as zlib
    from isal.isal_zlib import error as gzip_error
except ImportError:  # no wheel for this processor: zlib makes other bytes of the same content
    import gzip
    from zlib import error as gzip_error

__all__ = ["gzip", "gzip_error"]
