"""The report: what each job did, found and warned of is seen in the page and in the lines."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from emrecon.batch.record import Record
from emrecon.batch.report import write_reports, write_thumbnail
from emrecon.batch.report_page import CONTROLS, SCRIPT
from emrecon.batch.store import Store


def test_warnings_of_jobs_are_seen(tmp_path: Path) -> None:
    said = ("no mask was given: look at <it>", "two classes are 1.5 SD apart")
    records = [
        Record("good", "segment", "done", warnings=said),
        Record("bad", "segment", "failed", error="cannot be read", warnings=said[:1]),
        Record("quiet", "segment", "done"),
    ]
    store = Store(tmp_path / "batch")
    store.make()
    write_reports(store, records)
    page = store.report.read_text()
    assert "<b>2</b> with warnings" in page
    assert page.count("<li>no mask was given: look at &lt;it&gt;</li>") == 2
    assert page.count(f"<li>{said[1]}</li>") == 1
    lines = [json.loads(line) for line in store.lines.read_text().splitlines()]
    assert [line["warnings"] for line in lines] == [list(said), [said[0]], []]


class Page(HTMLParser):
    """Keeps what a browser would make of the page: the jobs, their text and their links."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[dict[str, str]] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = {name: value or "" for name, value in attrs}
        if tag == "article":
            self.jobs.append(values)
        self.links += [values[name] for name in ("href", "src") if name in values]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """Return the page of a failed job and of a done one whose name and files are odd."""
    store = Store(tmp_path / "batch")
    store.make()
    name = "<i>it's 50% & more</i>"
    outputs = [tmp_path / "odd #1" / f"it's 50%{end}" for end in (".nii.gz", ".json", ".png")]
    outputs[0].parent.mkdir()
    for path in (*outputs, store.log_of(name), store.log_of("bad")):
        path.touch()
    Image.new("L", (1700, 900), 77).save(outputs[2])
    write_thumbnail(outputs[2], store.thumbnail_of(name))
    good = Record(
        name, "segment", "done", seconds=2.5, peak_mb=300.0, started="now",
        outputs=tuple(map(str, outputs)), picture=str(outputs[2]), curve=(1.0, 2.0, 3.0),
        summary=("CSF: 189.4 mL (95 % 160.1 to 218.7)",), warnings=("look <here>",),
        settings={"classes": 4, "seed": 0, "bias": "auto"},
    )  # fmt: skip
    bad = Record("bad", "recon", "failed", error="no <file>", settings={"iterations": 7})
    write_reports(store, [bad, good])
    found = Page()
    found.feed(store.report.read_text())
    return found


def test_names_and_words_are_text_not_markup(page: Page) -> None:
    assert not page.tags & {"i", "file", "here"}
    assert [job["data-name"] for job in page.jobs] == ["bad", "<i>it's 50% & more</i>"]
    for words in ("no <file>", "look <here>", "CSF: 189.4 mL (95 % 160.1 to 218.7)"):
        assert words in page.text


def test_settings_that_were_chosen_are_seen_at_once(page: Page) -> None:
    assert "Settings: classes = 4" in page.text
    assert "Settings: iterations = 7" in page.text
    assert "seed0" in page.text  # all of them, behind a click


def test_every_link_leads_to_a_file_beside_the_page(page: Page, tmp_path: Path) -> None:
    pictures = [link for link in page.links if link.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == 1
    with Image.open(io.BytesIO(base64.b64decode(pictures[0].partition(",")[2]))) as picture:
        assert picture.width >= 720
    links = [unquote(link) for link in page.links if link not in pictures]
    found = [(tmp_path / "batch" / link).resolve() for link in links]
    assert all(path.is_file() for path in found)
    assert {path.suffix for path in found} == {".json", ".gz", ".png", ".log"}


def test_the_page_can_be_searched_and_put_in_order(page: Page) -> None:
    """What the script reads is there; that it works was looked at in a browser."""
    assert [job["class"] for job in page.jobs] == ["job failed recon", "job done segment warned"]
    assert page.jobs[1]["data-seconds"] == "2.5"
    assert page.jobs[1]["data-mb"] == "300.0"
    for name in re.findall(r"by\('(\w+)'\)", SCRIPT):
        assert f"id={name} " in CONTROLS or f"id={name}>" in CONTROLS
    values = set(re.findall(r"value=(\w+)", CONTROLS))
    orders = set(re.findall(r"^  (\w+): \(a, b\)", SCRIPT, re.MULTILINE))
    assert values == orders | {"failed", "warned", "recon", "segment"}
