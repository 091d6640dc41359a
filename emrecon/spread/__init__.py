"""One reconstruction over several workers of a Dask cluster.

The views are split in a fixed number of chunks. Each stays on the worker that loaded it, which
back-projects it; the parts are summed in a fixed order, and the image is updated on a worker. So
the image has the same bits whatever the number of workers. The loop is that of `emrecon.em`: what
is spread is each subset's model.
"""

from emrecon.spread.cluster import opened
from emrecon.spread.problem import ready

__all__ = ["opened", "ready"]
