"""
Many scans: a job is a value
============================

A job says what it reads, what it writes and how. A batch does many, resumes what was interrupted,
and survives those that fail. Here one of three scans is spoilt.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import emrecon as em
from phantoms.acquisition import Acquisition

folder = Path(tempfile.mkdtemp())
settings = em.Settings(iterations=2, subsets=4)

# %%
# Three simulated scans. ``run`` does a job: all of its files are written, or none.
for seed in range(3):
    like = Acquisition(scanner="tiny", counts=5e5, seed=seed)
    em.run(em.SimulationJob("flip-finder", folder / f"scan-{seed}", like))
spoilt = folder / "scan-1" / "prompts.s"
spoilt.write_bytes(spoilt.read_bytes()[:1000])

# %%
# The same as ``emrecon batch jobs.toml``, written out: a job that cannot be done says why, and the
# others are done.
images = {}
for seed in range(3):
    job = em.ReconstructionJob(folder / f"scan-{seed}", folder / f"{seed}.nii.gz", settings)
    print(
        f"{job.out.name}: about {job.estimate().memory_mb:.0f} MB" if seed == 0 else "", end="\n"
    )
    try:
        result, (written, *others) = em.run(job)
        images[f"scan {seed}"] = em.read_image(written)
    except ValueError as error:
        print(f"scan {seed}: {str(error).replace(str(folder), '')}")

figure, panels = plt.subplots(1, len(images), figsize=(9, 3), layout="constrained")
for axes, (title, image) in zip(panels, images.items(), strict=True):
    axes.imshow(image.voxels[:, ::-1, image.voxels.shape[2] // 2].T, cmap="gray_r")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
