"""The word none, in place of a file that a manifest names: in every face, the same bits."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from emrecon import forms, jobs
from emrecon.batch.jobfile import read_jobs
from emrecon.cli import main
from emrecon.errors import EmreconError, SettingsError
from emrecon.io import read_image
from emrecon.io.manifest import MANIFEST, resolved, scan_files
from emrecon.jobs.base import Execution
from emrecon.jobs.known_source import Source
from emrecon.jobs.normalise import NormalisationJob
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

NONE = Path("none")

FILES = sorted(forms.path_names(Corrections))

BESIDE = {
    "mu": "mu_unit = '1/mm'\nmu_centred = true\n", "ct": "ct_kvp = 120\n",
    "calibration": "suv = true\n", "norm": "singles_cps = 9e4\n",
}  # fmt: skip
"""What a manifest says of a file that it names."""


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan whose manifest names a map beside others, and manifests that lack one of them."""
    folder = tmp_path_factory.mktemp("none") / "scan"
    like = Acquisition(scanner="tiny", counts=1e5, randoms_fraction=0.1, scatter_fraction=0.1)
    jobs.run(SimulationJob("cylinder", folder, like))
    lines = (folder / MANIFEST).read_text().splitlines()
    kept = [line for line in lines if not line.startswith("attenuation")]
    kept += ['mu = "mu.nii.gz"', 'mu_unit = "1/mm"']
    (folder / MANIFEST).write_text("\n".join(kept) + "\n")
    for name in ("normalisation", "randoms", "scatter", "mu"):
        without = [line for line in kept if not line.startswith(name)]
        assert len(without) < len(kept)
        (folder / f"no_{name}.toml").write_text("\n".join(without) + "\n")
    return folder


