"""What a person may choose about a simulated SPECT scan, and the scan itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emrecon.brief import brief
from emrecon.errors import SettingsError
from phantoms.acquisition import Acquisition

if TYPE_CHECKING:
    from emrecon.tomo.geometry.camera import Camera
    from emrecon.tomo.geometry.collimator import Isotope, Response
    from emrecon.volume import Array, Grid, Volume
    from phantoms.phantom import Phantom

VIEWS, BINS = 120, 128
"""Views of all heads together and bins of a view, unless others are asked for."""

SLOPE = 0.3
"""How much more than the mean of the peak the lower scatter window holds a keV, and the upper
one less: on a straight line, which the triple-window estimate follows exactly."""


@dataclass(frozen=True)
class CameraAcquisition:
    """A gamma camera, and how it goes around the patient.

    Examples
    --------
    >>> CameraAcquisition(heads=1, orbit_mm=200.0).camera(views=60, bins=64).shape
    (60, 64, 64)
    """

    heads: int = 2
    """Heads, evenly around the patient."""

    start_deg: float = 0.0
    """DICOM angle of the first head's first view: 0 behind the patient, 90 at the left."""

    arc_deg: float = 360.0
    """Angle that all heads cover together."""

    direction: str = "CW"
    """CW or CC, seen from the patient's feet."""

    orbit_mm: float = 250.0
    """Distance from the axis to the collimator."""

    bin_mm: float = 4.8
    """Size of a bin across the axis."""

    plane_mm: float = 4.8
    """Size of a bin along the axis."""

    planes: int = 64
    """Bins along the axis."""

    isotope: str = "Tc-99m"
    """Isotope."""

    collimator: str = "Siemens Symbia LEHR"
    """Collimator; none is a perfect one, an unknown name lists them all."""

    view_s: float = 20.0
    """Seconds a view."""

    position: str = "HFS"
    """How the patient lies: HFS, HFP, FFS or FFP."""

    patient_mm: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Where the middle of the camera lies in the patient's coordinates: R, A, S."""

    detector_fastest: bool = False
    """Store the frames of all heads at one time together, instead of head by head."""

    def __post_init__(self) -> None:
        if self.heads < 1 or not 0 < self.arc_deg <= 720 or len(self.patient_mm) != 3:
            raise SettingsError("heads and arc_deg are above 0, patient_mm is three numbers")
        if self.direction.upper() not in {"CW", "CC"}:
            raise SettingsError(f"direction is CW or CC, not {self.direction!r}")
        if self.position not in {"HFS", "HFP", "FFS", "FFP"}:
            raise SettingsError(f"position is HFS, HFP, FFS or FFP, not {self.position!r}")
        if not all(abs(place) < 1e5 for place in self.patient_mm):
            raise SettingsError(f"patient_mm is less than 1e5 away, unlike {self.patient_mm}")
        lengths = (self.orbit_mm, self.bin_mm, self.plane_mm)
        if not all(0 < length < 1e5 for length in lengths):
            raise SettingsError(
                f"orbit_mm, bin_mm and plane_mm are above 0 and below 1e5: {lengths}"
            )
        if min(self.view_s, self.planes) <= 0:
            raise SettingsError("planes and view_s are above 0")

    def camera(self, views: int | None = None, bins: int | None = None) -> Camera:
        """Return the views of all heads, head by head."""
        import numpy as np  # noqa: PLC0415 - quick --help

        from emrecon.tomo.geometry.camera import Camera  # noqa: PLC0415

        total, count = views or VIEWS, bins or BINS
        if total % self.heads:
            raise SettingsError(f"{total} views are not the same number on {self.heads} heads")
        sign = -1.0 if self.direction.upper() == "CW" else 1.0
        places = sign * self.arc_deg / total * np.arange(total)
        # A head begins where the one before it ends, so that together they cover the arc.
        angle = np.deg2rad(self.start_deg + places)
        return Camera(
            -np.pi / 2 - angle,
            np.full(total, self.orbit_mm),
            (np.arange(count, dtype=np.float64) - (count - 1) / 2) * self.bin_mm,
            (np.arange(self.planes, dtype=np.float64) - (self.planes - 1) / 2) * self.plane_mm,
        )

    def response(self) -> Response | None:
        """Return how the collimator blurs at the isotope's energy; None for a perfect one."""
        from emrecon.tomo.geometry.collimator import collimator_named  # noqa: PLC0415

        if self.collimator.lower() in {"", "none"}:
            return None
        return collimator_named(self.collimator).response(self.source().energy_kev)

    def source(self) -> Isotope:
        """Return the isotope."""
        from emrecon.tomo.geometry.collimator import isotope_named  # noqa: PLC0415

        return isotope_named(self.isotope)

    def scan(self, phantom: Phantom, like: Acquisition | None = None) -> CameraSimulation:
        """Count a phantom; views, bins, counts, scatter, noise and seed are those of `like`."""
        return _counted(self, phantom, like or Acquisition())


