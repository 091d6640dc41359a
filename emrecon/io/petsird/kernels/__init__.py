"""Compiled inner loops of the readers."""

from emrecon.compiled import keep_kernels

keep_kernels()
