"""A segmentation said in Python and as a command line, which make its files again."""

from __future__ import annotations

import shlex

from emrecon.errors import SettingsError
from napari_plugin.said import constructor, flags
from napari_plugin.tissue_job import Choice


def as_python(choice: Choice) -> str:
    """Return Python that makes the same segmentation.

    Raises
    ------
    SettingsError
        If some of it is in memory and in no file.
    """
    _in_files(choice)
    images = "".join(f"Path({str(path)!r}), " for path in choice.images).rstrip(", ")
    given = {"settings": constructor(choice.settings), "inputs": constructor(choice.inputs)}
    arguments = [f"[{images}]", "Path('segmentation')"]
    arguments += [f"{name}={text}" for name, text in given.items() if text]
    inside = "".join(f"    {argument},\n" for argument in arguments)
    used = ["from emrecon.jobs_tissue import segment_files"]
    used += ["from emrecon.tissue.inputs import TissueInputs"] if given["inputs"] else []
    used += ["from emrecon.tissue.settings import Settings"] if given["settings"] else []
    body = f"made = segment_files(\n{inside})"
    return "\n".join(["from pathlib import Path", "", *used, "", body, ""])


def as_command(choice: Choice) -> str:
    """Return the command line that makes the same segmentation.

    Raises
    ------
    SettingsError
        If some of it is in memory and in no file.
    """
    _in_files(choice)
    words = ["emrecon", "segment", *map(str, choice.images), "-o", "segmentation"]
    return shlex.join(words + flags(choice.settings, choice.inputs))


def _in_files(choice: Choice) -> None:
    if choice.given:
        names = ", ".join(str(name) for name in choice.given)
        raise SettingsError(f"save to files first, as nothing else can name them: {names}")
