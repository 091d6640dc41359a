"""CPU seconds of the camera's projector, beside the same model in plain NumPy and SciPy.

Run it as ``python -m tests.benchmarks.spect [--views 120] [--plain 3] [--radii 1]``. An image of
128^3 voxels of 4.42 mm in an ellipse of water, views of 128 x 128 on a circle of 250 mm,
attenuation and response on. CPU seconds are those of all threads together; the plain one projects
a few views on one thread and is scaled up. Peak memory is that of the process.
"""

import argparse
import resource
import sys
import time

import numba
import numpy as np
from scipy.ndimage import gaussian_filter, rotate

from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.volume import Volume

SIZE, COUNT, RADIUS = 4.42, 128, 250.0


def case(views, radii):
    places = (np.arange(COUNT) - (COUNT - 1) / 2) * SIZE
    orbit = RADIUS - 10.0 * (np.arange(views) % radii)
    camera = Camera(np.arange(views) * 2 * np.pi / views, orbit, places, places)
    grid = camera.grid()
    x, y, _ = (grid.centres_mm(axis) for axis in range(3))
    body = (x[:, None] / 180) ** 2 + (y[None, :] / 120) ** 2 < 1
    one = np.ones(COUNT, np.float32)
    mu = Volume((0.015 * body[:, :, None] * one).astype(np.float32), grid.affine, "1/mm")
    hot = np.random.default_rng(0).random(grid.shape, np.float32)
    slope = 0.03235 * FWHM_PER_SIGMA
    return camera, grid, mu, (body[:, :, None] * hot).astype(np.float32), slope


class Plain:
    """Rotate, gaussian_filter, sum: one view at a time, in float32."""

    def __init__(self, camera, mu, response):
        self.camera, self.mu = camera, mu
        self.depth = np.arange(COUNT) * SIZE - (COUNT - 1) / 2 * SIZE
        self.sigma = [response.sigma_mm(r - self.depth) / SIZE for r in camera.radius_mm]

    def _turn(self, image, view, *, back=False):
        angle = np.rad2deg(self.camera.theta_rad[view]) * (1 if back else -1)
        return rotate(image, angle, axes=(0, 1), reshape=False, order=1)

    def _alive(self, view):
        step = self._turn(self.mu, view) * np.float32(SIZE)
        beyond = np.cumsum(step[::-1], axis=0)[::-1] - step / 2
        return np.exp(-beyond)

    def forward(self, image, view):
        turned = self._turn(image, view) * self._alive(view)
        out = np.zeros((COUNT, COUNT), np.float32)
        for plane, sigma in zip(turned, self.sigma[view], strict=True):
            out += gaussian_filter(plane, sigma, mode="constant")
        return out * np.float32(SIZE)

    def adjoint(self, data, view):
        planes = [gaussian_filter(data, sigma, mode="constant") for sigma in self.sigma[view]]
        turned = np.stack(planes) * self._alive(view) * np.float32(SIZE)
        return self._turn(turned, view, back=True)


def seconds(work):
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def say(text):
    sys.stdout.write(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=120)
    parser.add_argument("--plain", type=int, default=3, help="views of the plain projector")
    parser.add_argument("--radii", type=int, default=1, help="radii of the orbit")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    numba.set_num_threads(given.threads or numba.config.NUMBA_NUM_THREADS)
    camera, grid, mu, image, slope = case(given.views, given.radii)
    response = Response(slope, 1.45 * FWHM_PER_SIGMA, 0.0)
    projector = CameraProjector(grid, camera, response, mu)
    data = projector.forward(image)  # compiles
    projector.adjoint(data)
    forward, data = min((seconds(lambda: projector.forward(image)) for _ in range(2)), key=first)
    adjoint, _ = min((seconds(lambda: projector.adjoint(data)) for _ in range(2)), key=first)
    model = Mlem(Emission(projector, data))
    begun = time.perf_counter()
    whole, _ = seconds(lambda: model.maximise(image, model.expect(image)[0]))
    wall = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    say(f"forward {1000 * forward / given.views:.1f} CPU ms a projection")
    say(f"adjoint {1000 * adjoint / given.views:.1f} CPU ms a projection")
    say(f"MLEM iteration: {whole:.2f} CPU s, {wall:.2f} s; peak memory {peak:.2f} GB")
    compare(given, image, data, Plain(camera, mu.voxels, response), whole)


def compare(given, image, data, plain, whole):
    there = back = 0.0
    for view in range(0, given.views, -(-given.views // given.plain)):
        spent, found = seconds(lambda view=view: plain.forward(image, view))
        there += spent / given.plain
        back += seconds(lambda view=view: plain.adjoint(data[view], view))[0] / given.plain
        apart = np.sqrt(np.mean((found - data[view]) ** 2) / np.mean(found**2))
        say(f"view {view}: {100 * apart:.3f} % RMS from the plain projector")
    say(f"plain: forward {1000 * there:.0f}, adjoint {1000 * back:.0f} CPU ms a projection")
    say(f"ratio of an iteration: {(there + back) * given.views / whole:.1f}")


def first(pair):
    return pair[0]


if __name__ == "__main__":
    main()
