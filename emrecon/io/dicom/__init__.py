"""DICOM: projections of gamma cameras (NM), CT."""
