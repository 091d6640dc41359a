"""Pictures beside images."""
