"""Warnings are kept for results: those of this thread, each once, and said all the same."""

from __future__ import annotations

import logging
from threading import Thread

import pytest

from emrecon.heard import heard

log = logging.getLogger("emrecon.tests")


def test_warnings_of_this_thread_are_kept_once_and_still_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with heard() as said:
        log.warning("look at %s", "it")
        log.info("nothing")
        log.warning("look at it")
        other = Thread(target=log.warning, args=("elsewhere",))
        other.start()
        other.join()
    log.warning("too late")
    assert list(said) == ["look at it"]
    assert caplog.text.count("look at it") == 2
    assert "elsewhere" in caplog.text


@pytest.mark.parametrize("every_thread", [False, True])
def test_what_is_silent_is_said_by_none_and_only_meanwhile(
    caplog: pytest.LogCaptureFixture, *, every_thread: bool
) -> None:
    with heard() as outside, heard("", every_thread=every_thread, silent=True) as said:
        log.warning("look at it")
        other = Thread(target=log.warning, args=("elsewhere",))
        other.start()
        other.join()
    log.warning("too late")
    assert list(said) == ["look at it", "elsewhere"][: 1 + every_thread]
    assert list(outside) == ["look at it"]
    assert "look at it" not in caplog.text
    assert ("elsewhere" in caplog.text) is not every_thread
    assert "too late" in caplog.text
