"""What can go wrong, named so that a caller can tell the cases apart.

::

    EmreconError
     +-- GeometryError (ValueError)   shapes, affines, scanners that do not fit together
     +-- FormatError (ValueError)     a file that is not what its reader takes it for
     +-- DataError (ValueError)       values no model can have produced
     +-- SettingsError (ValueError)   a setting that makes no sense, alone or for this scan
     +-- WriteError (OSError)         an output that cannot be written
"""


class EmreconError(Exception):
    """Base of every error raised on purpose here.

    Examples
    --------
    >>> from pathlib import Path
    >>> import emrecon as em
    >>> try:
    ...     em.read_image(Path("nowhere.nii"))
    ... except EmreconError as error:
    ...     print(error)
    cannot read nowhere.nii: No such file or directory
    """


class GeometryError(EmreconError, ValueError):
    """Shapes, affines or scanner descriptions that do not fit together."""


class FormatError(EmreconError, ValueError):
    """A file that is not what its reader takes it for."""


class DataError(EmreconError, ValueError):
    """Values that no model can have produced: negative counts, NaN."""


class SettingsError(EmreconError, ValueError):
    """A setting that makes no sense, alone or for this scan."""


class WriteError(EmreconError, OSError):
    """An output that cannot be written."""
