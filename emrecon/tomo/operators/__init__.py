"""Linear operators between images and counts."""
