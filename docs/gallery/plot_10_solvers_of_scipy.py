"""
The projector with solvers of SciPy
===================================

A projector is an operator with ``forward`` and ``adjoint``. SciPy's solvers take it as a
``LinearOperator``, so other methods than EM are at hand: least squares by LSQR, and the Poisson
likelihood by a bounded quasi-Newton method.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from scipy.sparse.linalg import lsqr

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan

bins = Bins.parallel(np.arange(60) * np.pi / 60, np.arange(-32, 33) * 3.0, slice_mm=3.0)
phantom = shepp_logan(95)
made = em.simulate(phantom, bins, counts=3e5, rng=np.random.default_rng(0), attenuate=False)
grid = bins.grid()
A = em.projector(bins, grid, em.Settings())
y = made.scan.prompts.ravel()

# %%
# Least squares takes every count for equally certain, and knows of no sign: dark regions go
# below zero.
squares = lsqr(em.as_linear_operator(A), y, iter_lim=12)[0].reshape(grid.shape)

# %%
# The log-likelihood of EM and its gradient are two methods of the same object; L-BFGS-B keeps
# to images that are not negative.
problem = em.prepare(made.scan, em.Settings(subsets=1))
likelihood = problem.likelihoods[0]


def objective(vector):
    """Return minus the log-likelihood and its gradient."""
    image = vector.reshape(grid.shape).astype(np.float32)
    ratio, value = likelihood.ratio(image)
    return -value, (likelihood.sensitivity - ratio).ravel().astype(float)


start = problem.start.ravel().astype(float)
bounds = [(1e-9, None)] * start.size
newton = minimize(
    objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 15}
).x.reshape(grid.shape)
mlem = em.last(em.until(problem.iterates(), em.after(25))).params

figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
pictures = {"LSQR, 12 steps": squares, "L-BFGS-B, 15 steps": newton, "MLEM, 25 steps": mlem}
for axes, (title, image) in zip(panels, pictures.items(), strict=True):
    axes.imshow(image[:, ::-1, 0].T, cmap="gray_r", vmin=0, vmax=made.truth.voxels.max())
    axes.set(title=f"{title}\nleast value {image.min():.2g}", xticks=[], yticks=[])
plt.show()
