"""Jobs on list-mode: reconstruct it event by event, or frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import SettingsError
from emrecon.files import check_writable, keep_inputs, replacing, write_text
from emrecon.io import sidecar
from emrecon.io.frames import Frame
from emrecon.io.manifest import scan_files
from emrecon.io.pictures.preview import preview
from emrecon.jobs import Meters, no_meters
from emrecon.jobs_events import Begun, Made, Part, begin_listmode
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from emrecon.watchers import ConvergenceLog, Row


@dataclass(frozen=True, eq=False)
class Frames:
    """What a reconstruction of list-mode made."""

    volume: Volume
    """The image; with frames or gates, these first."""

    facts: list[dict[str, Any]]
    """What was found on the way, one a frame or gate."""

    histories: tuple[ConvergenceLog, ...]
    """How every iterate fared, one a frame or gate."""

    subsets: int
    """Updates in a pass over the data."""

    written: tuple[Path, ...]
    """Files, the image first."""


def reconstruct_listmode(
    path: Path,
    output: Path,
    settings: Settings | None = None,
    parts: Corrections | None = None,
    how: ListmodeSettings | None = None,
    *,
    meters: Meters = no_meters,
) -> Frames:
    """Reconstruct list-mode, event by event or as sinograms, whole or in frames.

    Parameters
    ----------
    path : Path
        A PETLINK list-mode header, a PETSIRD file (event by event), or the manifest of either.
    output : Path
        Image to write: ``.nii``, ``.nii.gz`` or, without frames and gates, ``.hv``.
    settings : Settings, optional
        How to reconstruct.
    parts : Corrections, optional
        Files with corrections; PETSIRD takes an attenuation map or CT, and scatter.
    how : ListmodeSettings, optional
        Frames or gates, and whether event by event.
    meters : callable, optional
        Makes the progress bars.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.
    """
    _refuse_output(output, how or ListmodeSettings())
    begun = begin_listmode(path, settings, parts, how)
    keep_inputs(_outputs(output), scan_files(begun.path, begun.parts) | begun.how.tables())
    with closing(begun.images(meters)) as images:
        made = [part.done(*_iterate(part, meters)) for part in images]
    return finish_listmode(begun, made, output)


def finish_listmode(begun: Begun, made: Sequence[Made], output: Path) -> Frames:
    """Write images with sidecar, picture and convergence log: all of them or none."""
    _refuse_output(output, begun.how)
    facts, histories = [one.facts for one in made], tuple(one.history for one in made)
    volume, newest = made[-1].volume, made[-1]
    if begun.how.several:
        voxels = np.stack([one.volume.voxels for one in made])
        volume = Volume(voxels, volume.affine, volume.unit)
    told = {"gates": facts, "gating": begun.gates} if begun.how.gates else {"frames": facts}
    about = sidecar.describe(
        volume, newest.settings, newest.inputs, told if begun.how.several else facts[0],
        newest.history.rows,
    )  # fmt: skip
    if begun.how.several:
        about["Convergence"] = [
            {"frame": n, **asdict(row)}
            for n, one in enumerate(made, 1)
            for row in one.history.rows
        ]
        about |= _timing(begun, facts)
    files = _outputs(output)
    _write(files, volume, about, _log_text(histories))
    return Frames(
        volume, facts, histories, newest.settings.subsets, (files[-1], *files[:-1])
    )  # fmt: skip


def likelihoods(histories: Sequence[ConvergenceLog], subsets: int) -> tuple[float, ...]:
    """Return the log-likelihood of all frames together after every update.

    One that ended sooner counts by its last iterate of the same subset.
    """
    rows = [history.rows for history in histories]
    longest = max(map(len, rows))

    def at(own: list[Row], n: int) -> float:
        behind = max(0, n - len(own) + 1)
        return own[n - -(-behind // subsets) * subsets].log_likelihood

    return tuple(sum(at(own, n) for own in rows) for n in range(longest))


def _outputs(image: Path) -> tuple[Path, ...]:
    """Return the files of a reconstruction, the image last."""
    return (*(sidecar.beside(image, end) for end in (".json", ".csv", ".png")), image)


def _refuse_output(output: Path, how: ListmodeSettings) -> None:
    """Refuse what cannot be written."""
    if io.image_format(output).name != "NIfTI" and how.several:
        raise SettingsError("several frames or gates are written as NIfTI: name it .nii.gz")
    check_writable(output)


def _iterate(part: Part, meters: Meters) -> tuple[Iterate[Array], ConvergenceLog]:
    """Run the loop to its end; return the last iterate and the log."""
    problem = part.problem
    history = ConvergenceLog(len(problem.models))
    with meters(part.name, problem.settings.iterations * len(problem.models)) as meter:
        observers = [history, meter] if meter else [history]
        reached = last(until(watch(problem.iterates(), *observers), *problem.enough()))
    return reached, history


def _timing(begun: Begun, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the times of frames, by the names of BIDS, or those of gates."""
    frames = [stretch for stretch in begun.stretches[: len(facts)] if isinstance(stretch, Frame)]
    times: dict[str, Any] = {
        "FrameTimesStart": [frame.start_s for frame in frames],
        "FrameDuration": [frame.duration_s for frame in frames],
    }
    if begun.how.gates:
        times = {"GateDuration": [told["duration_s"] for told in facts]}
    return times | {
        "ImageDecayCorrected": begun.how.decay_corrected,
        "ImageDecayCorrectionTime": 0,
        "DecayCorrectionFactor": [told["decay_factor"] for told in facts],
    }


def _log_text(histories: Sequence[ConvergenceLog]) -> str:
    """Return the convergence log as CSV, of several frames with the number of each first."""
    texts = [history.text() for history in histories]
    if len(texts) == 1:
        return texts[0]
    rows = [f"{n},{row}" for n, text in enumerate(texts, 1) for row in text.splitlines()[1:]]
    return "\n".join([f"frame,{texts[0].splitlines()[0]}", *rows, ""])


def _write(made: tuple[Path, ...], volume: Volume, about: dict[str, Any], rows: str) -> None:
    """Write the image and what goes with it: all of them or, whatever goes wrong, none."""
    with ExitStack() as stack:
        sides = [stack.enter_context(replacing(path)) for path in made[:3]]
        sidecar.write(sides[0], about)
        write_text(sides[1], rows)
        used = about["Settings"]
        title = f"{about['ReconMethodName']} {used['iterations']} x {used['subsets']}"
        preview(volume, sides[2], title=title)
        io.write_image(volume, made[3])
