"""Loops over voxels for tissue classes."""

from emrecon.compiled import keep_kernels

keep_kernels()
