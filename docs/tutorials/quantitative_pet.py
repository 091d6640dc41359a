"""From raw counts to Bq/mL, DICOM and SUV: a cylinder calibrates, a brain is measured.

Run: python docs/tutorials/quantitative_pet.py
"""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from emrecon import Corrections, Settings, Volume, read_image, reconstruct, run
from emrecon.io import interfile, nifti
from emrecon.jobs.calibrate import CalibrationJob
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.known_source import Source
from emrecon.jobs.normalise import NormalisationJob
from emrecon.tomo.corrections.decay import emitter_named, start_over_mean
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.operators.blur import Blur
from phantoms.brain import brain
from phantoms.cylinder import uniform_cylinder
from phantoms.detection import Efficiencies
from phantoms.phantom import Phantom
from phantoms.simulate import attenuation_factors, line_integrals

RNG = np.random.default_rng(3)
BINS = by_name("HR+").bins(span=9, max_ring_difference=4, views=72, count=144)
EFFICIENCY = Efficiencies(spread=0.15).draw(BINS, RNG)  # known to nobody below
SECRET = 4e-5  # counts of a bin for a mm at 1 kBq/mL, a second and a positron a decay

FWHM_MM = 6.0  # filter of the images


def acquired(name: str, phantom: Phantom, nuclide: str, seconds: float) -> Path:
    """Count a phantom whose activity is in kBq/mL at the start, with randoms and decay."""
    isotope = emitter_named(nuclide)
    decays = seconds * isotope.branching / start_over_mean(isotope.half_life_s, seconds)
    lines = np.maximum(line_integrals(phantom.bodies, BINS, phantom.activities), 0)
    trues = lines * attenuation_factors(phantom, BINS) * EFFICIENCY * np.float32(SECRET * decays)
    randoms = np.full(BINS.shape, 0.2 * trues.mean(), np.float32)
    exam = ExamInfo(nuclide=nuclide, duration_s=seconds)
    for what, data in (("prompts", RNG.poisson(trues + randoms)), ("randoms", randoms)):
        interfile.write_projections(Path(f"{name}-{what}.hs"), BINS, data.astype(np.float32), exam)
    mu = phantom.mu(BINS.grid((3.0, 3.0, 3.0)))
    nifti.write(Volume(mu.voxels, mu.affine, "1/mm"), Path(f"{name}-mu.nii.gz"))
    return Path(f"{name}-prompts.hs")


def corrections(name: str, **more: object) -> Corrections:
    """Return the files of a scan."""
    mu, randoms = (Path(f"{name}-mu.nii.gz"),), Path(f"{name}-randoms.hs")
    return Corrections(mu=mu, randoms=randoms, **more)  # type: ignore[arg-type]


# A water cylinder of F-18, 10 kBq/mL at the start: it gives efficiencies and calibration.
cylinder = uniform_cylinder(activity=10.0)
scan = acquired("cylinder", cylinder, "F-18", 3600.0)
source = Source(radius_mm=cylinder.radius_mm, iterations=25)
norm = Path("norm.hs")
run(NormalisationJob(scan, norm, source, corrections("cylinder")))
settings = Settings(iterations=4, subsets=9, voxel_mm=(4.0, 4.0, 2.425), post_fwhm_mm=(FWHM_MM,))
reconstruct(scan, Path("cylinder.nii.gz"), settings, corrections("cylinder", normalisation=norm))
known = Cylinder(bq_per_ml=10_000.0)
result, _ = run(CalibrationJob(Path("cylinder.nii.gz"), Path("hr_plus.json"), known))
print(*result.summary().lines, sep="\n")

# A brain with C-11, a shorter scan: in Bq/mL, as DICOM, as SUV.
facts = Path("pet.json")
facts.write_text(
    json.dumps(
        {
            "TimeZero": "10:00:00", "InjectionStart": 0, "ScanStart": 1800, "PatientWeight": 70,
            "InjectedRadioactivity": 500, "InjectedRadioactivityUnits": "MBq",
        }
    )
)  # fmt: skip
head = brain(20.0, 5.0)
scan = acquired("brain", head, "C-11", 1200.0)
chosen = corrections("brain", normalisation=norm, calibration=Path("hr_plus.json"), facts=facts)
image = reconstruct(scan, Path("brain.nii.gz"), settings, chosen).volume
grid = image.grid()
# Partial volume is to be in both: the truth has the filter's resolution and that of the bins.
seen_mm = float(np.hypot(FWHM_MM, 3.0))
truth = Blur(grid, (seen_mm,) * 3).forward(head.activity(grid).voxels)
labels = np.rint(head.label_map(grid).voxels)
for label in (4, 5, 6):
    part = labels == label
    part[:, :, :6] = part[:, :, -6:] = False  # what lies beyond the scanner shines into the ends
    found, true = (float(each[part].mean()) for each in (image.voxels / 1000, truth))
    print(f"{head.labels[label]}: {found:.2f} kBq/mL, {100 * (found / true - 1):+.1f} % off")

series = Path(mkdtemp(prefix="series-", dir="."))  # a new folder of DICOM PT for each run
reconstruct(scan, series, settings, chosen)
stored = read_image(series / "00001.dcm").ras()
suv = reconstruct(scan, None, settings, replace(chosen, suv=True)).volume
left = 500e6 * 2 ** -(1800 / emitter_named("C-11").half_life_s)  # of the dose, at the start
worst = np.abs(stored.voxels * (70_000 / left) - suv.voxels).max() / suv.voxels.max()
print(f"SUV of the DICOM files and ours differ by {worst:.1e} of the greatest")
