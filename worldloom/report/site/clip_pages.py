"""Pages of single clips, each written in a child process: it opens videos and arrays that may come from anywhere."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from worldloom.catalogs.clip import Clip
from worldloom.pipeline.envelope import Envelope
from worldloom.report.collection import file_stem
from worldloom.report.page import TEMPLATES
from worldloom.report.site.look import open_clip
from worldloom.report.site.looks import MEMORY_MB, cores

if TYPE_CHECKING:
    from worldloom.pipeline.progress import Progress
    from worldloom.report.collection import Sight

ENTRY = "worldloom.report.site.clip_pages:make_page"
RECORDING = "worldloom.report.site.clip_pages:make_recording"
DEADLINE_S, RECYCLE_AFTER = 300.0, 50


@dataclass
class Pages:
    """What became of the pages.

    Attributes:
        hrefs: address of each page there is, below the folder, by key.
        made: pages written this time.
        troubles: pages that could not be, by reason.
        said: a sentence of each reason.
    """

    hrefs: dict[str, str]
    made: int
    troubles: Counter[str]
    said: dict[str, str]


@cache
def drawn_by() -> str:
    """Digest of what draws a page, so that pages of an earlier release are drawn anew."""
    files = sorted((*TEMPLATES.parent.glob("clip_*.py"), *TEMPLATES.glob("clip*.j2")))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def page_of(key: str) -> str:
    """Where below the folder the page of a clip lies."""
    return f"clips/{file_stem(key)}.html"


def make_pages(
    sights: Sequence[Sight],
    folder: Path,
    facts: Mapping[str, str],
    progress: Progress,
    *,
    home: str = "../index.html",
    only: str | None = None,
) -> Pages:
    """Write the pages of these clips, one leading to the next; those that are as they should be stay.

    Args:
        sights: where the clips lie, in the order in which one pages through them.
        folder: of the site.
        facts: small print by name.
        progress: told how far it is.
        home: address of the overview as seen from a page; empty for none.
        only: key of the one clip to write the page of; the others are its neighbours.
    """
    pages = Pages({}, 0, Counter(), {})
    known = _read(folder / "cache" / "pages.json")
    due: list[dict[str, Any]] = []
    stamps: dict[str, str] = {}
    for number, sight in enumerate(sights):
        if only not in (None, sight.key):
            continue
        around = {
            name: Path(page_of(sights[place].key)).name if 0 <= place < len(sights) else ""
            for name, place in (("previous", number - 1), ("following", number + 1))
        }
        plan = {**around, "facts": dict(facts), "home": home, "path": str((folder / page_of(sight.key)).absolute())}
        stamp = _digest([drawn_by(), sight.video, sight.stamp, plan])
        stamps[sight.key] = stamp
        if known.get(sight.key) == stamp and (folder / page_of(sight.key)).is_file():
            pages.hrefs[sight.key] = page_of(sight.key)
        else:
            due.append({**sight.payload, **plan})
    if due:
        progress.start("clip pages", len(due))
        for key, ending in _made(due):
            progress.advance("clip pages")
            if ending.status == "ok":
                pages.hrefs[key] = page_of(key)
                pages.made += 1
                known[key] = stamps[key]
            else:
                pages.troubles[ending.reason] += 1
                pages.said.setdefault(ending.reason, ending.error)
        progress.finish("clip pages")
        path = folder / "cache" / "pages.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, sort_keys=True, indent=0), encoding="utf-8")
    return pages


def _made(due: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    own = threading.local()
    envelopes: list[Envelope] = []

    def one(payload: Mapping[str, Any]) -> tuple[str, Any]:
        if not hasattr(own, "envelope"):
            own.envelope = Envelope(
                ENTRY, deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=RECYCLE_AFTER, attempts=1
            )
            envelopes.append(own.envelope)
        return payload["key"], own.envelope.call(payload)

    try:
        with ThreadPoolExecutor(max(1, min(len(due), cores())), "page") as pool:
            yield from pool.map(one, due)
    finally:
        for envelope in envelopes:
            envelope.close()


def make_page(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write one page. Runs in the child.

    Args:
        payload: see `open_clip`, and `path`, `previous`, `following`, `home`, `facts`.
    """
    from worldloom.report.clip_page import write_clip_page

    clip = open_clip(payload)
    path = Path(payload["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip_page(
        clip,
        path,
        video_href=_video_href(clip, path, str(payload.get("out", ""))),
        truth=_truth(payload),
        facts=dict(payload["facts"]),
        assets="../assets",
        previous=payload["previous"],
        following=payload["following"],
        home=payload["home"],
    )
    return {"bytes": path.stat().st_size}


def make_recording(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write a Rerun recording of one clip. Runs in the child.

    Args:
        payload: see `open_clip`, and `path`.
    """
    from worldloom.report.rerun_recording import write_recording

    path = write_recording(open_clip(payload), Path(payload["path"]))
    return {"bytes": path.stat().st_size}


def _truth(payload: Mapping[str, Any]) -> Clip | None:
    if not payload.get("out"):
        return None
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.workspace import truth_of

    return truth_of(Layout(payload["out"]), payload["key"], payload["record"])


def _video_href(clip: Clip, page: Path, out: str) -> str:
    """Address of the mp4 as seen from the page: the run's own file, or a copy beside the page."""
    if clip.video is None or clip.frame_index is not None:
        return ""
    if isinstance(clip.video, Path) and out and clip.video.is_relative_to(Path(out).absolute()):
        import os

        return quote(os.path.relpath(clip.video, page.parent.absolute()))
    copy = page.with_suffix(".mp4")
    if isinstance(clip.video, Path):
        shutil.copyfile(clip.video, copy)
    else:
        copy.write_bytes(clip.video)
    return quote(copy.name)


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): str(stamp) for key, stamp in found.items()} if isinstance(found, dict) else {}


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
