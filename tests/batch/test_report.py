"""The report: what jobs warned of is seen in the page and in the lines."""

from __future__ import annotations

import json
from pathlib import Path

from emrecon.batch.record import Record
from emrecon.batch.report import write_reports
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
