"""Grey matter of a brain on an ECAT HR+ with a T1: OSEM and filter, MAP, Bowsher, kernel EM.

Run as ``python -m tests.benchmarks.brain_kernels [draws] [picture.png]``: 18 CPU seconds a draw.
In white matter lies a lesion that the PET alone has, and a structure, grey on the T1, that the T1
alone has. Bias is that of the mean over the draws; noise the standard deviation over the draws of
a voxel, over the mean; both of voxels that are nine tenths grey matter.
"""
# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from emrecon.em import last, until
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.operators.kernel import kernel_of
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Grid
from phantoms import brain, mri
from phantoms.acquisition import Acquisition
from phantoms.phantom import BRAIN_PER_MM, Phantom
from phantoms.shapes import Body, Material, ellipsoid
from phantoms.simulate import Simulation

SETTINGS = Settings(iterations=6, subsets=6, voxel_mm=(4.0, 4.0, 4.85), size=(44, 52, 31))
LESION_MM, MR_ONLY_MM = (28.0, -36.0, 10.0), (-28.0, -36.0, 10.0)
RADIUS_MM = 8.0
TISSUE_OF = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
LIKE = Acquisition(views=48, bins=144, span=9, max_ring_difference=4, counts=3e6, noise=False)
WHITE, HOT = Material(5.0, BRAIN_PER_MM), Material(25.0, BRAIN_PER_MM)


def ball(centre: tuple[float, float, float]) -> Body:
    """Return a ball of hot tissue in white matter, labelled as grey matter."""
    return ellipsoid(centre, (RADIUS_MM,) * 3).filled(HOT, inside=WHITE, label=4)


def with_ball(centre: tuple[float, float, float]) -> Phantom:
    """Return the brain with such a ball."""
    head = brain()
    return replace(head, bodies=(*head.bodies, ball(centre)))


@dataclass(frozen=True)
class Head:
    """What a scan is made of, and the T1 on the grid of the image."""

    like: Acquisition = LIKE
    settings: Settings = SETTINGS

    @cached_property
    def made(self) -> Simulation:
        """The scan without noise."""
        return self.like.scan(with_ball(LESION_MM))

    @cached_property
    def grid(self) -> Grid:
        """Where the image lies."""
        return prepare(self.made.scan, self.settings).grid

    @cached_property
    def truth(self) -> Array:
        """Activity in counts/mm."""
        own = with_ball(LESION_MM).activity(self.grid).voxels
        return own * np.float32(self.made.facts["counts_per_mm_per_unit"])

    @cached_property
    def tissues(self) -> Array:
        """Fractions of CSF, grey and white matter, ``(3, i, j, k)``: of the true head."""
        return self._brain(brain())

    @cached_property
    def t1(self) -> Array:
        """The T1, with the structure that it alone has, ``(1, i, j, k)``."""
        head = mri.from_phantom(with_ball(MR_ONLY_MM), TISSUE_OF, self.grid)
        scan = mri.Scan(noise_percent=2, bias_percent=0)
        image, _ = mri.acquire(head, scan, np.random.default_rng(5))
        return (image.voxels * head.mask)[None].astype(np.float32)

    def _brain(self, phantom: Phantom) -> Array:
        shares = mri.from_phantom(phantom, TISSUE_OF, self.grid).fractions
        return np.ascontiguousarray(np.moveaxis(shares, -1, 0))

    def near(self, centre: tuple[float, float, float], least: float, most: float) -> np.ndarray:
        """Return the voxels between two distances from a place."""
        axes = np.meshgrid(*(self.grid.centres_mm(a) for a in range(3)), indexing="ij")
        far = np.sqrt(sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True)))
        return (far >= least) & (far < most)

    def problem(self, number: int) -> Problem:
        """Return the problem of a noise draw."""
        rng = np.random.default_rng([4, number])
        counts = rng.poisson(self.made.mean).astype(np.float32)
        return prepare(self.made.scan.with_(prompts=counts), self.settings)


Method = Callable[[Head, Problem], Array]


def osem(fwhm_mm: float) -> Method:
    """Return OSEM with a filter."""
    return lambda head, problem: shown(
        replace(problem, settings=replace(problem.settings, post_fwhm_mm=(fwhm_mm,)))
    )


def penalised(beta: float, *, bowsher: bool = False) -> Method:
    """Return the relative difference prior, with Bowsher's neighbours or without."""
    paths = (Path("t1"),) if bowsher else ()
    chosen = Penalty("rdp", beta, anatomy=paths)

    def made(head: Head, problem: Problem) -> Array:
        one = Penalised(chosen, anatomy=head.t1 if bowsher else None)
        long = replace(problem.settings, iterations=12)
        return shown(replace(problem, penalised=one, settings=long))

    return made


