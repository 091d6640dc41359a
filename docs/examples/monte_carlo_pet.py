"""From photons to Bq/mL: a brain in the mMR by Monte Carlo, calibrated by a cylinder, as SUV.

Run: python docs/examples/monte_carlo_pet.py [prompts]. Some minutes for 5e6 prompts of the brain,
which is what the figures of docs/quantification.md are of. With fewer white matter comes out too
high, as no voxel can be below 0.
"""

import json
import sys
from pathlib import Path

import numpy as np

from emrecon import Corrections, Settings, read_image, reconstruct, run
from emrecon.io import interfile, nifti
from emrecon.jobs.calibrate import CalibrationJob
from emrecon.jobs.convert import ConversionJob
from emrecon.jobs.cylinder import Cylinder
from emrecon.tomo.corrections.decay import emitter_named, start_over_mean
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.operators.blur import Blur
from phantoms.brain import brain
from phantoms.cylinder import uniform_cylinder
from phantoms.detection import Efficiencies
from phantoms.phantom import Phantom
from phantoms.simulate_photons import PhotonScan, simulate_photons

PROMPTS = float(sys.argv[1]) if len(sys.argv) > 1 else 5e6
FINE = PROMPTS >= 1e6
SCANNER = by_name("mMR")
BINS = SCANNER.bins(span=11, max_ring_difference=60 if FINE else 16, views=63 if FINE else 28)
SECONDS = {"F-18": 1800.0, "C-11": 1200.0}
INTRINSIC_MM, FILTER_MM = 4.3, 5.0 if FINE else 15.0  # detectors, and the filter of the images


def acquired(name: str, phantom: Phantom, nuclide: str, prompts: float) -> tuple[Path, float]:
    """Count a phantom, and write the scan; return it and the true Bq/mL of one unit at the start.

    The unit is as active as makes the decays that were followed in the time of the scan.
    """
    unlike = Efficiencies(spread=0.15)  # the same crystals each time, as of the same seed
    photons = PhotonScan(
        phantom, BINS, prompts, np.random.default_rng(5), 0.3, unlike, resolution_mm=INTRINSIC_MM
    )
    made = simulate_photons(photons)
    emitter, seconds = emitter_named(nuclide), SECONDS[nuclide]
    mean = made.facts["decays"] / (emitter.branching * seconds)  # Bq during the scan
    start = mean * start_over_mean(emitter.half_life_s, seconds)
    activity, mu = photons.body
    ml = float(activity.voxels.sum(dtype=float)) * float(np.prod(activity.grid().spacing_mm)) / 1e3
    exam = ExamInfo(nuclide=nuclide, duration_s=seconds)
    scan = made.scan
    parts = {"prompts": scan.prompts, "randoms": scan.randoms, "norm": scan.normalisation}
    for what, data in parts.items():
        interfile.write_projections(Path(f"{name}-{what}.hs"), BINS, data, exam)
    nifti.write(mu, Path(f"{name}-mu.nii.gz"))
    share = made.facts["scatter_fraction"]
    print(f"{name}: {scan.prompts.sum():.4g} prompts, {100 * share:.1f} % of the trues scattered")
    return Path(f"{name}-prompts.hs"), start / ml


def corrections(name: str, **more: object) -> Corrections:
    """Return how a scan is corrected: efficiencies, attenuation, randoms, and its own scatter."""
    files = {"normalisation": f"{name}-norm.hs", "randoms": f"{name}-randoms.hs"}
    paths = {what: Path(file) for what, file in files.items()}
    mu, simulated = (Path(f"{name}-mu.nii.gz"),), Path("simulate")
    how = {"scatter": simulated, "scatter_rounds": 3 if FINE else 1}
    return Corrections(mu=mu, **how, **paths, **more)  # type: ignore[arg-type]


settings = Settings(
    iterations=12 if FINE else 2,
    subsets=9 if FINE else 6,
    voxel_mm=(3.0, 3.0, 4.0625) if FINE else (6.0, 6.0, 4.0625),
    post_fwhm_mm=(FILTER_MM,),
)

# A cylinder of known activity calibrates the scanner.
scan, bq_per_ml = acquired("cylinder", uniform_cylinder(activity=1.0), "F-18", 0.6 * PROMPTS)
reconstruct(scan, Path("cylinder.nii.gz"), settings, corrections("cylinder"))
known = Cylinder(bq_per_ml=bq_per_ml)
result, _ = run(CalibrationJob(Path("cylinder.nii.gz"), Path("mmr.json"), known))
print(*result.summary().lines, sep="\n")

# A brain, in another isotope: corrected, in Bq/mL at the start of the scan.
head = brain(4.0, 1.0)
scan, bq_per_ml = acquired("brain", head, "C-11", PROMPTS)
facts = Path("pet.json")
facts.write_text(
    json.dumps(
        {
            "TimeZero": "10:00:00", "InjectionStart": 0, "ScanStart": 600, "PatientWeight": 70,
            "InjectedRadioactivity": 1, "InjectedRadioactivityUnits": "MBq",
        }
    )
)  # fmt: skip
chosen = corrections("brain", calibration=Path("mmr.json"), facts=facts)
image = reconstruct(scan, Path("brain.nii.gz"), settings, chosen).volume

# Partial volume is to be in both: the truth gets the resolution of detectors, crystals and filter.
grid = image.grid()
seen_mm = float(np.sqrt(INTRINSIC_MM**2 + 2.5**2 + FILTER_MM**2))
truth = Blur(grid, (seen_mm,) * 3).forward(head.activity(grid).voxels) * bq_per_ml
labels = np.rint(head.label_map(grid).voxels)
for label in (4, 5, 6, 7):
    part = labels == label
    found, true = float(image.voxels[part].mean()), float(truth[part].mean())
    print(f"{head.labels[label]}: {found:.0f} Bq/mL, {100 * (found / true - 1):+.1f} % off")

# As DICOM PT, and what its files say as SUV, by hand.
run(ConversionJob(Path("brain.nii.gz"), Path("series")))
stored = read_image(Path("series/00001.dcm")).ras()
left = 1e6 * 2 ** -(600 / emitter_named("C-11").half_life_s)  # of the dose, at the start, Bq
suv = stored.voxels * np.float32(70_000 / left)
worst = float(np.abs(stored.voxels - image.voxels).max() / image.voxels.max())
print(
    f"DICOM: within {worst:.1e} of the greatest; SUV of grey matter {suv[labels == 4].mean():.3g}"
)
