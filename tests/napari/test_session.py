"""The session without Qt: orders are kept, the newest picture wins, memory stays capped."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from emrecon.errors import DataError
from napari_plugin.history import Frames, History
from napari_plugin.session import Session, Stopped


def counting(updates: int, seconds: float = 0.0, gate: threading.Event | None = None):
    """A job of so many updates; each waits for the gate, and makes a picture of its number."""

    def job(session: Session) -> int:
        session.total = updates
        number = -1
        for number in range(updates + 1):
            if gate is not None:
                gate.wait(60)
                gate.clear()
            time.sleep(seconds)
            image = np.full((2, 2, 2), number, np.float32)
            session.look(number, lambda image=image: image)
            if session.control.is_set():
                break
        session.last(number, lambda: image)
        return number

    return job


def test_a_run_goes_to_its_end_and_its_last_picture_is_there():
    session = Session(10_000)
    session.start(counting(7))
    assert session.join(60)
    assert (session.phase, session.result, session.number) == ("done", 7, 7)
    picture = session.slot.take()
    assert picture is not None
    assert picture.number == 7
    assert session.slot.take() is None
    assert session.history.numbers == list(range(8))


def test_pause_holds_and_steps_make_one_update_each(wait):
    session = Session(10_000)
    session.start(counting(100, 0.001), paused=True)
    wait(lambda: session.phase == "paused")
    assert session.number == 0
    for number in (1, 2, 3):
        session.control.step()
        wait(lambda number=number: session.phase == "paused" and session.number == number)
    time.sleep(0.25)  # longer than the control polls
    assert session.number == 3
    for _ in range(4):  # steps ordered faster than they are made are all made
        session.control.step()
    wait(lambda: session.phase == "paused" and session.number == 7)
    session.control.resume()
    assert session.join(60)
    assert session.result == 100


def test_pause_and_resume_within_one_update_leave_it_running(wait):
    gate = threading.Event()
    session = Session(10_000)
    session.start(counting(3, gate=gate))
    gate.set()
    wait(lambda: session.phase == "running" and not gate.is_set())
    session.control.pause()  # the job is inside its second update now
    session.control.resume()
    for number in (1, 2, 3):
        gate.set()
        wait(lambda number=number: session.number == number or session.phase == "done")
    assert session.join(60)
    assert session.phase == "done"


@pytest.mark.parametrize("then", ["seen", "stop"])
def test_the_first_update_waits_until_the_first_picture_was_seen(wait, then):
    session, began = Session(10_000, first_s=60.0), time.monotonic()
    session.start(counting(3))
    wait(lambda: session.slot.take() is not None)
    time.sleep(0.15)  # longer than the session polls
    assert (session.phase, session.number) == ("running", 0)
    (session.seen.set if then == "seen" else session.control.stop)()
    assert session.join(60)
    assert session.result == (3 if then == "seen" else 0)
    took = time.monotonic() - began
    assert session.seconds_spent <= took - 0.15  # the wait is none of the run's time


@pytest.mark.parametrize("paused", [False, True])
def test_stop_ends_a_run_that_goes_or_is_paused(wait, paused):
    session = Session(10_000)
    session.start(counting(10**9, 0.001), paused=paused)
    wait(lambda: session.phase == ("paused" if paused else "running"))
    assert session.close(60)
    assert session.phase == "stopped"
    assert session.result == session.number


def test_stop_ends_what_comes_before_the_first_iterate():
    begun, go = threading.Event(), threading.Event()

    def job(session: Session) -> None:
        begun.set()
        go.wait(60)
        session.preparing(1, 5)
        raise AssertionError("not reached")

    session = Session(1000)
    session.start(job)
    begun.wait(60)
    session.stop()
    assert session.phase == "stopped"  # at once: the thread comes to its end by itself
    assert session.close(0.0)
    go.set()
    assert session.join(60)
    assert (session.phase, session.error) == ("stopped", "")
    with pytest.raises(Stopped):
        session.preparing(1, 5)
    with pytest.raises(RuntimeError, match="one run"):
        session.start(job)


def test_warnings_of_the_run_are_kept_with_it_and_no_others():
    import logging

    def warned(session: Session) -> None:
        for text in ("%d subsets are used", "%d subsets are used", "look at %d"):
            logging.getLogger("emrecon.tomo").warning(text, 6)

    session = Session(1000)
    session.start(warned)
    logging.getLogger("emrecon.tomo").warning("of another thread")
    assert session.join(60)
    assert session.warnings == ["6 subsets are used", "look at 6"]


def test_a_kernel_that_is_compiled_is_named_and_stop_ends_it_there():
    import numba

    def job(session: Session) -> None:
        @numba.njit
        def _twice_a_number(x):
            return 2 * x

        assert _twice_a_number(1) == 2
        assert session.note == ""
        session.stop()
        _twice_a_number(1.5)
        raise AssertionError("not reached")

    class Noting(Session):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            notes.extend([value] if name == "note" and value else [])

    notes: list[str] = []
    session = Noting(1000)
    session.start(job)
    assert session.join(60)
    assert notes == ["compiling twice a number, once: it is kept"]
    assert (session.phase, session.error) == ("stopped", "")


def test_what_is_not_compiled_is_compiled_elsewhere_and_the_run_begun_again():
    from concurrent.futures import ThreadPoolExecutor

    import numba

    from emrecon.compiled import KERNEL_THREADS

    order = []

    def elsewhere(session: Session) -> None:
        order.append("elsewhere")

    def job(session: Session) -> int:
        order.append("begun")
        session.compile = elsewhere

        @numba.njit
        def _three_times(x):
            return 3 * x

        with ThreadPoolExecutor(2, KERNEL_THREADS) as pool:  # as kernels are run
            return int(pool.submit(_three_times, 2).result())  # compiled here in the end

    session = Session(1000)
    session.start(job)
    assert session.join(60)
    assert order == ["begun", "elsewhere", "begun"]
    assert (session.phase, session.result) == ("done", 6)


def test_stop_kills_a_process_that_compiles(wait, monkeypatch, tmp_path):
    from emrecon.jobs.recon import ReconstructionJob
    from napari_plugin import elsewhere

    begun = []

    class Watched(subprocess.Popen):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            begun.append(self)

    monkeypatch.setattr(elsewhere.subprocess, "Popen", Watched)
    session = Session(1000)
    session.start(
        lambda session: elsewhere.compiled_elsewhere(ReconstructionJob(tmp_path), session)
    )
    wait(lambda: begun)
    session.stop()
    assert session.join(60)
    assert [process.returncode for process in begun] == [-signal.SIGKILL]


def test_slow_motion_shows_every_update_and_can_be_left(wait):
    session = Session(1000)
    session.pace_s = 0.01
    shown = []
    session.slot.put = lambda picture: shown.append(picture.number)
    session.start(counting(10**6))
    wait(lambda: len(shown) >= 6)
    assert shown[:6] == list(range(6))
    session.pace_s = 0.0
    wait(lambda: session.number > 200)
    assert session.close(60)


def test_a_mistake_is_told_in_words_and_a_fault_with_its_kind(caplog):
    def mistaken(session: Session) -> None:
        raise DataError("counts are negative\nin 3 bins")

    def faulty(session: Session) -> None:
        raise KeyError("oops")

    session = Session(1000)
    session.start(mistaken)
    assert session.join(60)
    assert (session.phase, session.error) == ("failed", "counts are negative in 3 bins")
    session = Session(1000)
    session.start(faulty)
    assert session.join(60)
    assert "KeyError" in session.error
    assert "the run failed" in caplog.text


def test_what_fails_after_a_run_was_told_to_stop_is_not_told(caplog):
    reads, ended = threading.Event(), threading.Event()

    def job(session: Session) -> None:
        reads.set()
        ended.wait(60)
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    session = Session(1000)
    session.start(job)
    assert reads.wait(60)
    session.stop()
    ended.set()
    assert session.join(60)
    assert (session.phase, session.error) == ("stopped", "")
    assert "the run failed" not in caplog.text


def test_two_runs_never_compute_at_once_and_a_paused_one_gives_way(wait):
    first, second = Session(1000), Session(1000)
    first.start(counting(10**9, 0.001))
    wait(lambda: first.phase == "running")
    second.start(counting(5))
    wait(lambda: second.note != "")
    assert second.phase == "preparing"
    first.control.pause()
    assert second.join(60)
    assert second.phase == "done"
    assert first.close(60)


def test_pictures_are_made_only_when_wanted_and_the_newest_is_given():
    session = Session(100)  # the history holds hardly any
    made = []

    def job(session: Session) -> None:
        for number in range(100):
            if number == 60:
                session.slot.ask()

            def show(number: int = number) -> np.ndarray:
                made.append(number)
                return np.full((8, 8, 8), number, np.float32)

            session.look(number, show)

    session.start(job)
    assert session.join(60)
    picture = session.slot.take()
    assert picture is not None
    assert picture.number == 60
    assert {0, 60} <= set(made)
    assert len(made) < 15  # the first, the one asked for, and powers of two for the history


def test_history_stays_within_its_memory_and_spans_the_run():
    history = History(10 * 4000)
    for number in range(1000):
        if history.wants(number):
            history.keep(number, np.full(1000, number, np.float32))
        assert history.bytes <= 10 * 4000
    kept = history.numbers
    assert kept[0] == 0
    assert len(kept) >= 5
    assert kept[-1] >= 1000 - history.every
    steps = np.diff(kept)
    assert set(steps[:-1]) == {history.every}
    assert history.numbers[history.nearest(500)] == min(kept, key=lambda n: abs(n - 500))
    history.keep_last()
    assert history.numbers == kept[-1:]
    with pytest.raises(IndexError):
        History(1).nearest(3)


def test_history_of_a_long_run_begins_with_fewer():
    for updates, every in ((32, 1), (33, 2), (240, 8), (10**6, 8)):
        history = History(10**6)
        history.expect(updates)
        assert history.every == every


def test_history_keeps_two_pictures_whatever_the_memory():
    history = History(1)
    for number in range(5):
        history.keep(number, np.zeros(10, np.float32))
    assert history.numbers == [0, 4]


def test_frames_index_as_the_stacked_array_does(rng):
    images = [rng.random((4, 5, 6)).astype(np.float32) for _ in range(3)]
    frames, stacked = Frames(images), np.stack(images)
    keys = [
        1,
        (2, slice(None), 3),
        (0, 1, slice(None), slice(None)),
        (slice(None), 2, slice(None), 4),
        (slice(1, None, 1), slice(None, None, 2)),
        (np.array([0, 2]), 1),
    ]
    for key in keys:
        np.testing.assert_array_equal(frames[key], stacked[key])
    np.testing.assert_array_equal(np.asarray(frames), stacked)
    assert (len(frames), frames.shape, frames.dtype) == (3, stacked.shape, stacked.dtype)


def test_time_left_leaves_pauses_out(wait):
    session = Session(1000)
    session.start(counting(200, 0.005))
    wait(lambda: session.number >= 20)
    session.control.pause()
    wait(lambda: session.phase == "paused")
    before = session.seconds_left()
    time.sleep(0.3)
    assert session.seconds_left() == before
    per_update = session.seconds_spent / session.number
    assert before == pytest.approx(per_update * (200 - session.number))
    assert session.close(60)


def test_nothing_but_the_widgets_knows_qt():
    folder = Path(__import__("napari_plugin").__file__).parent
    free = ("session", "history", "recon_job", "layers", "nifti_layers", "labels", "reader")
    for name in (*free, "writer", "samples", "views", "preferences"):
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert "qtpy" not in text, name
        assert "PyQt" not in text, name
