"""PETSIRD list-mode."""
