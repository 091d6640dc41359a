"""Independent tasks shared among threads, as kernels here look for it."""

from emrecon.compiled import share

__all__ = ["share"]
