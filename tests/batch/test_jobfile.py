"""Job files: what they say, and what is refused before anything runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from emrecon.batch import Job, Store, read_jobs
from emrecon.cli import main
from emrecon.errors import DataError, SettingsError
from emrecon.io import write_image
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from tests.io import samples


def jobs(folder: Path, text: str) -> list[Job]:
    (folder / "jobs.toml").write_text(text)
    return read_jobs(folder / "jobs.toml")[0]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("a/one.hs", "a/two.hs", "b/one.hs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_defaults_globs_matrix_and_placeholders(scans: Path) -> None:
    found = jobs(
        scans,
        """
        out = "res"
        [defaults]
        iterations = 2
        randoms = "{folder}/r-{stem}.hs"
        [matrix]
        subsets = [4, 8]
        psf_fwhm_mm = [[], [4, 4, 5.5]]
        [[scan]]
        input = "*/one.hs"
        [[scan]]
        input = "a/two.hs"
        name = "special"
        iterations = 9
        output = "{name}/image.nii"
        matrix = {subsets = [1]}
        """,
    )
    assert [job.name for job in found] == [
        "a-one_subsets-4_psf_fwhm_mm-none", "a-one_subsets-4_psf_fwhm_mm-4x4x5.5",
        "a-one_subsets-8_psf_fwhm_mm-none", "a-one_subsets-8_psf_fwhm_mm-4x4x5.5",
        "b-one_subsets-4_psf_fwhm_mm-none", "b-one_subsets-4_psf_fwhm_mm-4x4x5.5",
        "b-one_subsets-8_psf_fwhm_mm-none", "b-one_subsets-8_psf_fwhm_mm-4x4x5.5",
        "special_subsets-1_psf_fwhm_mm-none", "special_subsets-1_psf_fwhm_mm-4x4x5.5",
    ]  # fmt: skip
    settings, parts = found[1].work.settings, found[1].work.corrections
    assert settings == Settings(iterations=2, subsets=4, psf_fwhm_mm=(4.0, 4.0, 5.5))
    assert parts.randoms == scans / "a/r-one.hs"
    assert found[1].out == str(scans / "res" / f"{found[1].name}.nii.gz")
    assert found[-1].work.settings.iterations == 9
    assert found[-1].out == str(scans / "res" / found[-1].name / "image.nii")


def test_other_kinds(scans: Path) -> None:
    samples.mgh(scans)
    found = jobs(
        scans,
        """
        [[scan]]
        kind = "segment"
        input = "t1.nii.gz"
        channels = ["t2.nii.gz"]
        contrast = "T2"
        mask = "m.nii"
        [[scan]]
        kind = "simulate"
        input = "brain"
        seed = 4
        [[scan]]
        kind = "convert"
        input = "x.l.hdr"
        max_ring_difference = 10
        [[scan]]
        kind = "convert"
        input = "y.hv"
        [[scan]]
        kind = "transmission"
        input = "rod.hs"
        [[scan]]
        kind = "convert"
        input = "a.mgz"
        """,
    )
    names = [Path(job.out).name for job in found]
    assert names == ["t1", "brain", "x", "y.nii.gz", "rod.nii.gz", "a.nii.gz"]
    assert found[0].work.images == (scans / "t1.nii.gz", scans / "t2.nii.gz")
    assert found[0].work.files.mask == scans / "m.nii"
    assert found[1].work.acquisition.seed == 4
    assert found[2].work.binning.max_ring_difference == 10


def test_a_word_in_place_of_a_file_is_no_file_beside(scans: Path) -> None:
    (found,) = jobs(
        scans,
        """
        [[scan]]
        input = "a/one.hs"
        scatter = "simulate"
        prior = "rdp"
        kappa = "auto"
        """,
    )
    corrections = found.work.corrections
    assert corrections.simulate_scatter
    assert corrections.scatter is None
    assert found.work.penalty.kappa is None


def test_a_kind_has_defaults_of_its_own(scans: Path) -> None:
    pet, fast, t1 = jobs(
        scans,
        """
        [defaults]
        memory_mb = 900
        [defaults.recon]
        subsets = 4
        output = "{name}.hv"
        [defaults.segment]
        contrast = "T2"
        memory_mb = 5000
        [[scan]]
        input = "a/one.hs"
        [[scan]]
        input = "a/two.hs"
        subsets = 8
        [[scan]]
        kind = "segment"
        input = "t1.nii.gz"
        """,
    )
    assert [job.work.settings for job in (pet, fast, t1)] == [
        Settings(subsets=4), Settings(subsets=8), TissueSettings(contrast="T2"),
    ]  # fmt: skip
    assert [job.memory_mb for job in (pet, fast, t1)] == [900, 900, 5000]
    assert [Path(job.out).name for job in (pet, t1)] == ["one.hv", "t1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no .*scan.* with an input"),
        ("[[scan]]", "no input"),
        ("scan = 3", r"written \[\[scan\]\]"),
        ("iterations = 3\n[[scan]]\ninput='a/one.hs'", "unknown key 'iterations'"),
        ("[[scan]]\ninput='a/one.hs'\niteration = 3", "has no 'iteration'"),
        ("[[scan]]\ninput='a/one.hs'\nworkers = 2", "a scan of its own: leave it out"),
        ("[[scan]]\ninput='a/one.hs'\niterations = 3.5", "iterations is a whole number, not 3.5"),
        ("[[scan]]\ninput='a/one.hs'\niterations = true", "iterations is a whole number"),
        ("[[scan]]\ninput='a/one.hs'\niterations = 0", "iterations must be 1 or more"),
        ("[[scan]]\ninput='a/one.hs'\nmu = 3", "a path is text in quotes"),
        ("[[scan]]\ninput='a/one.hs'\nmu = '{patient}.nii'", "placeholder .* {name}, {folder}"),
        ("[[scan]]\ninput='a/one.hs'\nthreads = 3", "--threads"),
        ("[[scan]]\ninput='a/one.hs'\nmemory_mb = -3", "memory_mb"),
        ("[[scan]]\ninput='a/one.hs'\nkind = 'fuse'", "kind is one of recon, segment"),
        ("[[scan]]\ninput='a/one.hs'\nkind = 'segment'\ncontrast = 'T3'", "one of 'auto', 'T1'"),
        ("[matrix]\nsubsets = 3\n[[scan]]\ninput='a/one.hs'", "list of values"),
        ("[matrix]\nsubset = [3]\n[[scan]]\ninput='a/one.hs'", "has no 'subset'"),
        ("[[scan]]\ninput='a/one.hs'\n[[scan]]\ninput='b/one.hs'", "two jobs have the name one"),
        (
            "scan = [{input='a/one.hs', name='Sub-01'}, {input='a/two.hs', name='sub-01'}]",
            "two jobs have the name sub-01",
        ),
        (
            'scan=[{input="a/one.hs", output="\\u00e9"},{input="a/two.hs", output="e\\u0301"}]',
            "two jobs write",
        ),
        ("[[scan]]\ninput='a/one.hs'\nname='../../x'", "x.nii.gz lies outside of the folder"),
        ("[[scan]]\ninput='a/one.hs'\nname='/tmp/x'", "lies outside of the folder"),
        ('[[scan]]\ninput="a/one.hs"\nname="x\\u0000y"', "characters that no name of a file has"),
        ("[[scan]]\ninput='a/one.hs'\noutput='x/../../y.hv'", "lies outside of the folder"),
        (
            "scan = [{input='a/one.hs', output='x.hv'}, {input='a/two.hs', output='x.nii.gz'}]",
            "two jobs write .*x.csv",
        ),
        (
            "defaults={kind='segment', output='x'}\nmatrix={starts=[1, 2]}\nscan=[{input='T1'}]",
            "two jobs write .*x",
        ),
        ("[[scan]\n", "is not TOML"),
        (
            "[defaults]\nsubsets = 3\n[[scan]]\ninput='t1.nii'\nkind = 'segment'",
            r"1 \(t1.nii\): .* has subsets, which a segment job .* write it in \[defaults.recon\]",
        ),
        ("[defaults.convert]\nsubsets = 3\n[[scan]]\ninput='a/one.hs'", "which no convert job"),
        ("[defaults]\nrecon = 3\n[[scan]]\ninput='a/one.hs'", r"table: \[defaults.recon\]"),
    ],
)
def test_mistakes_are_refused(scans: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        jobs(scans, text)


def test_a_glob_that_matches_nothing(scans: Path) -> None:
    with pytest.raises(DataError, match="nothing matches 'c/"):
        jobs(scans, "[[scan]]\ninput = 'c/*.hs'")


def test_exit_codes_of_what_cannot_run(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def code(text: str, *flags: str) -> int:
        (scans / "jobs.toml").write_text(text)
        with pytest.raises(SystemExit) as left:
            main(["batch", str(scans / "jobs.toml"), *flags])
        return int(left.value.code or 0)

    before = sorted(scans.rglob("*"))
    assert code("[[scan]]\ninput = 'a/one.hs'\nsubset = 3") == 2
    assert code("[[scan]]\ninput = 'c/*.hs'") == 3
    assert code("[[scan]]\ninput = 'c/one.hs'", "--dry-run") == 3
    assert set(scans.rglob("*")) == {*before, scans / "jobs.toml"}
    assert code("[[scan]]\ninput = 'c/one.hs'") == 3
    assert "there is no" in capsys.readouterr().err
    assert code("[[scan]]\ninput = 'c/one.hs'") == 1  # results of an earlier batch
    assert "Traceback" not in capsys.readouterr().err


def test_jobs_travel(scans: Path) -> None:
    (job,) = jobs(scans, "[[scan]]\ninput = 'a/one.hs'\npsf_fwhm_mm = 4.5")
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 - its own
    assert Job.of(json.loads(json.dumps(job.plain()))) == job
    assert job.work.settings.psf_fwhm_mm == (4.5,)


def test_a_mark_of_byte_order_is_no_part_of_a_job_file(scans: Path) -> None:
    text = '[[scan]]\r\ninput = "a/one.hs"\r\n'
    (scans / "jobs.toml").write_bytes(text.encode("utf-8-sig"))
    assert [job.name for job in read_jobs(scans / "jobs.toml")[0]] == ["one"]


def test_a_job_that_reads_what_another_writes_is_refused(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        write_image(Volume(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / name)
    text = "out='.'\nscan=[{kind='convert', input='a.nii', output='%s'}"
    text += ", {kind='segment', input='b.nii'}]"
    with pytest.raises(SettingsError, match=r"b reads .*b.nii, which another job writes"):
        jobs(tmp_path, text % "B.nii")  # one file where file systems take names so
    assert len(jobs(tmp_path, text % "c.nii")) == 2


def test_names_in_any_letters_have_records_of_their_own(tmp_path: Path) -> None:
    for name in ("M\u00fcller", "M\u00f6ller"):
        (tmp_path / f"{name}.hs").write_text("")
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("out = 'out'\n[[scan]]\ninput = '*.hs'\n")
    every, out = read_jobs(jobs)
    store = Store(out / "batch")
    assert len({store.record_of(job.name) for job in every}) == 2
    assert store.log_of("M\u00fcller").name == "M\u00fcller.log"
