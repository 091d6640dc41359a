"""What the panel reconstructs and what came of it; both can be said in Python and as a command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.io.frames import Frame
from emrecon.io.scan import wants_listmode
from emrecon.jobs import Begun, Reconstruction, finish
from emrecon.jobs_events import Begun as ListmodeBegun
from emrecon.jobs_events import Made
from emrecon.jobs_listmode import Frames, finish_listmode
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from emrecon.watchers import ConvergenceLog
from napari_plugin.said import constructor, flags

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """What to reconstruct, and how."""

    scan: Path
    """The scan, as `emrecon.io.scan.read_scan` takes it."""

    settings: Settings = field(default_factory=Settings)
    """How."""

    parts: Corrections = field(default_factory=Corrections)
    """Files with corrections."""

    camera: CameraFacts = field(default_factory=CameraFacts)
    """What to take from SPECT files."""

    listmode: ListmodeSettings = field(default_factory=ListmodeSettings)
    """How list-mode is taken."""

    def understood(self) -> Choice:
        """Return the choice, by events where the scan's file holds nothing else."""
        if self.by_listmode or not wants_listmode(self.scan, self.listmode):
            return self
        return replace(self, listmode=ListmodeSettings(list_mode=True))

    @property
    def by_listmode(self) -> bool:
        """Whether events, frames or gates are asked for."""
        return self.listmode != ListmodeSettings()


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run that ended."""

    choice: Choice
    """What was run."""

    begun: Begun
    """The scan and its models."""

    reached: Iterate[Image]
    """The iterate it ended with."""

    log: ConvergenceLog
    """How every iterate fared."""

    stopped: bool
    """Whether Stop ended it, not its settings."""

    @property
    def subsets(self) -> int:
        """Return the number of updates in a pass over the data."""
        return len(self.begun.problem.models)

    def save(self, output: Path) -> Reconstruction:
        """Write the image with sidecar, picture and convergence log."""
        return finish(self.begun, self.reached, self.log, output)

    def python(self) -> str:
        """Return Python that makes this image again."""
        updates = self.reached.number if self.stopped else None
        return as_python(self.choice, updates)

    def command(self) -> str:
        """Return the command line that makes this image again.

        Raises
        ------
        SettingsError
            If the run was stopped within a pass, which no command line does.
        """
        if not self.stopped:
            return as_command(self.choice)
        passes, beyond = divmod(self.reached.number, self.subsets)
        if beyond or not passes:
            raise SettingsError(
                f"the run was stopped at update {self.reached.number}, within a pass over "
                f"{self.subsets} subsets: the command line makes whole passes. Copy as Python "
                "makes this image again"
            )
        return as_command(replace(self.choice, settings=self._whole(passes)))

    def _whole(self, passes: int) -> Settings:
        return replace(self.choice.settings, iterations=passes, tolerance=0.0)


@dataclass(frozen=True, eq=False)
class ListmodeOutcome:
    """A run by events, in frames or in gates that ended."""

    choice: Choice
    """What was run."""

    begun: ListmodeBegun
    """What images it was to make."""

    made: tuple[Made, ...]
    """The images that it made."""

    stopped: bool
    """Whether Stop ended it, not its settings."""

    @property
    def times_s(self) -> tuple[float, float]:
        """Return start and step of frames that follow one another evenly; else 0 and 1."""
        frames = [each for each in self.begun.stretches if isinstance(each, Frame)]
        steps = {round(frame.duration_s, 6) for frame in frames}
        steps |= {round(b.start_s - a.start_s, 6) for a, b in pairwise(frames)}
        return (frames[0].start_s, steps.pop()) if len(steps) == 1 else (0.0, 1.0)

    def save(self, output: Path) -> Frames:
        """Write the image with sidecar, picture and convergence log."""
        return finish_listmode(self.begun, self.made, output)

    def python(self) -> str:
        """Return Python that makes this image again."""
        self._must_be_whole()
        return as_python(self.choice)

    def command(self) -> str:
        """Return the command line that makes this image again."""
        self._must_be_whole()
        return as_command(self.choice)

    def _must_be_whole(self) -> None:
        if self.stopped:
            raise SettingsError("the run was stopped: only one that went to its end can be copied")


def as_python(choice: Choice, updates: int | None = None) -> str:
    """Return Python that makes the same image; of so many updates, where the run was stopped."""
    words = {"settings": choice.settings, "parts": choice.parts}
    words |= {"how": choice.listmode} if choice.by_listmode else {"camera": choice.camera}
    given = {name: text for name, value in words.items() if (text := constructor(value))}
    imports = {
        "settings": "from emrecon.tomo.settings import Settings",
        "parts": "from emrecon.tomo.inputs import Corrections",
        "camera": "from emrecon.tomo.inputs import CameraFacts",
        "how": "from emrecon.tomo.listmode_settings import ListmodeSettings",
    }
    whole = updates is None
    used = [imports[name] for name in given]
    arguments = [f"Path({str(choice.scan)!r})", *(["Path('recon.nii.gz')"] if whole else [])]
    arguments += [f"{key}={text}" for key, text in given.items()]
    inside = "".join(f"    {argument},\n" for argument in arguments)
    if choice.by_listmode:
        used.append("from emrecon.jobs_listmode import reconstruct_listmode")
        body = f"made = reconstruct_listmode(\n{inside})"
    elif whole:
        used.append("from emrecon.jobs import reconstruct")
        body = f"made = reconstruct(\n{inside})"
    else:
        used += [
            "from emrecon.em import last, until",
            "from emrecon.io import write_image",
            "from emrecon.jobs import begin",
            "from emrecon.stop import after",
        ]
        body = (
            f"begun = begin(\n{inside})\n"
            f"reached = last(until(begun.problem.iterates(), after({updates})))\n"
            "write_image(begun.volume(reached.params), Path('recon.nii.gz'))"
        )
    return "\n".join(["from pathlib import Path", "", *sorted(used), "", body, ""])


def as_command(choice: Choice) -> str:
    """Return the command line that makes the same image."""
    words = ["emrecon", "recon", str(choice.scan), "-o", "recon.nii.gz"]
    return shlex.join(words + flags(choice.settings, choice.parts, choice.camera, choice.listmode))
