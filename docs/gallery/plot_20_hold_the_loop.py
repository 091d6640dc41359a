"""
Hold the loop: observers and stop rules
=======================================

The loop is a generator. What watches is a function of an iterate, and so is what ends the run:
here a log, an error against the truth, and a rule that stops once updates become small.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.watchers import ConvergenceLog
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

made = Acquisition(scanner="tiny", span=3, counts=2e6, resolution_mm=4.0).scan(
    flip_finder().scaled(0.3)
)
problem = em.prepare(made.scan, em.Settings(subsets=6, psf_fwhm_mm=(4.0,)))

# %%
# Two observers. Neither can change the run: an iterate is never changed after it was yielded.
log = ConvergenceLog(subsets=6)
errors = []


def compare(iterate):
    """Remember how far the image is from the truth."""
    errors.append(float(np.sqrt(np.mean((iterate.params - made.truth.voxels) ** 2))))


# %%
# A rule of one's own, beside one that comes along.
def calm(iterate):
    """Stop once an update moves the image by less than 2 %."""
    return iterate.number > 6 and log.rows[-1].relative_change < 0.02


reached = em.last(em.until(em.watch(problem.iterates(), log, compare), calm, em.after(120)))
print(f"stopped after {reached.number} updates")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy([row.relative_change for row in log.rows])
left.axhline(0.02, color="grey", ls=":")
left.set(xlabel="update", ylabel="size of the update over that of the image")
right.plot(np.array(errors) / made.truth.voxels.mean())
right.set(xlabel="update", ylabel="RMS error over the mean")
plt.show()
