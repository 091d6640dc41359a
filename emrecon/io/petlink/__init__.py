"""Siemens PETLINK list-mode."""
