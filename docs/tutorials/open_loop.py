"""Hold the loop yourself: OSEM, watched, with a stop rule of your own.

Run: python docs/tutorials/open_loop.py
"""

from emrecon import Settings, last, prepare, until, watch
from emrecon.stop import after
from emrecon.watchers import ConvergenceLog
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

# A scan of a tenth of a second to reconstruct: the flip finder, shrunk, in a tiny scanner.
made = Acquisition(scanner="tiny", span=3, counts=5e5, resolution_mm=4.0).scan(
    flip_finder().scaled(0.3)
)

# One model a subset, and a start image. Everything a model needs is in the scan.
problem = prepare(made.scan, Settings(subsets=6, psf_fwhm_mm=(4.0,)))

# Observers are called with every iterate and cannot change the run.
log = ConvergenceLog(subsets=6)


def calm(iterate):
    """Stop once an update moves the image by less than 1 %: a rule is a function of an iterate."""
    return iterate.number > 6 and log.rows[-1].relative_change < 0.01


reached = last(until(watch(problem.iterates(), log), calm, after(120)))
image = problem.volume(reached.params)

error = image.voxels - made.truth.voxels
print(f"{reached.number} updates, log-likelihood {reached.log_likelihood:.1f}")
print(f"RMS error {error.std():.4f} of a mean of {made.truth.voxels.mean():.4f} {image.unit}")
