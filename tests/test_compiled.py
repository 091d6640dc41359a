"""Kernels are kept where that is possible, and run where it is not."""

from __future__ import annotations

import platform
import subprocess
import sys

import numba
import pytest

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


def test_it_is_told_what_is_compiled_but_not_what_was() -> None:
    told: list[str] = []

    def add_one(x):
        return x + 1

    def twice(x):
        return 2 * inner(x)

    inner, outer = compiled.inline()(add_one), numba.njit(twice)
    with compiled.compiling(told.append):
        assert outer(3) == 8
        assert outer(4) == 10
    assert told == ["twice", "add one", ""]
    assert outer(2.5) == 7.0
    assert told == ["twice", "add one", ""]


def test_what_is_ended_while_it_compiles_is_told_of_again_to_its_end() -> None:
    told: list[str] = []

    def tell(name: str) -> None:
        told.append(name)
        if told == ["add two"]:
            raise InterruptedError

    kernel = numba.njit(_add_two)
    with compiled.compiling(tell):
        with pytest.raises(InterruptedError):
            kernel(3)
        assert kernel(3) == 5
    assert told == ["add two", "", "add two", ""]


def _add_two(x):
    return x + 2


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="a setting of one C library")
def test_memory_that_was_freed_is_not_cleared_anew() -> None:
    code = """
import resource, sys
import numpy as np
from emrecon.memory import keep_freed

if sys.argv[1] == "keep":
    keep_freed()
np.ones(20_000_000, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(20_000_000, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        what: int(
            subprocess.run(
                [sys.executable, "-c", code, what], capture_output=True, text=True, check=True
            ).stdout
        )
        for what in ("keep", "give back")
    }
    assert faults["keep"] < 0.1 * faults["give back"]
