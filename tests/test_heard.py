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
