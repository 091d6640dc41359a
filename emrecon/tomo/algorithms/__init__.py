"""Algorithms written once over any likelihood."""