def typed(*words: object) -> None:
    """Run the command line here, which ends well."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
        raise SystemExit(0)
    assert not left.value.code


ONCE = ("--iterations", 1, "--subsets", 4)


def recon(scan: Path, out: Path, *flags: object) -> np.ndarray:
    """Reconstruct by the command line; return the image."""
    typed("recon", scan, "-o", out, *ONCE, *flags)
    return np.asarray(read_image(out).voxels)


def test_every_file_that_a_manifest_may_name_takes_the_word() -> None:
    words = forms.words_for_paths(Corrections)
    assert [name for name in FILES if "none" in words.get(name, ())] == FILES
    assert len(FILES) == 11


@pytest.mark.parametrize("name", FILES)
def test_it_is_as_if_the_manifest_lacked_the_file(tmp_path: Path, name: str) -> None:
    """What the manifest says about the file goes too, and nothing else of it."""
    others = 'prompts = "p.hs"\nspan = 5\n'
    (tmp_path / "bare.toml").write_text(others)
    (tmp_path / "scan.toml").write_text(others + f'{name} = "file"\n' + BESIDE.get(name, ""))
    (tmp_path / "p.hs").touch()
    said = forms.filled(Corrections, {name: "none"})
    bare = resolved(tmp_path / "bare.toml", Corrections())
    assert resolved(tmp_path / "scan.toml", Corrections()) != bare
    assert resolved(tmp_path / "scan.toml", said) == bare
    assert resolved(tmp_path / "p.hs", said) == (tmp_path / "p.hs", Corrections())
    assert forms.paths_in(said) == {}
    assert forms.asked(said) == []
    assert forms.told(said) == {name: "none"}
    assert set(scan_files(tmp_path / "scan.toml", said)) == {"manifest", "prompts"}
    assert forms.filled(Corrections, forms.plain(said)) == said
    assert forms.as_flags(said) == [f"--{name}", "none"]


def test_what_says_the_same_in_another_way_stays(tmp_path: Path) -> None:
    """No map is no other attenuation; a map instead of a CT needs no tube voltage."""
    (tmp_path / MANIFEST).write_text('prompts = "p.hs"\nattenuation = "a.hs"\n')
    assert resolved(tmp_path, Corrections(mu=(NONE,)))[1].attenuation == tmp_path / "a.hs"
    (tmp_path / MANIFEST).write_text('prompts = "p.hs"\nct = "ct"\nct_kvp = 120\n')
    mu = Corrections(mu=(tmp_path / "mu.nii",))
    assert resolved(tmp_path, mu)[1] == mu


@pytest.mark.parametrize("name", ["normalisation", "randoms", "scatter", "mu"])
def test_flags_give_the_image_of_a_manifest_without(
    scan: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, off, bare = (tmp_path / f"{each}.nii" for each in ("whole", "off", "bare"))
    image = recon(scan, off, f"--{name}", "none")
    np.testing.assert_array_equal(image, recon(scan / f"no_{name}.toml", bare))
    assert not np.array_equal(image, recon(scan, whole))
    told, lacks = (json.loads(path.with_suffix(".json").read_text()) for path in (off, bare))
    assert told["Settings"][name] == "none"
    assert name not in lacks["Settings"]
    assert set(told["Inputs"]) == set(lacks["Inputs"])
    assert name not in told["Inputs"]
    capsys.readouterr()
    dry = tmp_path / "dry.nii"
    typed("recon", scan, "-o", dry, *ONCE, f"--{name}", "none", "--dry-run")
    planned = capsys.readouterr().out
    assert f"reads {name}:" not in planned
    assert "reads prompts:" in planned
    assert not dry.exists()


def test_python_job_files_and_files_of_settings_give_it_too(scan: Path, tmp_path: Path) -> None:
    image = recon(scan / "no_mu.toml", tmp_path / "bare.nii")
    once = Settings(iterations=1, subsets=4)
    off = Corrections(mu=NONE)  # type: ignore[arg-type] # one will do for several
    job = ReconstructionJob(scan, tmp_path / "python.nii", once, off)
    result, _ = jobs.run(job)
    np.testing.assert_array_equal(result.volume.voxels, image)
    how = tmp_path / "how.toml"
    how.write_text('mu = "none"\n')
    np.testing.assert_array_equal(recon(scan, tmp_path / "c.nii", "--config", how), image)
    for number, said in enumerate(('"none"', '["none"]')):
        file = tmp_path / f"jobs{number}.toml"
        file.write_text(
            f"out = 'done{number}'\n[[scan]]\ninput = '{scan}'\nmu = {said}\n"
            "iterations = 1\nsubsets = 4\noutput = 'a.nii'\n"
        )
        (found,), _ = read_jobs(file)
        assert found.work.corrections == off
    typed("batch", tmp_path / "jobs0.toml", "--dry-run")
    typed("batch", tmp_path / "jobs0.toml")
    written = tmp_path / "done0" / "a.nii"
    np.testing.assert_array_equal(read_image(written).voxels, image)
    told = json.loads(written.with_suffix(".json").read_text())
    assert told["Settings"]["mu"] == "none"
    assert "mu" not in told["Inputs"]


def test_a_flag_goes_before_a_file_of_settings(scan: Path, tmp_path: Path) -> None:
    how = tmp_path / "how.toml"
    how.write_text(f'scatter = "{scan / "scatter.hs"}"\n')
    off = recon(scan, tmp_path / "a.nii", "--config", how, "--scatter", "none")
    np.testing.assert_array_equal(off, recon(scan / "no_scatter.toml", tmp_path / "b.nii"))


def test_efficiencies_are_estimated_without_a_file_that_is_left_out(
    scan: Path, tmp_path: Path
) -> None:
    """Those of the manifest are what is estimated: the word is no correction that is refused."""
    bare, said = scan / "no_normalisation.toml", Corrections(normalisation=NONE)
    source = Source(radius_mm=50.0, iterations=1)
    results = [
        jobs.run(NormalisationJob(path, tmp_path / f"{n}.hs", source, corrections))[1]
        for n, (path, corrections) in enumerate([(scan, said), (bare, Corrections())])
    ]
    one, other = (files[0].with_suffix(".s").read_bytes() for files in results)
    assert one == other
    about = json.loads((tmp_path / "0.json").read_text())
    assert about["Settings"]["normalisation"] == "none"


def test_a_file_of_that_name_is_given_with_its_folder(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(scan / "randoms.hs", tmp_path / "none")
    shutil.copy(scan / "randoms.s", tmp_path)
    assert resolved(scan, Corrections(randoms=tmp_path / "none"))[1].randoms == tmp_path / "none"
    monkeypatch.chdir(tmp_path)
    image = recon(scan, tmp_path / "a.nii")
    typed_so = recon(scan, tmp_path / "b.nii", "--randoms", "./none")
    np.testing.assert_array_equal(typed_so, image)
    Path("how.toml").write_text('randoms = "./none"\n')
    np.testing.assert_array_equal(recon(scan, Path("c.nii"), "--config", "how.toml"), image)
    told = json.loads(Path("c.json").read_text())
    assert "randoms" not in told["Settings"]
    assert told["Inputs"]["randoms"]


def test_what_needs_a_file_refuses_the_word(scan: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmreconError, match="none"):
        ReconstructionJob(NONE).check(Execution())
    with pytest.raises(SettingsError, match="name the output"):
        ReconstructionJob(scan, NONE).check(Execution())
    with pytest.raises(SettingsError, match="mu is none or names files, not both"):
        Corrections(mu=(NONE, tmp_path / "mu.nii"))
    job = ReconstructionJob(scan, corrections=Corrections(mu=(NONE,), scatter=Path("simulate")))
    with pytest.raises(SettingsError, match="simulated from an attenuation map"):
        job.check(Execution())
    prior = forms.filled(type(job.penalty), {"prior": "rdp", "kappa": "none"})
    with pytest.raises(EmreconError, match="there is no none"):
        ReconstructionJob(scan, penalty=prior).check(Execution())
    assert [item.name for item in fields(Corrections) if item.name in forms.said_none(prior)] == []
