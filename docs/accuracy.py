"""Print the figures of accuracy.md: python -m docs.accuracy (about three minutes)."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from emrecon import Settings, recon
from emrecon.io import write_image
from emrecon.jobs.measure import measure
from emrecon.metrics import regions
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from phantoms.cylinder import uniform_cylinder
from phantoms.nema import nema

EXACT = Acquisition(
    views=144, counts=1e8, randoms_fraction=0, scatter_fraction=0, spread=0, noise=False
)
LONG = Settings(iterations=20, subsets=12)


def cylinder() -> None:
    """Print the activity 30 mm inside a uniform cylinder, as a share of truth."""
    made = EXACT.scan(uniform_cylinder(100.0, 130.0))
    image = recon(made.scan, LONG)
    x, y, z = np.meshgrid(*(image.grid().centres_mm(a) for a in range(3)), indexing="ij")
    inside = (np.hypot(x, y) < 70) & (np.abs(z) < 35)
    ratio = image.voxels[inside] / made.truth.voxels[inside]
    print(f"cylinder, 30 mm inside: mean {ratio.mean():.4f}, sd {ratio.std():.4f} of truth")


def spheres() -> None:
    """Print what comes back of the NEMA spheres, without noise and with noise and corrections."""
    exact = EXACT.scan(nema())
    noisy = Acquisition(views=144, counts=5e7).scan(nema())
    seen = replace(EXACT, resolution_mm=4.5).scan(nema())
    sharp = replace(LONG, psf_fwhm_mm=(4.5,))
    rows = {
        "exact": (exact, recon(exact.scan, LONG)),
        "blurred by 4.5 mm": (seen, recon(seen.scan, LONG)),
        "blurred by 4.5 mm, modelled": (seen, recon(seen.scan, sharp)),
        "5e7 counts": (noisy, recon(noisy.scan, Settings(post_fwhm_mm=(4.0,)))),
    }
    for name, (made, image) in rows.items():
        found = regions(image, made.truth, made.labels, made.facts["labels"])
        shares = [f"{row.recovery:.3f}" for row in found if row.name.startswith("sphere")]
        print(f"{name}: mean over the same region of truth, 37 to 10 mm: {', '.join(shares)}")
    made, image = rows["5e7 counts"]
    report(image, made.truth, made.labels)


def report(image: Volume, truth: Volume, labels: Volume) -> None:
    """Print the NEMA NU 2 figures."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.nii" for name in ("image", "truth", "labels")]
        for volume, path in zip((image, truth, labels), paths, strict=True):
            write_image(volume, path)
        for row in measure(*paths, nema=True)["NEMA NU 2 spheres"]:
            print(
                f"{row['diameter_mm']:.0f} mm: contrast recovery {row['recovery_percent']:.0f} %, "
                f"background variability {row['variability_percent']:.1f} %"
            )


if __name__ == "__main__":
    cylinder()
    spheres()
