"""Many scans, one job each: planned, run side by side, taken up again, reported.

A `Job` is plain data, so that it travels to any process on any machine; only paths travel, never
volumes. `read_jobs` makes jobs of a job file, `bids_jobs` of a BIDS folder; `plan` says what they
need, `run` has an engine do them, and a `Store` remembers what is done.
"""

from emrecon.batch.bids import bids_jobs
from emrecon.batch.engine import Engine, Processes
from emrecon.batch.job import Job
from emrecon.batch.jobfile import read_jobs
from emrecon.batch.record import Record
from emrecon.batch.run import Planned, plan, run
from emrecon.batch.store import Store

__all__ = [
    "Engine",
    "Job",
    "Planned",
    "Processes",
    "Record",
    "Store",
    "bids_jobs",
    "plan",
    "read_jobs",
    "run",
]
