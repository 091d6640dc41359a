"""What to look at the morning after: one page, and a JSON line a job."""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from emrecon import forms, jobs
from emrecon.batch.record import Record
from emrecon.batch.report_page import CONTROLS, SCRIPT, STYLE
from emrecon.batch.store import Store, safe
from emrecon.files import replacing, write_text
from emrecon.jobs.base import forms_of

THUMB_PX = 720
"""Least width of a picture in the page."""


def write_reports(store: Store, records: Sequence[Record]) -> None:
    """Write the page and the lines, each whole or not at all."""
    write_text(store.lines, "".join(record.line() + "\n" for record in records))
    write_text(store.report, page(store, records))


def page(store: Store, records: Sequence[Record]) -> str:
    """Return the report as one HTML page that needs no other file and no network."""
    counts: Counter[str] = Counter(record.status for record in records)
    open_ = [record for record in records if record.status in {"running", "waiting"}]
    title = f"{counts['done']} of {len(records)} done"
    folder, now = _text(str(store.folder.parent)), datetime.now(UTC)
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p class=small>{folder}, emrecon {version('emrecon')}, {now:%F %R} UTC</p>",
        _summary(records, counts),
        CONTROLS,
        _section(store, records, "failed"),
        _unfinished(open_),
        _section(store, records, "done"),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(section for section in parts if section)


def _summary(records: Sequence[Record], counts: Mapping[str, int]) -> str:
    spent = sum(record.seconds for record in records)
    peak = max((record.peak_mb for record in records), default=0.0)
    figures = [
        ("done", counts["done"]), ("failed", counts["failed"]),
        ("interrupted", counts["running"]), ("not begun", counts["waiting"]),
        ("with warnings", sum(bool(record.warnings) for record in records)),
    ]  # fmt: skip
    words = [f"<span><b>{n}</b> {what}</span>" for what, n in figures if n]
    lasting = f"<b>{spent:.0f}</b> s" if spent < 3600 else f"<b>{spent / 3600:.1f}</b> hours"
    words.append(f"<span>{lasting} of workers</span>")
    words.append(f"<span><b>{peak:.0f}</b> MB at most</span>")
    return f"<p class=sum>{''.join(words)}</p>"


def _unfinished(records: Sequence[Record]) -> str:
    if not records:
        return ""
    names = ", ".join(_text(record.name) for record in records)
    return f"<h2>Not finished</h2><p>{names}. Run the same command with <code>--resume</code>.</p>"


def _section(store: Store, records: Sequence[Record], status: str) -> str:
    """Return all jobs of one status, under a heading."""
    jobs = [_job(store, one, at) for at, one in enumerate(records) if one.status == status]
    if not jobs:
        return ""
    head = f"<h2 class={'bad' if status == 'failed' else 'good'}>{status.capitalize()}</h2>"
    return f"<section>{head}<div class=grid>{''.join(jobs)}</div></section>"


def _job(store: Store, record: Record, at: int) -> str:
    """Return what there is to see of a job: why it failed or what it made, and how."""
    classes = f"job {record.status} {record.kind}{' warned' if record.warnings else ''}"
    name = _text(record.name)
    return (
        f"<article class='{classes}' data-at={at} data-name='{name}' "
        f"data-seconds={record.seconds} data-mb={record.peak_mb}>"
        f"<h3>{name} <span>{_text(record.kind)}</span></h3>"
        + (f"<p class=bad>{_text(record.error)}</p>" if record.error else "")
        + _thumbnail(store, record)
        + _list(record.summary, "small")
        + _list(record.warnings, "warn")
        + _curve(record)
        + f"<p class=small>{_text(' · '.join(_facts(record)))}</p>"
        + _settings(record)
        + _files(store, record)
        + "</article>"
    )


def _facts(record: Record) -> list[str]:
    facts = [f"{record.seconds:.1f} s", f"{record.peak_mb:.0f} MB"] if record.started else []
    if record.counts is not None:
        facts.append(f"{record.counts:,.0f} {'voxels' if record.kind == 'segment' else 'counts'}")
    if record.resumed_at:
        facts.append(f"taken up at update {record.resumed_at}")
    return facts