@dataclass(frozen=True, eq=False)
class CameraSimulation:
    """A simulated SPECT scan, and everything that was known before it was counted."""

    acquisition: CameraAcquisition
    """What counted, and how."""

    camera: Camera
    """Where the counts lie, about the axis of rotation."""

    counts: Array
    """Counts of the energy windows, shape ``(windows, *camera.shape)``: whole numbers."""

    windows_kev: tuple[tuple[str, float, float], ...]
    """Name, lower and upper limit of each window, the photopeak first."""

    truth: Volume
    """Activity in counts/mm in the patient's coordinates."""

    mu: Volume | None
    """Attenuation map at the photopeak, 1/mm, in the patient's coordinates."""

    labels: Volume
    """Label of every voxel's centre; names are in ``facts["labels"]``."""

    mean: Array
    """Model mean of the photopeak, scatter included."""

    scatter: Array | None
    """Scatter's share of it."""

    facts: dict[str, Any]
    """Phantom, expected totals, counts/mm for one unit of the phantom's activity."""

    __repr__ = brief


def _counted(
    acquisition: CameraAcquisition, phantom: Phantom, like: Acquisition
) -> CameraSimulation:
    import numpy as np  # noqa: PLC0415 - quick --help

    from phantoms.simulate import drawn, rounded  # noqa: PLC0415

    camera = acquisition.camera(like.views, like.bins)
    if like.fit:
        phantom = phantom.fitted(0.95 * min(camera.fov_mm, acquisition.orbit_mm))
    if not (like.counts > 0 and 0 <= like.scatter_fraction < 1):
        raise SettingsError("counts are above 0, and the share of scatter from 0 to below 1")
    truth, mu, trues = _projected(acquisition, camera, phantom, attenuate=like.attenuate)
    scale = like.counts * (1 - like.scatter_fraction) / float(trues.sum(dtype=np.float64))
    trues *= np.float32(scale)
    limits = _limits(acquisition.source().windows_kev()[0])
    means, scatter = _windows(trues, camera, like, limits)
    rng = np.random.default_rng(like.seed)
    counts = np.stack([(drawn if like.noise else rounded)(mean, rng) for mean in means])
    facts = {
        "phantom": phantom.name,
        "labels": dict(phantom.labels),
        "expected_counts": float(like.counts),
        "scatter_fraction": float(like.scatter_fraction),
        "counts_per_mm_per_unit": scale,
        "activity_unit": phantom.unit,
    }
    return CameraSimulation(
        acquisition, camera, counts, limits[: len(means)], _moved(truth, acquisition, scale),
        mu and _moved(mu, acquisition), _moved(phantom.label_map(camera.grid()), acquisition),
        means[0], scatter, facts,
    )  # fmt: skip


def _limits(peak: tuple[float, float]) -> tuple[tuple[str, float, float], ...]:
    """Return the photopeak's window and two beside it, of 12 % of its energy."""
    low, high = peak
    edge = 0.06 * (low + high)
    return ("photopeak", low, high), ("lower", low - edge, low), ("upper", high, high + edge)


