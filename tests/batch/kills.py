"""Kill a command with SIGKILL, and hold what is left of it against an undisturbed run."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

VOLATILE = {"Created", "resumed_at_update", "seconds_iterating", "seconds", "checkpoint_every"}
"""What may differ between two runs of the same job."""


def start(*tokens: object, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    return _module("emrecon", *tokens, stderr=stderr)


def _module(*words: object, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", *map(str, words)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=stderr, start_new_session=True)


@contextmanager
def dask(folder: Path, *flags: object) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler and a worker as from a shell; give its address and the scheduler."""
    from distributed import Client

    file = folder / "scheduler.json"
    at = ["--scheduler-file", file, "--host", "127.0.0.1", "--no-dashboard"]
    with ExitStack() as ending:

        def begin(*words: object) -> subprocess.Popen[bytes]:
            process = _module(*words)
            ending.callback(process.wait)
            ending.callback(process.kill)
            return process

        scheduler = begin("distributed.cli.dask_scheduler", *at, "--port", 0)
        begin("distributed.cli.dask_worker", *at, "--nthreads", 1, "--no-nanny", *flags)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(1)
            address = client.scheduler.address
        yield address, scheduler


def finish(*tokens: object) -> int:
    """Run a command to its end."""
    return start(*tokens).wait()


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    """Kill a command once something is so; return whether it was still running."""
    struck = strike_when(process, ready, signal.SIGKILL)
    process.wait()
    return struck


def strike_when(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], sign: signal.Signals
) -> bool:
    """Send a command a signal once something is so; return whether it was still running."""
    wait_for(process, ready)
    process.send_signal(sign)
    return process.returncode is None


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Wait until something is so, or a command has ended."""
    while process.poll() is None and not ready():
        time.sleep(0.002)


def after(seconds: float) -> Callable[[], bool]:
    """Return what is so when this many seconds have passed from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def workers_gone(store: Path, wait_s: float = 120.0) -> bool:
    """Return whether the workers named in the logs of a batch end soon."""
    end = time.monotonic() + wait_s
    pids = {int(line.split("pid ")[1].split()[0])
            for log in (store / "logs").glob("*.log")
            for line in log.read_text().splitlines() if "pid " in line}  # fmt: skip
    while any(map(_lives, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def differences(folder: Path, undisturbed: Path, *, whole: bool) -> list[str]:
    """Return the results in which a folder differs from the one of an undisturbed run.

    With `whole`, a missing file is a difference too, and so is one left behind.
    """
    wrong = []
    names = {path.name for path in undisturbed.iterdir() if path.is_file()}
    if whole:
        wrong = [f"{path.name} is left" for path in folder.iterdir()
                 if path.is_file() and path.name not in names]  # fmt: skip
    for name in sorted(names):
        if (folder / name).exists():
            if _content(folder / name) != _content(undisturbed / name):
                wrong.append(f"{name} differs")
        elif whole:
            wrong.append(f"{name} is missing")
    return wrong


def _content(path: Path) -> object:
    """Return what must be the same whenever a job is done."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            return [{key: row[key] for key in row.keys() - VOLATILE} for row in rows]
    if path.suffix == ".json":
        return _lasting(json.loads(path.read_text()))
    return path.read_bytes()


def _lasting(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
