"""What to look at the morning after: one page, and a JSON line a job."""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from emrecon.batch.record import Record
from emrecon.batch.store import Store, safe
from emrecon.files import replacing, write_text

THUMB_PX = 360

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:78em;padding:0 1em;color:#222}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:1.6em}
.sum b{font-size:1.3em}.sum span{margin-right:1.6em}
.bad{color:#a40000}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #ddd;vertical-align:top}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(19em,1fr));gap:1em}
.card{border:1px solid #ddd;border-radius:6px;padding:.7em;overflow-wrap:anywhere}
.card img{max-width:100%;background:#fff}.card svg{width:100%;height:5.5em}
.warn{color:#7a4b00;font-size:.87em;margin:.4em 0 0;padding-left:1.2em}
.small{color:#555;font-size:.87em}code{font-size:.92em}
polyline{fill:none;stroke:#0072b2;stroke-width:1.6;vector-effect:non-scaling-stroke}
"""


def write_reports(store: Store, records: Sequence[Record]) -> None:
    """Write the page and the lines, each whole or not at all."""
    write_text(store.lines, "".join(record.line() + "\n" for record in records))
    write_text(store.report, page(store, records))


def page(store: Store, records: Sequence[Record]) -> str:
    """Return the report as one HTML page that needs no other file."""
    found: Counter[str] = Counter(record.status for record in records)
    failed = [record for record in records if record.status == "failed"]
    open_ = [record for record in records if record.status in {"running", "waiting"}]
    done = [record for record in records if record.status == "done"]
    title = f"{found['done']} of {len(records)} done"
    where = _text(str(store.folder.parent))
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p class=small>{where}, emrecon {version('emrecon')}, {datetime.now(UTC):%F %R} UTC</p>",
        _summary(records, found),
        _failures(store, failed),
        _unfinished(open_),
        _done(store, done),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _summary(records: Sequence[Record], found: Mapping[str, int]) -> str:
    hours = sum(record.seconds for record in records) / 3600
    peak = max((record.peak_mb for record in records), default=0.0)
    figures = [
        ("done", found["done"]), ("failed", found["failed"]),
        ("interrupted", found["running"]), ("not begun", found["waiting"]),
        ("with warnings", sum(bool(record.warnings) for record in records)),
    ]  # fmt: skip
    words = [f"<span><b>{n}</b> {what}</span>" for what, n in figures if n]
    words.append(f"<span><b>{hours:.2f}</b> worker hours</span>")
    words.append(f"<span><b>{peak:.0f}</b> MB at most</span>")
    return f"<p class=sum>{''.join(words)}</p>"


def _failures(store: Store, failed: Sequence[Record]) -> str:
    if not failed:
        return ""
    rows = []
    for record in failed:
        log = store.log_of(record.name)
        link = f"<a href='logs/{safe(record.name)}.log'>log</a>" if log.exists() else ""
        rows.append(
            f"<tr><td>{_text(record.name)}</td><td>{_text(record.kind)}</td>"
            f"<td class=bad>{_text(record.error)}{_warnings(record)}</td><td>{link}</td></tr>"
        )
    head = "<tr><th>job</th><th>kind</th><th>why</th><th></th></tr>"
    return f"<h2 class=bad>Failed</h2><table>{head}{''.join(rows)}</table>"


def _unfinished(records: Sequence[Record]) -> str:
    if not records:
        return ""
    names = ", ".join(_text(record.name) for record in records)
    return f"<h2>Not finished</h2><p>{names}. Run the same command with <code>--resume</code>.</p>"


def _done(store: Store, records: Sequence[Record]) -> str:
    if not records:
        return ""
    cards = "".join(_card(store, record) for record in records)
    return f"<h2>Done</h2><div class=grid>{cards}</div>"


def _card(store: Store, record: Record) -> str:
    facts = [f"{record.seconds:.1f} s", f"{record.peak_mb:.0f} MB"]
    if record.counts is not None:
        facts.append(f"{record.counts:,.0f} {'voxels' if record.kind == 'segment' else 'counts'}")
    if record.resumed_at:
        facts.append(f"taken up at update {record.resumed_at}")
    main = Path(record.outputs[0]).name if record.outputs else ""
    return (
        f"<div class=card><b>{_text(record.name)}</b> {_thumbnail(store, record)}"
        f"{_curve(record)}<div class=small>{_text(' · '.join(facts))}<br>{_text(main)}</div>"
        f"{_warnings(record)}</div>"
    )


def _warnings(record: Record) -> str:
    """Return what a job warned of, as a list."""
    lines = "".join(f"<li>{_text(line)}</li>" for line in record.warnings)
    return f"<ul class=warn>{lines}</ul>" if lines else ""


def write_thumbnail(picture: Path, to: Path) -> None:
    """Write a picture made small, for the report; the job's worker does this beside the others."""
    from PIL import Image  # noqa: PLC0415 - only where there are pictures

    with Image.open(picture) as image, replacing(to) as beside:
        small = image.reduce(max(1, image.width // THUMB_PX))
        small.save(beside, "JPEG", quality=80)


def _thumbnail(store: Store, record: Record) -> str:
    """Return the job's picture in the page itself; it leads to the large one."""
    path = store.thumbnail_of(record.name)
    if not (record.picture and path.is_file()):
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    large = Path(os.path.relpath(record.picture, store.folder)).as_posix()
    image = f"<img alt='{_text(record.name)}' src='data:image/jpeg;base64,{data}'>"
    return f"<a href='{quote(large)}'>{image}</a>"


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