def _projected(
    acquisition: CameraAcquisition, camera: Camera, phantom: Phantom, *, attenuate: bool
) -> tuple[Volume, Volume | None, Array]:
    """Return truth and attenuation map about the axis, and the projections of the phantom.

    Projections come from voxels of half a bin across the axis. Without attenuation and response
    they are exact line integrals.
    """
    import numpy as np  # noqa: PLC0415 - quick --help

    from emrecon.tomo.materials import attenuation_per_mm  # noqa: PLC0415
    from emrecon.tomo.operators.camera import CameraProjector  # noqa: PLC0415
    from emrecon.volume import Volume  # noqa: PLC0415
    from phantoms.phantom import WATER_PER_MM  # noqa: PLC0415

    coarse, response = camera.grid(), acquisition.response()
    truth = phantom.activity(coarse)
    if not attenuate and response is None:
        return truth, None, _exact(camera, phantom)
    water = attenuation_per_mm("water", acquisition.source().energy_kev)
    factor = np.float32(water / WATER_PER_MM)  # the phantom's is at 511 keV

    def medium(grid: Grid) -> Volume | None:
        mu = phantom.mu(grid)
        return Volume(mu.voxels * factor, mu.affine, "1/mm") if attenuate else None

    fine = camera.grid((camera.bin_mm / 2, camera.bin_mm / 2, camera.plane_mm))
    projector = CameraProjector(fine, camera, response, medium(fine))
    trues = projector.forward(np.asarray(phantom.activity(fine).voxels))
    return truth, medium(coarse), trues


def _exact(camera: Camera, phantom: Phantom) -> Array:
    """Return exact line integrals: what a perfect collimator sees without attenuation."""
    import numpy as np  # noqa: PLC0415 - quick --help

    from phantoms.lines import line_integrals  # noqa: PLC0415

    trues = line_integrals(phantom.bodies, _parallel(camera), phantom.activities)
    return np.maximum(trues, 0, out=trues)


def _parallel(camera: Camera) -> Any:  # noqa: ANN401 - Bins, imported late
    """Return the camera's bins as parallel beams: u is along s a quarter turn on."""
    import numpy as np  # noqa: PLC0415 - quick --help

    from emrecon.tomo.geometry.bins import Bins  # noqa: PLC0415
    from emrecon.tomo.geometry.segments import Segment  # noqa: PLC0415

    flat = Segment(camera.planes, float(camera.z_mm[0]), camera.plane_mm)
    return Bins(camera.theta_rad + np.pi / 2, camera.u_mm, (flat,))


def _windows(
    trues: Array,
    camera: Camera,
    like: Acquisition,
    limits: tuple[tuple[str, float, float], ...],
) -> tuple[list[Array], Array | None]:
    """Return the mean of every energy window, and the scatter in the first.

    Scatter is a shape, not physics: trues blurred widely, on a straight line along energy.
    """
    import numpy as np  # noqa: PLC0415 - quick --help

    from phantoms.simulate import scatter_shape  # noqa: PLC0415

    if not like.scatter_fraction:
        return [trues], None
    scatter = scatter_shape(trues, _parallel(camera))
    wanted = like.counts * like.scatter_fraction
    scatter *= np.float32(wanted / float(scatter.sum(dtype=np.float64)))
    peak, side = (high - low for _, low, high in limits[:2])
    sides = [np.float32(side / peak * (1 + tilt)) * scatter for tilt in (SLOPE, -SLOPE)]
    return [trues + scatter, *sides], scatter


def _moved(volume: Volume, acquisition: CameraAcquisition, scale: float = 1.0) -> Volume:
    """Return a volume where the patient is; an activity scaled to counts/mm."""
    import numpy as np  # noqa: PLC0415 - quick --help

    from emrecon.volume import Volume  # noqa: PLC0415

    affine = volume.affine.copy()
    affine[:3, 3] += acquisition.patient_mm
    if scale == 1.0:
        return Volume(volume.voxels, affine, volume.unit)
    return Volume(volume.voxels * np.float32(scale), affine, "counts/mm")
