"""Kernels are kept where that is possible, and run where it is not."""

from __future__ import annotations

import numba

from emrecon import compiled


def test_a_temporary_folder_serves_where_nothing_can_be_written(monkeypatch, caplog) -> None:
    def nowhere(*args, **options):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba, "njit", nowhere)
    compiled.keep_kernels()
    assert "emrecon-kernels-" in numba.config.CACHE_DIR
    assert "this run alone" in caplog.text


def test_nothing_changes_where_it_can() -> None:
    before = numba.config.CACHE_DIR
    compiled.keep_kernels()
    assert before == numba.config.CACHE_DIR
