"""Loops compiled by numba: exact line integrals and voxels."""
