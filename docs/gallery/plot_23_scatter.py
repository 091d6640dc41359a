"""
Scatter: simulated two ways
===========================

A third of the pairs that PET counts of a patient were deflected on the way, a seventh of this
small body's. Monte Carlo follows photons one by one and knows which. Single scatter simulation
works out the mean of those deflected once, with the same physics and no noise, at a few hundred
points, and what more deflections add to it. Both are absolute: nothing is scaled here.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from emrecon.tomo.corrections.scatter_model import ScatterModel
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import TINY
from emrecon.volume import Grid
from phantoms.lines import line_integrals
from phantoms.monte_carlo import coincidences, facing, pairs_a_decay
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import attenuation_factors

scanner = replace(TINY, radius_mm=140.0, crystals=96, max_bins=95, ring_spacing_mm=16.0)
bins = scanner.bins()
water = cylinder((0, 0, 0), (55, 45), 80).filled(Material(1.0, WATER_PER_MM), label=1)
body = Phantom("body", (water,), {1: "water"})
grid = Grid.centred((30, 30, 21), (4.0, 4.0, 4.0))
activity, mu = body.activity(grid), body.mu(grid)

# %%
# Follow a million decays, and sort the pairs by how often they were deflected. Most
# decays are not seen: the ring is short.
seen = coincidences(activity, mu, scanner, 1_000_000)
psi = 2 * np.pi * (seen.pairs % scanner.crystals) / scanner.crystals
distance = np.abs(scanner.effective_radius_mm * np.cos((psi[:, 0] - psi[:, 1]) / 2))
distances = np.unique(np.abs(bins.s_mm).round(3))
edges = np.append(0, (distances[4::4] + distances[3:-1:4]) / 2)[:8]
for order in range(4):
    share = np.mean(seen.scatters == order)
    print(f"deflected {order} times: {share:.1%} of {seen.scatters.size} pairs")

# %%
# The same from formulas: line integrals for the pairs that came straight, the model for others.
decay = seen.decays * pairs_a_decay(bins, float(activity.voxels.sum()) * 4**3)
weight = decay * scanner.energy.accepts(REST_KEV) ** 2 * facing(bins)
straight = line_integrals(body.bodies, bins, body.activities) * attenuation_factors(body, bins)
model = ScatterModel.of(mu, bins, scanner.energy, points=300)
pairs = model.of_pairs(activity)
scatter = model.in_bins(pairs.values, np.ones(bins.shape, np.float32))

# %%
# Monte Carlo in dots with their Poisson errors, formulas in lines. Crystals are 9 mm wide, so some
# straight pairs lie beside the body. Pairs deflected more than once are few, and as smooth.
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
middle = (edges[1:] + edges[:-1]) / 2
for k, (name, chosen, expected) in enumerate([
    ("straight", seen.scatters == 0, straight),
    ("scattered", seen.scatters > 0, scatter),
    ("of these more than once", seen.scatters > 1, None),
]):  # fmt: skip
    found = np.histogram(distance[chosen], edges)[0]
    axes.errorbar(middle, found, np.sqrt(found), fmt="o", ms=3, color=f"C{k}", label=name)
    if expected is not None:
        profile = (expected * weight).sum(axis=(0, 2))
        line = np.histogram(np.abs(bins.s_mm), edges, weights=profile)[0]
        axes.step(edges, np.append(line, line[-1]), where="post", color=f"C{k}")
axes.set(
    xlabel="distance of the line from the axis, mm", ylabel="pairs", yscale="log", ylim=(1, 2e5)
)
axes.legend()
print(f"scattered: {np.sum(seen.scatters > 0)} followed, {np.sum(scatter * weight):.0f} modelled")
plt.show()
