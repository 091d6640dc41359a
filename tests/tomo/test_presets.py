import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.tomo.geometry.presets import PRESETS, by_name


@pytest.mark.parametrize("scanner", PRESETS.values(), ids=PRESETS.keys())
def test_bins_stay_inside_the_ring(scanner):
    bins = scanner.bins(max_ring_difference=0)
    assert np.abs(bins.s_mm).max() < scanner.effective_radius_mm
    assert bins.shape == (scanner.crystals // 2, scanner.max_bins, scanner.rings)


@pytest.mark.parametrize("scanner", PRESETS.values(), ids=PRESETS.keys())
def test_figures_fit_each_other(scanner):
    around, along = scanner.block_crystals
    assert scanner.crystals % around == 0
    gap = scanner.name == "Siemens mCT"  # one ring between blocks, and none after the last
    assert (scanner.rings + gap) % along == 0
    # An arc-corrected bin is made about as wide as the crystals sample the centre.
    sampling = scanner.effective_radius_mm * np.pi / scanner.crystals
    assert scanner.bin_mm == pytest.approx(sampling, rel=0.2)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Siemens mMR", "Siemens mMR"),
        ("siemens_biograph-MMR", "Siemens mMR"),
        ("2008", "Siemens mMR"),
        ("GE Signa PET/MR", "GE Signa PET/MR"),
        ("signa petmr", "GE Signa PET/MR"),
        ("ECAT HR+", "ECAT HR+"),
        ("ECAT 962", "ECAT HR+"),
        ("ecat931", "ECAT 931"),
        ("PRT-1", "PRT-1"),
        ("Tiny", "tiny"),
    ],
)
def test_names_are_read_generously(name, wanted):
    assert by_name(name).name == wanted


@pytest.mark.parametrize("name", ["Unknown", "", "ECAT HR", "ECAT HR++"])
def test_an_unknown_scanner_is_refused_with_the_known_ones(name):
    with pytest.raises(SettingsError, match=r"known are mMR"):
        by_name(name)


def test_known_lengths():
    assert by_name("mMR").rings * by_name("mMR").ring_spacing_mm == pytest.approx(260.0)
    assert by_name("Vision 600").rings * by_name("Vision 600").ring_spacing_mm == pytest.approx(
        263.0, abs=1.0
    )
    assert by_name("Inveon").bins().fov_mm == pytest.approx(50.0, abs=1.0)
