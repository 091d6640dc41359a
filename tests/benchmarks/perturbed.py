"""Two real brains, an average one and simulated ones made harder in the ways of `changes`.

Run as ``python -m tests.benchmarks.perturbed`` in the repository, with EMRECON_TEST_DATA set to a
folder that holds ``brain_real_t1`` (FreeSurfer-coded), ``brain_real_vxm`` (labels 1 to 3) and
``brain_labels``, and ``emrecon[maps]`` installed (``--without-maps``: as if they were not).
``--scan`` takes the scans whose names hold a text, ``--only`` the changes that hold any of some
texts. The last columns say whether the intervals of accuracy hold the labels' volumes, and how far
they reach.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

import numpy as np

from emrecon.errors import EmreconError
from emrecon.io.head_maps import installed_maps
from emrecon.tissue.find_brain import HeadMaps
from emrecon.tissue.segment import no_maps, segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from tests.benchmarks.changes import Scan, changed, scans
from tests.benchmarks.segmentation import dice


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-maps", action="store_true")
    parser.add_argument("--scan", default="", metavar="TEXT")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    head_maps = no_maps if chosen.without_maps else installed_maps
    print(
        "| scan | change | CSF / GM / WM | volume, % | field | held | reach, % | nuclei | CPU s |"
    )
    for number, (name, whole) in enumerate(scans(Path(os.environ["EMRECON_TEST_DATA"]))):
        if chosen.scan not in name:
            continue
        for change, scan in changed(whole, np.random.default_rng(number)):
            if any(text in change for text in chosen.only):
                print(f"| {name} | {change} | {measured(scan, head_maps)} |", flush=True)


def measured(scan: Scan, head_maps: HeadMaps) -> str:
    """Return how a scan fares."""
    mask, image = (Volume(v.astype(np.float32), scan.affine) for v in (scan.mask, scan.image))
    begun = time.process_time()
    try:
        found = segment([image], Settings(contrast="T1"), mask=mask, head_maps=head_maps)
    except EmreconError as error:
        return f"refused: {error}"
    spent = time.process_time() - begun
    labels = np.zeros(scan.labels.shape, np.uint8)
    labels[found.index] = found.labels
    known = scan.labels > 0
    many = [np.bincount(one[known], minlength=4)[1:] for one in (labels, scan.labels)]
    scores = " / ".join(f"{d:.3f}" for d in dice(labels, scan.labels))
    off = many[0] / many[1] - 1
    reach = np.ptp(found.intervals_ml, axis=1) / 2 / found.volumes_ml
    held = "".join(".x"[int(abs(e) > r * (1 + e))] for e, r in zip(off, reach, strict=True))
    kept = "-" if found.evidence is None else f"{found.evidence.size[0]:.3f}"
    nuclei = found.stages[-1].image.rules.layout.nuclei
    parts = (" / ".join(f"{100 * v:+.1f}" for v in of) for of in (off, reach))
    return f"{scores} | {next(parts)} | {kept} | {held} | {next(parts)} | {nuclei} | {spent:.1f}"


if __name__ == "__main__":
    main()
