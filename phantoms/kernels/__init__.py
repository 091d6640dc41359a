"""Loops compiled by numba: exact line integrals and voxels."""

from emrecon.compiled import keep_kernels

keep_kernels()
