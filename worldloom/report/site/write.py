"""`worldloom inspect`: a folder of pages about a run or a dataset, which a person opens in a browser.

    index.html          what is in it: funnel, throughput, filters, histograms, gallery
    quarantine.html     of a run: every row that was dropped or failed
    compare.html        with `against`: what differs from another dataset
    clips/<key>.html    everything about one clip
    thumbs/, data/, assets/, cache/

The pages load nothing from elsewhere and work from `file://`. Whatever decodes or opens a clip runs in a child process.
"""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.pipeline.envelope import Envelope
from worldloom.report.collection import Collection, open_collection, plain_row, whole_key
from worldloom.report.page import TEMPLATES, write_page
from worldloom.report.site.clip_pages import DEADLINE_S, RECORDING, Pages, make_pages, page_of
from worldloom.report.site.columns import Row, data_of_clips
from worldloom.report.site.looks import MEMORY_MB, Looked, look_at_all
from worldloom.report.site.overview import annotation_rows, counts, first_cards, funnel_lines, tiles
from worldloom.report.site.script import write_data

if TYPE_CHECKING:
    from worldloom.pipeline.progress import Progress
    from worldloom.report.site.problems import Problem

ASSETS = TEMPLATES.parent / "assets"
PAGES = 200
"""Pages of single clips that are made unless asked for more (default ours): a minute or so of work."""
FIRST_PROBLEMS = 20
"""Rows per stage and reason that the quarantine shows without its script."""


@dataclass
class Site:
    """What was written.

    Attributes:
        index: the page to open.
        clips: in the collection.
        decoded: clips whose frames were read this time.
        pages: of single clips that there are now.
        made: of these, written this time.
        troubles: clips that could not be opened, decoded or drawn, by reason.
        said: a sentence of each of these reasons.
    """

    index: Path
    clips: int = 0
    decoded: int = 0
    pages: int = 0
    made: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)


def write_site(
    place: Path | str,
    folder: Path,
    progress: Progress,
    *,
    against: Path | str | None = None,
    pages: int = PAGES,
) -> Site:
    """Write or renew the pages of a run or a dataset.

    Args:
        place: a run's working folder, or a dataset; a folder or `s3://bucket/prefix`.
        folder: to write into; it is made.
        progress: told how far it is.
        against: another run or dataset to compare with; `DATASET@3` is a dataset as its manifest 3 has it.
        pages: of single clips at most, the first ones by key.

    Raises:
        UsageError: nothing to inspect at `place` or `against`.
        WorldloomError: no clip's frames or page could be made, for one and the same reason of this machine.
    """
    collection = open_collection(place)
    other = None if against is None else open_collection(against)
    copy_assets(folder)
    looked = look_at_all(collection.sights, folder, progress)
    made = make_pages(collection.sights[: max(0, pages)], folder, collection.facts, progress)
    rows = rows_of_site(collection, looked)
    problems = collection.problems()
    menu = _menu(collection, problems, other is not None)
    if collection.what == "run":
        write_quarantine(collection, problems, menu, folder, {row["key"] for row in rows}, made)
    if other is not None:
        from worldloom.report.site.compare import write_comparison

        theirs = look_at_all(other.sights, folder / "cache" / "against", progress, strips=False)
        write_comparison(
            collection, other, (rows, looked.looks), (rows_of_site(other, theirs), theirs.looks),
            menu=menu, folder=folder, hrefs=made.hrefs,
        )  # fmt: skip
    index = write_overview(collection, rows, looked, made, problems, menu, folder)
    troubles = looked.troubles + made.troubles
    said = {look.trouble: look.said for look in looked.looks.values() if look.trouble} | made.said
    return Site(index, len(rows), looked.decoded, len(made.hrefs), made.made, troubles, said)


def write_one_page(place: Path | str, folder: Path, key: str, progress: Progress) -> Path:
    """Write the page of one clip, and nothing else but what it needs.

    Args:
        place: see `write_site`.
        folder: of the site, which need not be there yet.
        key: of the clip, or its beginning where only one has it.
        progress: told how far it is.

    Raises:
        UsageError: there is no such clip.
        WorldloomError: it cannot be opened.
    """
    collection = open_collection(place)
    key = whole_key(collection, key)
    copy_assets(folder)
    there = [sight for sight in collection.sights if sight.key == key or (folder / page_of(sight.key)).is_file()]
    home = "../index.html" if (folder / "index.html").exists() else ""
    made = make_pages(there, folder, collection.facts, progress, home=home, only=key)
    if made.troubles:
        reason = next(iter(made.troubles))
        raise WorldloomError(f"{place}: the page of clip {key} cannot be drawn ({reason}): {made.said[reason]}")
    return folder / page_of(key)