def kernel(width: float, fwhm_mm: float = 0.0, pet: float = 0.0) -> Method:
    """Return kernel EM."""
    of = KernelSettings((), 50, 7, width, fwhm_mm, pet)
    kept: list[object] = []

    def made(head: Head, problem: Problem) -> Array:
        image = problem.first() if pet else None
        if not kept or pet:
            kept[:] = [kernel_of(head.t1, head.grid.spacing_mm, of, image)]
        return shown(problem.through(kept[0]))

    return made


def shown(problem: Problem) -> Array:
    """Return the image to look at."""
    reached = last(until(problem.iterates(), *problem.enough()))
    return problem.volume(reached.params).voxels


METHODS: dict[str, dict[str, Method]] = {
    "OSEM + filter": {f"{width} mm": osem(width) for width in (3.0, 5.0, 8.0)},
    "MAP": {f"beta {beta:g}": penalised(beta) for beta in (4e-5, 1.2e-4, 4e-4)},
    "Bowsher": {f"beta {b:g}": penalised(b, bowsher=True) for b in (1.2e-4, 4e-4, 1.2e-3)},
    "kernel EM": {f"width {w:g}": kernel(w) for w in (1.0, 0.5, 0.25)},
    "compact": {f"width {w:g}": kernel(w, fwhm_mm=10.0) for w in (1.0, 0.5, 0.25)},
    "hybrid": {f"width {w:g}": kernel(w, pet=1.0) for w in (1.0, 0.5, 0.25)},
}


@dataclass(frozen=True)
class Found:
    """What the images of one method and strength show, in percent."""

    bias: float
    noise: float
    lesion: float
    ghost: float
    mean: Array
    one: Array


def measured(head: Head, images: list[Array]) -> Found:
    """Return bias and noise of grey matter, and what became of the two balls."""
    mean, sd = np.mean(images, axis=0), np.std(images, axis=0, ddof=min(1, len(images) - 1))
    grey = head.tissues[1] > 0.9
    bias = mean[grey].mean() / head.truth[grey].mean() - 1
    level = head.truth[head.near(LESION_MM, 12, 18) & (head.tissues[2] > 0.9)].mean()

    def contrast(image: Array, centre: tuple[float, float, float]) -> float:
        around = image[head.near(centre, 12, 18) & (head.tissues[2] > 0.9)].mean()
        return float(image[head.near(centre, 0, 6)].mean() - around)

    true = contrast(head.truth, LESION_MM)
    return Found(
        100 * float(bias), 100 * float(np.mean(sd[grey]) / mean[grey].mean()),
        100 * contrast(mean, LESION_MM) / true, 100 * contrast(mean, MR_ONLY_MM) / float(level),
        mean, images[0],
    )  # fmt: skip


def main() -> None:
    """Print the table, and draw it."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    head = Head()
    problems = [head.problem(number) for number in range(draws)]
    print(f"{draws} draws; percent: grey matter, recovery of the lesion, contrast of the T1's own")
    print("method          strength        bias   noise  lesion  T1's own   CPU s a draw")
    found: dict[str, dict[str, Found]] = {}
    for name, strengths in METHODS.items():
        for strength, method in strengths.items():
            began = time.process_time()
            one = measured(head, [method(head, problem) for problem in problems])
            used = (time.process_time() - began) / draws
            found.setdefault(name, {})[strength] = one
            print(f"{name:15s} {strength:13s} {one.bias:6.1f} {one.noise:7.1f} {one.lesion:7.1f} "
                  f"{one.ghost:9.1f} {used:10.2f}", flush=True)  # fmt: skip
    if len(sys.argv) > 2:
        draw(head, found, Path(sys.argv[2]))


def draw(head: Head, found: dict[str, dict[str, Found]], path: Path) -> None:
    """Draw a slice through both balls by every method, and bias against noise."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plane = int(np.argmin(np.abs(head.grid.centres_mm(2) - LESION_MM[2])))
    figure, axes = plt.subplots(2, 5, figsize=(15, 6.6), layout="constrained")
    panels = {"activity": head.truth, "T1": head.t1[0]}
    panels |= {f"{n}, {list(s)[1]}": list(s.values())[1].one for n, s in found.items()}
    most = float(head.truth.max())
    for axis, (title, image) in zip(axes.flat, panels.items(), strict=False):
        top = float(image.max()) if title == "T1" else most
        colours = "gray" if title == "T1" else "gray_r"
        axis.imshow(image[::-1, ::-1, plane].T, cmap=colours, vmin=0, vmax=top)
        axis.set(title=title, xticks=[], yticks=[])
    curve, own = axes.flat[-2:]
    for name, strengths in found.items():
        points = np.array([[f.noise, f.bias, f.lesion, f.ghost] for f in strengths.values()])
        curve.plot(points[:, 0], points[:, 1], "o-", label=name)
        own.plot(points[:, 2], points[:, 3], "o-", label=name)
    curve.set(xlabel="noise, %", ylabel="bias of grey matter, %")
    own.set(xlabel="recovery of the PET's lesion, %", ylabel="contrast of the T1's own, %")
    own.legend(fontsize="x-small")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
