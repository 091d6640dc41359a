"""Kernels compiled for processors of other kinds: lanes by the machine, and the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from tests.tomo.makers import ring

X86 = numba.config.CPU_NAME is None and "x86_64" in llvm.get_default_triple()
KINDS = {
    "avx2": ("haswell", "+avx,+avx2,+fma,+bmi,+bmi2"),
    "avx512": ("skylake-avx512", "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"),
    "generic": ("generic", ""),
}


def on(kind: str, code: str, *args: str) -> str:
    """Run code where numba compiles for a kind of processor, and return what it prints."""
    name, features = KINDS[kind]
    chosen = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, **chosen}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


SUM = """
import sys
import numba
import numpy as np
from emrecon.tomo.kernels import axial_sums, simd

def add_up(x, where, near, far, out):
    axial_sums.each(axial_sums.gather, out.size, x, 7, where, near, far, where.size, out, 0)

f, n = numba.float32[::1], numba.int64[::1]
plain = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # the loops alone
kernel = numba.njit((f, n, f, f, f), **plain)(add_up)
"""


@pytest.mark.skipif(not X86, reason="compiles for processors of one family")
@pytest.mark.parametrize(
    ("kind", "lanes", "register"),
    [("avx2", 8, "ymm"), ("avx512", 16, "zmm"), ("generic", 8, "xmm")],
)
def test_lanes_are_those_of_the_machine(kind: str, lanes: int, register: str) -> None:
    code = SUM + "print(simd.LANES); print(kernel.inspect_asm(kernel.signatures[0]))"
    first, assembly = on(kind, code).split("\n", 1)
    assert int(first) == lanes
    assert f"%{register}" in assembly
    assert "vmaskmov" not in _loops(assembly)
    assert ("vfmadd" in assembly) == (kind != "generic")


def _loops(assembly: str) -> str:
    """Return the multiply-adds and what follows them."""
    lines, kept = assembly.splitlines(), []
    for i, line in enumerate(lines):
        if "vfmadd" in line:
            kept += lines[i : i + 4]
    return "\n".join(kept)


def test_arm_gets_vectors_of_its_own() -> None:
    code = SUM + "print(kernel.inspect_llvm(kernel.signatures[0]))"
    written = on("generic", code) if X86 else on("avx2", code)
    assert "llvm.x86" not in written
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    lines = [line for line in written.splitlines() if "target datalayout" not in line]
    module = llvm.parse_assembly("\n".join(lines))
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=3)
    assembly = machine.emit_assembly(module)
    assert ".4s" in assembly


PROJECT = """
import sys
import numpy as np
from tests.tomo.makers import ring

op, rng = ring(5), np.random.default_rng(0)
image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
np.savez(sys.argv[1], forward=op.forward(image), adjoint=op.adjoint(data))
"""


@pytest.mark.skipif(not X86, reason="compiles for processors of one family")
def test_another_machine_gives_the_same_to_rounding(tmp_path: object) -> None:
    on("generic", PROJECT, f"{tmp_path}/other.npz")
    other, op, rng = np.load(f"{tmp_path}/other.npz"), ring(5), np.random.default_rng(0)
    image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
    for name, mine in (("forward", op.forward(image)), ("adjoint", op.adjoint(data))):
        np.testing.assert_allclose(other[name], mine, rtol=0, atol=2e-6 * mine.max())