def record_one(place: Path | str, path: Path, key: str) -> Path:
    """Write a Rerun recording of one clip; arguments as for `write_one_page`.

    Raises:
        UsageError: there is no such clip, or the extra `rerun` is not installed.
        WorldloomError: it cannot be opened.
    """
    collection = open_collection(place)
    key = whole_key(collection, key)
    sight = next(sight for sight in collection.sights if sight.key == key)
    envelope = Envelope(RECORDING, deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=1, attempts=1)
    try:
        ending = envelope.call({**sight.payload, "path": str(path.absolute())})
    finally:
        envelope.close()
    if ending.status != "ok":
        kind = UsageError if ending.reason == "usage" else WorldloomError
        raise kind(f"{place}: no recording of clip {key} ({ending.reason}): {ending.error}")
    return path


def copy_assets(folder: Path) -> None:
    """Styles and scripts of all pages into `assets/`."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    for file in sorted((*TEMPLATES.glob("*.css"), *ASSETS.glob("*.css"), *ASSETS.glob("*.js"))):
        shutil.copyfile(file, folder / "assets" / file.name)


def rows_of_site(collection: Collection, looked: Looked) -> list[dict[str, Any]]:
    """A row of the catalog per clip, sorted by key: what the run knows now, and its split where it is packed."""
    rows = []
    for sight in collection.sights:
        packed = collection.catalog.get(sight.key)
        said = looked.looks[sight.key].row
        row = plain_row(dict(said)) if isinstance(said, dict) else dict(packed) if packed else _unknown(sight.key)
        if packed is not None:
            row |= {name: packed[name] for name in ("split", "crc32")}
        rows.append(row)
    return rows


def _unknown(key: str) -> dict[str, Any]:
    """Of a clip whose record cannot be read."""
    return plain_row({"key": key})


def _menu(collection: Collection, problems: Sequence[Problem], compared: bool) -> list[dict[str, Any]]:
    menu = [{"href": "index.html", "title": "Overview", "count": ""}]
    if collection.what == "run":
        count = f"{len(problems):,}" if problems else ""
        menu.append({"href": "quarantine.html", "title": "Quarantine", "count": count})
    if compared:
        menu.append({"href": "compare.html", "title": "Comparison", "count": ""})
    return menu


def at(menu: Sequence[dict[str, Any]], href: str) -> list[dict[str, Any]]:
    """The menu of one of its pages."""
    return [{**page, "here": page["href"] == href} for page in menu]


def write_overview(
    collection: Collection,
    rows: Sequence[Row],
    looked: Looked,
    made: Pages,
    problems: Sequence[Problem],
    menu: Sequence[dict[str, Any]],
    folder: Path,
) -> Path:
    """Write `index.html` and its data."""
    write_data(folder / "data" / "clips.js", "clips", data_of_clips(rows, looked.looks, made.hrefs))
    command = f"worldloom inspect {shlex.quote(str(collection.place))}"
    quarantine = "quarantine.html" if collection.what == "run" else ""
    annotations = annotation_rows(rows)
    return write_page(
        folder / "index.html",
        "overview.html.j2",
        root="",
        pages=at(menu, "index.html"),
        title=collection.name,
        what=collection.what,
        place=str(collection.place),
        command=command,
        tiles=tiles(rows, looked.looks, len(problems)),
        funnel=funnel_lines(collection.funnel, quarantine=quarantine, clips="index.html"),
        annotations=funnel_lines(annotations, clips="index.html"),
        paces=collection.pace(sum(row["seconds"] for row in rows if not row["parents"])),
        troubles=sorted(looked.troubles.items()),
        total=len(rows),
        cards=first_cards(rows, looked.looks, made.hrefs),
        counts=counts(rows, looked.looks),
        next_command=f"worldloom verify {shlex.quote(str(collection.place))}",
        facts=list(collection.facts.items()),
    )


def write_quarantine(
    collection: Collection,
    problems: Sequence[Problem],
    menu: Sequence[dict[str, Any]],
    folder: Path,
    keys: set[str],
    made: Pages,
) -> Path:
    """Write `quarantine.html` and its data."""
    from worldloom.report.site.problems import grouped

    groups = grouped(problems)
    ordered = [row for group in groups for row in group.rows]
    job = shlex.quote(f"{collection.place}/job.yaml")
    data = [
        asdict(row) | {
            "page": made.hrefs.get(row.key, ""), "listed": row.key in keys,
            "retry": f"worldloom run {job} --retry {shlex.quote(row.reason)}" if row.status == "failed" else "",
        }
        for row in ordered
    ]  # fmt: skip
    write_data(folder / "data" / "problems.js", "problems", data)
    counted = Counter(row.status for row in problems)
    reasons = len({(row.stage, row.reason) for row in problems})
    return write_page(
        folder / "quarantine.html",
        "quarantine.html.j2",
        root="",
        pages=at(menu, "quarantine.html"),
        title=collection.name,
        tiles=[
            (f"{counted['dropped']:,}", "dropped"), (f"{counted['failed']:,}", "failed"), (f"{reasons:,}", "reasons"),
        ] if problems else [],
        groups=[
            {"stage": group.stage, "status": group.status, "reason": group.reason, "count": len(group.rows),
             "rows": group.rows[:FIRST_PROBLEMS]} for group in groups
        ],
        total=len(problems),
        next_command=f"worldloom status {shlex.quote(str(collection.place))} --all" if problems else "",
        facts=list(collection.facts.items()),
    )  # fmt: skip
