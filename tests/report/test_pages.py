"""Pages: one file, nothing loaded from anywhere, hostile names escaped, absent annotations with their reason."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.fake_clips import bare_clip, estimated_clip, true_clip
from worldloom.catalogs.clip import Annotation, Caption
from worldloom.catalogs.errors import BadInput
from worldloom.report.content import ClipEntry, FunnelRow, ReportContent, Step, TruthRow
from worldloom.report.demo_page import write_report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags, what they load, and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        self.handlers += [name for name in values if name.startswith("on")]
        self.loaded += [str(values[name]) for name in ("src", "href", "srcset", "data", "action") if name in values]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(values["content"])

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_clip():
    clip = estimated_clip()
    clip.provenance = replace(clip.provenance, uri=HOSTILE, licence=HOSTILE, kind=HOSTILE)
    clip.captions = [Caption(HOSTILE, HOSTILE)]
    clip.subjects.label = [HOSTILE, "$\\frac{$"]
    clip.annotations = {"pose": Annotation("absent", HOSTILE, HOSTILE, reason=HOSTILE, notes={HOSTILE: HOSTILE})}
    clip.camera = None
    return clip


def content() -> ReportContent:
    made = ReportContent(title=HOSTILE, intro=HOSTILE, next_command="worldloom run FOLDER", facts={HOSTILE: HOSTILE})
    made.steps.append(Step("Render", 2.5, HOSTILE))
    made.clips += [ClipEntry(estimated_clip(), true_clip(), "yard"), ClipEntry(bare_clip()), ClipEntry(hostile_clip())]
    made.funnel = [FunnelRow("ingest", 5, 3, {HOSTILE: 1}, {"truncated": 1}, out=4)]
    made.scores = [
        TruthRow("ATE", 0.41, "<= 1 %", "met", 3, "% of path", "worldloom scorecard", group=HOSTILE),
        TruthRow("Recall", None, note="nothing to measure"),
    ]
    return made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "report": write_report(folder / "deep" / "report.html", content()),
        "empty": write_report(folder / "empty.html", ReportContent("Nothing")),
    }


NAMES = ["report", "empty"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_loads_nothing_and_runs_nothing(pages: dict[str, Path], name: str) -> None:
    page = Page(pages[name])
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert not page.handlers
    assert all(place.startswith(("data:image/", "#")) for place in page.loaded)
    assert "url(" not in pages[name].read_text(encoding="utf-8")
    assert "@import" not in pages[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_forbids_scripts_and_remote_content(pages: dict[str, Path], name: str) -> None:
    rules = dict(part.strip().split(" ", 1) for part in Page(pages[name]).policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules


@pytest.mark.parametrize("name", ["report"])
def test_hostile_names_are_shown_as_text(pages: dict[str, Path], name: str) -> None:
    page = Page(pages[name])
    assert HOSTILE in page.text
    assert "<script>alert" not in pages[name].read_text(encoding="utf-8")


def test_absent_annotations_show_their_reason(pages: dict[str, Path]) -> None:
    text = Page(pages["report"]).text
    assert "no parallax: too few points to say how the camera moved" in text
    assert "SIGSEGV in the child process, 2 attempts" in text


def test_the_report_shows_every_part(pages: dict[str, Path]) -> None:
    page = Page(pages["report"])
    anchors = [place for place in page.loaded if place.startswith("#")]
    parts = ["steps", "clips", "paths", "actions", "events", "depth", "revisits", "funnel", "truth"]
    assert anchors == [f"#{part}" for part in parts]
    assert sum(place.startswith("data:image/png") for place in page.loaded) >= 5
    assert sum(place.startswith("data:image/jpeg") for place in page.loaded) == 3
    assert "worldloom run FOLDER" in page.text
    assert re.search(r"off by \d+\.\d cm, [\d.]+ % of the path", page.text)


def test_a_row_that_got_lost_is_pointed_out(tmp_path: Path) -> None:
    lost = ReportContent("x", funnel=[FunnelRow("pose", 5, 3, failed={"timeout": 1})])
    kept = ReportContent("x", funnel=[FunnelRow("pose", 5, 3, failed={"timeout": 1}, absent={"no parallax": 1})])
    assert "in is not ok" in Page(write_report(tmp_path / "a.html", lost)).text
    assert "in is not ok" not in Page(write_report(tmp_path / "b.html", kept)).text


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, pages: dict[str, Path]) -> None:
    again = write_report(tmp_path / "again.html", content())
    assert again.read_bytes() == pages["report"].read_bytes()


def test_frames_that_cannot_be_read_leave_grey_and_a_word(tmp_path: Path) -> None:
    clip = estimated_clip()
    clip.open_frames = _unreadable  # type: ignore[method-assign]
    text = Page(write_report(tmp_path / "torn.html", ReportContent("x", clips=[ClipEntry(clip)]))).text
    assert "frames not shown: the file is torn" in text


def _unreadable() -> object:
    raise BadInput("truncated", "the file is torn")


def test_importing_the_room_loads_no_plotting_library() -> None:
    code = (
        "import sys, worldloom.report, worldloom.report.content\n"
        "import worldloom.report.site.write, worldloom.report.site.compare, worldloom.report.site.look\n"
        "import worldloom.report.demo_page, worldloom.report.picture, worldloom.report.loops, worldloom.report.cards\n"
        "heavy = {'matplotlib', 'jinja2', 'PIL', 'cv2', 'av', 'ray', 'torch', 'pycolmap', 'open3d'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
