"""Draw tof.png and print its figures: python -m docs.tof (a few minutes)."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emrecon.em import until
from emrecon.stop import after
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.prepare import prepare
from emrecon.tomo.settings import Settings
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import simulate

ITERATIONS = 60
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


def drawing(curves: dict[str, list[float]]) -> Image.Image:
    """Return the curves as a picture."""
    image = Image.new("RGB", (1280, 760), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(26)
    left, low, width, height = 110, 640, 1080, 540

    def place(n: float, value: float) -> tuple[float, float]:
        return left + n * width / ITERATIONS, low - (value - 1) * height

    for tick in (1.0, 1.2, 1.4, 1.6, 1.8, 2.0):
        _, y = place(0, tick)
        draw.line((left, y, left + width, y), "#dddddd", 2)
        draw.text((left - 12, y), f"{tick:.1f}", "black", font, "rm")
    for tick in range(0, ITERATIONS + 1, 10):
        draw.text((place(tick, 1)[0], low + 16), str(tick), "black", font, "mt")
    for row, (name, values) in enumerate(curves.items()):
        draw.line([place(n, v) for n, v in enumerate(values)], COLOURS[row], 4, "curve")
        draw.text((left + width - 20, low - 40 - 40 * row), name, COLOURS[row], font, "rm")
    draw.text((left + width / 2, low + 60), "MLEM iterations", "black", font, "mt")
    title = "activity of the insert over that around it (truth: 2)"
    draw.text((left, 30), title, "black", font)
    return image


def main() -> None:
    """Compute, print and draw."""
    curves = {name: contrasts(fwhm_ps) for name, fwhm_ps in RESOLUTIONS.items()}
    for name, values in curves.items():
        gained = np.array(values) - 1
        print(
            f"{name}: 1.9 after {int(np.argmax(gained > 0.9)) or '-'}, at the end {values[-1]:.3f}"
        )
    drawing(curves).save(Path(__file__).with_name("tof.png"), optimize=True)


if __name__ == "__main__":
    main()