def _list(lines: Sequence[str], kind: str) -> str:
    """Return lines, such as what a job warned of, as a list."""
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul class={kind}>{items}</ul>" if items else ""


def _settings(record: Record) -> str:
    """Return the settings that are not the defaults, and behind a click all of them."""
    if not record.settings:
        return ""
    usual = _defaults(record.kind)
    texts = {name: forms.to_text(value) for name, value in record.settings.items()}
    chosen = [
        f"{name} = {text}"
        for name, text in texts.items()
        if record.settings[name] != usual.get(name)
    ]
    rows = "".join(f"<dt>{_text(name)}<dd>{_text(text)}" for name, text in texts.items())
    shown = _text(", ".join(chosen) or "defaults")
    return f"<details class=small><summary>Settings: {shown}</summary><dl>{rows}</dl></details>"


@cache
def _defaults(kind: str) -> dict[str, Any]:
    """Return the default of each setting of a kind of job."""
    forms_ = forms_of(jobs.kind(kind))
    return {
        item.name: forms.to_plain(forms.default_of(item))
        for form in forms_
        for item in fields(form)
    }


def _files(store: Store, record: Record) -> str:
    """Return links to the sidecar and the log, and behind a click to all files."""
    files = {Path(name).name: _link(store, name) for name in record.outputs}
    links = [link for name, link in files.items() if name.endswith(".json")]
    if store.log_of(record.name).exists():
        links.append(f"<a href='{quote(f'logs/{safe(record.name)}.log')}'>log</a>")
    first = f"<p class=small>{' · '.join(links)}</p>" if links else ""
    if not files:
        return first
    items = "".join(f"<li>{link}</li>" for link in files.values())
    words = f"{len(files)} files: {_text(next(iter(files)))}"
    return f"{first}<details class=small><summary>{words}</summary><ul>{items}</ul></details>"


def _link(store: Store, name: str) -> str:
    """Return a link to a file, as it is seen from the page."""
    return f"<a href='{quote(_from_page(store, name))}'>{_text(Path(name).name)}</a>"


def _from_page(store: Store, name: str) -> str:
    return Path(os.path.relpath(name, store.folder)).as_posix()


def write_thumbnail(picture: Path, to: Path) -> None:
    """Write a picture made small, for the report; the job's worker does this beside the others."""
    from PIL import Image  # noqa: PLC0415 - only where there are pictures

    with Image.open(picture) as image, replacing(to) as beside:
        small = image.reduce(max(1, image.width // THUMB_PX))
        small.save(beside, "JPEG", quality=70)


def _thumbnail(store: Store, record: Record) -> str:
    """Return the job's picture in the page itself; it leads to the large one."""
    path = store.thumbnail_of(record.name)
    if not (record.picture and path.is_file()):
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    image = f"<img alt='{_text(record.name)}' src='data:image/jpeg;base64,{data}'>"
    return f"<a href='{quote(_from_page(store, record.picture))}' title='full size'>{image}</a>"


def _curve(record: Record) -> str:
    """Return the log-likelihood after each pass over the data, drawn.

    Only values of one subset can be compared, so there is one a pass.
    """
    values = record.curve[:: record.subsets]
    values = values[1:] if len(values) > 3 else values  # the first step dwarfs the rest
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{100 * n / (len(values) - 1):.2f},{38 - 36 * (value - low) / span:.2f}"
        for n, value in enumerate(values)
    )
    what = "free energy" if record.kind == "segment" else "log-likelihood"
    label = f"{what} {values[0]:.6g} to {values[-1]:.6g}"
    return (
        f"<svg viewBox='0 0 100 40' preserveAspectRatio=none role=img aria-label='{label}'>"
        f"<title>{label}</title><polyline points='{points}'/></svg>"
        f"<div class=small>{label}</div>"
    )


def _text(words: str) -> str:
    return html.escape(words, quote=True)
