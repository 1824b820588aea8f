"""A written page of a clip as tests read it, and a clip whose every word is hostile."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.report.fake_clips import FRAMES, estimated_clip
from worldloom.catalogs.clip import (
    Annotation,
    Caption,
    Clip,
    Event,
    Provenance,
)
from worldloom.report.clip_page import write_clip_page

HOSTILE = "</script><script>alert('x')</script>\"><img src=x onerror=alert(1)> {{ 7*7 }} & \u2028"
LOADING = ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "formaction", "ping", "background")


class Page(HTMLParser):
    """Tags with their attributes, the text outside of scripts, and the JSON block."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.block = "", ""
        self._inside: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append((tag, values))
        self._inside.append("json" if values.get("type") == "application/json" else tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "json":
            self.block += data
        else:
            self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.block)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def policy(self) -> dict[str, str]:
        content = next(meta["content"] for meta in self.of("meta") if meta.get("http-equiv"))
        return dict(part.strip().split(" ", 1) for part in content.split(";"))


def hostile_clip() -> Clip:
    clip = estimated_clip()
    clip.provenance = Provenance(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0, (0.0, 5.0), (HOSTILE,), (HOSTILE, HOSTILE)
    )
    clip.captions = [Caption(HOSTILE, HOSTILE), Caption(HOSTILE, HOSTILE)]
    clip.subjects.label, clip.subjects.source = [HOSTILE, HOSTILE], [HOSTILE, HOSTILE]
    clip.events = [*clip.events, Event(77, 3, 9, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    clip.annotations = {
        "pose": Annotation("absent", HOSTILE, HOSTILE, reason=HOSTILE, notes={HOSTILE: HOSTILE}),
        HOSTILE: Annotation("ok", HOSTILE, HOSTILE, notes={HOSTILE: [float(i) for i in range(FRAMES)]}),
    }
    clip.attributes = {"scene": HOSTILE, "stars": 4.5, "indoors": True}
    clip.quality = {HOSTILE: float("nan"), "sharpness": 0.5}
    return clip


def write(tmp_path: Path, clip: Clip, truth: Clip | None = None, **more: Any) -> Page:
    more.setdefault("video_href", "")
    return Page(write_clip_page(clip, tmp_path / "clips" / "page.html", truth=truth, **more))


def write_and_read(clip: Clip, truth: Clip | None = None) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder), clip, truth).data
