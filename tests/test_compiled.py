"""Kernels are kept where that is possible, and run where it is not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
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


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("tasks", [0, 1, 3, 100])
def test_every_task_is_done_once_whoever_helps(monkeypatch, threads, tasks) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: threads)
    done = np.zeros(tasks, int)

    def work(begin: int, end: int, by: int) -> None:
        time.sleep(1e-4)  # lets others take some
        done[begin:end] += by

    compiled.share(work, tasks, 2)
    assert (done == 2).all()


def test_what_fails_in_any_thread_is_told_and_the_next_is_shared_again(monkeypatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both = threading.Barrier(2)

    def work(begin: int, end: int, culprit: str) -> None:
        both.wait(60)  # each thread has one task
        if threading.current_thread().name.startswith(culprit):
            raise ArithmeticError(begin, end)

    for culprit in (threading.current_thread().name, compiled.KERNEL_THREADS):
        with pytest.raises(ArithmeticError):
            compiled.share(work, 2, culprit)
    compiled.share(lambda begin, end: both.wait(60), 2)


@pytest.mark.parametrize("caller_fails", [False, True])
def test_all_that_began_have_ended_where_several_fail(monkeypatch, caller_fails) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 3)
    pool = ThreadPoolExecutor(2, compiled.KERNEL_THREADS)
    monkeypatch.setattr(compiled, "_helpers", lambda: pool)
    all_three, first_left, inside = threading.Barrier(3), threading.Event(), set()

    def work(begin: int, end: int) -> None:
        name = threading.current_thread().name
        inside.add(name)
        all_three.wait(60)  # each thread has one task
        if name.endswith("_1"):  # the second helper ends well after the first
            first_left.wait(60)
            time.sleep(0.05)
        inside.discard(name)
        if name.endswith("_0"):
            first_left.set()
        if caller_fails or name.startswith(compiled.KERNEL_THREADS):
            raise ArithmeticError(begin)

    with pytest.raises(ArithmeticError):
        compiled.share(work, 3)
    assert not inside
    pool.shutdown()


def test_helpers_end_when_told_and_are_there_again_when_needed(monkeypatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both = threading.Barrier(2)
    for _ in range(2):
        compiled.share(lambda begin, end: both.wait(60), 2)
        helpers = [one for one in threading.enumerate() if one.name.startswith("emrecon-kernel")]
        assert helpers
        compiled.end_helpers()
        for helper in helpers:
            helper.join(60)
            assert not helper.is_alive()


def test_without_helpers_a_thread_does_all_alone(monkeypatch) -> None:
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    monkeypatch.setattr(compiled, "_helpers", lambda: ended)
    done = np.zeros(9, int)

    def work(begin: int, end: int) -> None:
        done[begin:end] += 1

    compiled.share(work, 9)
    assert (done == 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_helpers_of_its_own() -> None:
    code = """
import multiprocessing, numba, threading
from emrecon.compiled import share

numba.get_num_threads = lambda: 2

def both(_=None):
    barrier = threading.Barrier(2)
    share(lambda begin, end: barrier.wait(60), 2)
    return "both"

both()
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(both, [None]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "['both']\n"


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
