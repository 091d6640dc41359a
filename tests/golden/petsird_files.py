"""A small PETSIRD file by the stock library, whatever its version, and what that library reads.

``python tests/golden/petsird_files.py FOLDER`` writes ``petsird-VERSION.bin`` and ``.npz``; run
it once for each version of the package ``petsird`` (0.7.2, 0.9.1, 0.11.1 and 0.12.0 here).
"""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import petsird
from petsird.helpers import expand_detection_bins, get_detection_efficiency

NEW = hasattr(petsird.helpers, "create")  # nested lists instead of arrays, lower triangles
TYPES = ((6, 4, 2), (4, 3, 1))  # modules, elements and energy bins of each module type
TOFS = ((5, 1), (3, 3))  # time-of-flight bins: a pair of types with one has none


def coordinate(*values):
    return petsird.Coordinate(c=np.array(values, np.float32))


def rigid(angle, *shift):
    c, s = np.cos(angle), np.sin(angle)
    rows = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    return petsird.RigidTransformation(
        matrix=np.column_stack([rows, np.array(shift)]).astype(np.float32)
    )


def modules(kind):
    """Modules of a ring; boxes with a corner at 0, so that centres are not at the transforms."""
    count, elements, _ = TYPES[kind]
    ends = [(x, y, z) for x in (0, 20) for y in (0, 4) for z in (0, 3)]
    box = petsird.BoxSolidVolume(
        shape=petsird.BoxShape(corners=[coordinate(*end) for end in ends]), material_id=1
    )
    elements = [rigid(0.1 * k, 90.0 + 40 * kind, 5.0 * k - 7, 2.0 * k) for k in range(elements)]
    places = [rigid(2 * np.pi * m / count, 1.0, 0.0, 3.0 * m) for m in range(count)]
    detector = petsird.DetectorModule(
        detecting_elements=petsird.ReplicatedBoxSolidVolume(object=box, transforms=elements)
    )
    return petsird.ReplicatedDetectorModule(object=detector, transforms=places)


def within(one, two):
    """Whether the tables have a cell for a pair of module types."""
    return one >= two or not NEW


def table(make):
    return [[make(one, two) for two in range(2) if within(one, two)] for one in range(2)]


def edges(bins, width=40.0):
    return petsird.BinEdges(edges=((np.arange(bins + 1) - bins / 2) * width).astype(np.float32))


def efficiencies(rng):
    groups = {}

    def lut(one, two):
        shape = TYPES[one][0], TYPES[two][0]
        groups[one, two] = group = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 3
        if one == two:
            np.fill_diagonal(group, -1)
        if not NEW:
            return group.astype(np.int32)
        ends = [row + 1 if one == two else shape[1] for row in range(shape[0])]
        return [[int(g) for g in group[row, :end]] for row, end in enumerate(ends)]

    def vector(one, two):
        shape = TYPES[one][1] * TYPES[one][2], TYPES[two][1] * TYPES[two][2]
        values = [rng.uniform(0.5, 1.5, shape).astype(np.float32) for _ in range(3)]
        return [
            petsird.ModulePairEfficiencies(values=v.tolist() if NEW else v, sgid=k)
            for k, v in enumerate(values)
        ]

    singles = [rng.uniform(0.5, 1.5, m * e * n).astype(np.float32) for m, e, n in TYPES]
    given = {} if version("petsird").startswith("0.7") else {"calibration_factor": 0.7}
    return petsird.DetectionEfficiencies(
        detection_bin_efficiencies=[each.tolist() for each in singles] if NEW else singles,
        module_pair_sgidlut=table(lut),
        module_pair_efficiencies_vectors=table(vector),
        **given,
    )


def header(rng):
    return petsird.Header(
        scanner=petsird.ScannerInformation(
            model_name="two kinds of modules",
            scanner_geometry=petsird.ScannerGeometry(replicated_modules=[modules(0), modules(1)]),
            tof_bin_edges=table(lambda one, two: edges(TOFS[one][two])),
            tof_resolution=table(lambda one, two: 30.0 + one + two),
            event_energy_bin_edges=[edges(energies) for _, _, energies in TYPES],
            energy_resolution_at_511=[0.1, 0.1],
            detection_efficiencies=efficiencies(rng),
        )
    )


def block(rng, number):
    def events(one, two):
        made = []
        for _ in range(rng.integers(0, 20)):
            bins = [int(rng.integers(np.prod(TYPES[kind]))) for kind in (one, two)]
            if one == two:
                bins = sorted(bins, reverse=True)
            tof = int(rng.integers(TOFS[one][two]))
            made.append(petsird.CoincidenceEvent(detection_bins=bins, tof_idx=tof))
        return made if one >= two else []

    return petsird.TimeBlock.EventTimeBlock(
        petsird.EventTimeBlock(
            time_interval=petsird.TimeInterval(start=10 * number, stop=10 * number + 10),
            prompt_events=table(events),
            delayed_events=table(events),
        )
    )


def write(path, blocks=4):
    """Write a file; half of its blocks are of a kind that has no events."""
    rng = np.random.default_rng(7)
    signal = petsird.ExternalSignalTimeBlock(
        time_interval=petsird.TimeInterval(start=0, stop=1), signal_id=3, signal_values=[1.0, 2.0]
    )
    with petsird.BinaryPETSIRDWriter(str(path)) as writer:
        writer.write_header(header(rng))
        for number in range(blocks):
            writer.write_time_blocks(
                [petsird.TimeBlock.ExternalSignalTimeBlock(signal), block(rng, number)]
            )


def centre(scanner, kind, place):
    inner = scanner.scanner_geometry.replicated_modules[kind]
    element = inner.object.detecting_elements
    corners = np.array([corner.c for corner in element.object.shape.corners], float)
    for transform in (
        element.transforms[place.element_index],
        inner.transforms[place.module_index],
    ):
        matrix = np.array(transform.matrix, float)
        corners = corners @ matrix[:, :3].T + matrix[:, 3]
    return corners.mean(axis=0)


def read(path):
    """Return all that the stock library reads: events, efficiencies and crystal centres."""
    events, effs, ends = [], [], []
    with petsird.BinaryPETSIRDReader(str(path)) as reader:
        scanner = reader.read_header().scanner
        for each in reader.read_time_blocks():
            if not isinstance(each, petsird.TimeBlock.EventTimeBlock):
                continue
            for one, row in enumerate(each.value.prompt_events):
                for two, cell in enumerate(row):
                    for event in cell:
                        pair, bins = (one, two), [int(b) for b in event.detection_bins]
                        start = each.value.time_interval.start
                        events.append((start, *pair, *bins, int(event.tof_idx)))
                        effs.append(get_detection_efficiency(scanner, pair, event))
                        places = [
                            expand_detection_bins(scanner, kind, [bin_])[0]
                            for kind, bin_ in zip(pair, bins, strict=True)
                        ]
                        ends.append(
                            [
                                centre(scanner, kind, p)
                                for kind, p in zip(pair, places, strict=True)
                            ]
                        )
    return {"events": np.array(events), "efficiencies": np.array(effs), "ends_mm": np.array(ends)}


if __name__ == "__main__":
    name = Path(sys.argv[1]) / f"petsird-{version('petsird')}"
    write(f"{name}.bin")
    np.savez_compressed(f"{name}.npz", **read(f"{name}.bin"))
