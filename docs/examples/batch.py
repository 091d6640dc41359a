"""A batch from Python: simulate, reconstruct, and read what became of each job."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from emrecon import ReconstructionJob, Settings, SimulationJob
from emrecon.batch import Job, Processes, Record, Store, plan, run
from emrecon.batch.engine import cores
from phantoms.acquisition import Acquisition

HERE = Path.cwd()


def do(jobs: list[Job], store: Store) -> list[Record]:
    """Do what is not done yet."""
    with closing(Processes(cores(), threads=1)) as engine:
        return run(plan(jobs, store, resume=True), engine, store, resume=True)


seeds = (1, 2, 3)
simulations = [
    Job(
        f"scan-{seed}",
        SimulationJob(
            "brain", HERE / f"scan-{seed}", Acquisition(scanner="tiny", counts=3e5, seed=seed)
        ),
    )
    for seed in seeds
]
quick = Settings(iterations=4, subsets=4)
images = [
    Job(
        f"image-{seed}",
        ReconstructionJob(HERE / f"scan-{seed}", HERE / f"image-{seed}.nii.gz", quick),
    )
    for seed in seeds
]
do(simulations, Store(HERE / "simulations"))
for record in do(images, Store(HERE / "batch")):
    print(record.name, record.status, f"{record.seconds:.1f} s", record.error)
    print("  log-likelihood", *(f"{value:.6g}" for value in record.curve[:: record.subsets]))
