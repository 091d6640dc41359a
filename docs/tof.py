"""Draw tof.svg and print its figures: python -m docs.tof (a few minutes)."""

from pathlib import Path

import numpy as np

from emrecon.em import until
from emrecon.stop import after
from emrecon.tomo.recon import prepare
from emrecon.tomo.scanner import Scanner
from emrecon.tomo.settings import Settings
from emrecon.tomo.tof import Timing
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import simulate

ITERATIONS = 80
RING = Scanner("one ring", 1, 400, 20.0, 400.0, 7.0, 3.2, 133)
INSERT = (90.0, -40.0)
RESOLUTIONS = {"no time of flight": 0.0, "600 ps": 600.0, "400 ps": 400.0, "210 ps": 210.0}
COLOURS = ("#444444", "#c04040", "#d08a20", "#2060b0")


def phantom() -> Phantom:
    """Return a cylinder of 35 cm with an insert of 3 cm that holds twice its activity."""
    water = Material(1.0, WATER_PER_MM)
    body = cylinder((0, 0, 0), (175.0, 175.0), 100.0).filled(water, label=1)
    hot = Material(2.0, WATER_PER_MM)
    insert = cylinder((*INSERT, 0), (15.0, 15.0), 100.0).filled(hot, inside=water, label=2)
    return Phantom("2:1", (body, insert), {1: "cylinder", 2: "insert"})


def contrasts(fwhm_ps: float) -> list[float]:
    """Return the contrast of the insert after every iteration of MLEM, noise-free."""
    bins = RING.bins()
    if fwhm_ps:
        bins = bins.timed(Timing.of_ps(fwhm_ps, 150.0, 33))
    made = simulate(
        phantom(),
        bins,
        counts=1e7,
        rng=np.random.default_rng(0),
        randoms_fraction=0.3,
        noise=False,
    )
    settings = Settings(iterations=ITERATIONS, subsets=1, voxel_mm=(4.0, 4.0, 20.0))
    problem = prepare(made.scan, settings)
    x, y = problem.grid.centres_mm(0)[:, None], problem.grid.centres_mm(1)[None, :]
    away = np.hypot(x - INSERT[0], y - INSERT[1])
    hot, warm = away < 11, (away > 30) & (np.hypot(x, y) < 150)
    found = []
    for iterate in until(problem.iterates(), after(ITERATIONS)):
        plane = iterate.params[:, :, 0]
        found.append(float(plane[hot].mean() / plane[warm].mean()))
    return found


def drawing(curves: dict[str, list[float]]) -> str:
    """Return the curves as SVG."""
    width, height, left, low = 720, 420, 70, 360

    def place(n: float, value: float) -> str:
        return f"{left + n * 560 / ITERATIONS:.1f},{low - (value - 1) * 280:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        '<g font-family="sans-serif" font-size="15">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in np.arange(1, 2.05, 0.2):
        y = place(0, float(tick)).split(",")[1]
        parts += [
            f'<path d="M{left} {y}H{left + 560}" stroke="#dddddd"/>',
            f'<text x="{left - 10}" y="{float(y) + 5:.1f}" text-anchor="end">{tick:.1f}</text>',
        ]
    for tick in range(0, ITERATIONS + 1, 20):
        x = place(tick, 1).split(",")[0]
        parts.append(f'<text x="{x}" y="{low + 22}" text-anchor="middle">{tick}</text>')
    for (name, values), colour in zip(curves.items(), COLOURS, strict=True):
        points = " ".join(place(n, value) for n, value in enumerate(values))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        x, y = left + 430, low - 40 - 24 * list(curves).index(name)
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{name}</text>')
    parts += [
        f'<text x="{left + 280}" y="{low + 46}" text-anchor="middle">MLEM iterations</text>',
        f'<text x="{left}" y="40">activity of the insert over that around it (truth: 2)</text>',
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Compute, print and draw."""
    curves = {name: contrasts(fwhm_ps) for name, fwhm_ps in RESOLUTIONS.items()}
    for name, values in curves.items():
        gained = np.array(values) - 1
        print(
            f"{name}: 1.9 after {int(np.argmax(gained > 0.9)) or '-'}, at the end {values[-1]:.3f}"
        )
    Path(__file__).with_name("tof.svg").write_text(drawing(curves), encoding="utf-8")


if __name__ == "__main__":
    main()
