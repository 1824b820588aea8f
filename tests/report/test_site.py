"""`inspect` as a site: what its pages load, that hostile names stay text, that nothing is lost or decoded twice."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.made_sets import HOSTILE, clip_with, dataset_of, hostile_clip, small_run
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.envelope import Envelope
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.workspace import Workspace
from worldloom.report.collection import file_stem, open_collection, plain_row, whole_key
from worldloom.report.site import looks
from worldloom.report.site.columns import data_of_clips
from worldloom.report.site.compare import changes
from worldloom.report.site.overview import annotation_rows, counts, first_cards, funnel_lines, tiles
from worldloom.report.site.problems import problems_of
from worldloom.report.site.script import read_data, script, write_data
from worldloom.report.site.write import write_one_page, write_site

OURS = ("index.html", "quarantine.html", "compare.html")


class Page(HTMLParser):
    """What a page loads, and what of it would run or style in line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.policy = self.text = ""
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self._inside = tag
        self.inline += [f"{tag} {name}" for name in values if name.startswith("on") or name == "style"]
        for name in ("src", "srcset", "data", "poster", "action", "href"):
            if name in values:
                (self.links if tag == "a" else self.loaded).append(str(values[name]))
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(values["content"])

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(f"{self._inside}: {data[:40]}")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a dataset with hostile texts, against another one."""
    folder = tmp_path_factory.mktemp("hostile")
    clips = [clip_with(0, folder), hostile_clip(1, folder), hostile_clip(2, folder)]
    one = dataset_of(folder / "one", clips, name=HOSTILE.replace("\u2028", ""))
    two = dataset_of(folder / "two", [clip_with(1, folder), clip_with(3, folder)])
    write_site(one, folder / "site", Silent(), against=two)
    return folder / "site"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of a small run, its site in `inspect`."""
    folder = tmp_path_factory.mktemp("run")
    small_run(folder)
    write_site(folder / "out", folder / "out" / "inspect", Silent())
    return folder / "out"


@pytest.mark.parametrize("name", ["index.html", "compare.html"])
def test_a_page_loads_its_own_files_and_has_nothing_in_line(hostile: Path, name: str) -> None:
    page = Page(hostile / name)
    assert page.loaded and not page.inline
    assert all((hostile / place).is_file() for place in page.loaded)
    assert all(place.startswith("#") or (hostile / place.partition("#")[0]).is_file() for place in page.links)
    rules = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert "unsafe" not in page.policy


def test_no_file_names_another_machine(hostile: Path, run: Path) -> None:
    written = [file for folder in (hostile, run / "inspect") for file in folder.rglob("*") if file.is_file()]
    texts = [file for file in written if file.suffix in (".html", ".js", ".css")]
    assert {file.name for file in texts} >= {"index.html", "clips.js", "site.css", "gallery.js"}
    for file in texts:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|wss?://|[\"'(]//", text), file
        assert not re.search(r"url\((?!#)", text) and "@import" not in text, file
        assert "fetch(" not in text and "XMLHttpRequest" not in text and "eval(" not in text, file
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text and "document.write" not in text, file


def test_hostile_texts_stay_texts(hostile: Path) -> None:
    for name in ("index.html", "compare.html"):
        source = (hostile / name).read_text(encoding="utf-8")
        assert "<script>alert" not in source and "onerror=alert(1)>" not in source.replace("&gt;", "")
    assert HOSTILE in Page(hostile / "index.html").text
    for file in (hostile / "data").glob("*.js"):
        source = file.read_text(encoding="ascii")
        assert not set("<>&") & set(source), file
        assert source.count("'") == 2 and source.count("\n") == 1, file
    data = read_data(hostile / "data" / "clips.js")
    assert [HOSTILE in one["values"] for one in data["texts"] if one["name"] in ("caption", "attributes.title")] == [
        True, True]  # fmt: skip
    assert f"walks/{HOSTILE}" in next(one for one in data["texts"] if one["name"] == "uri")["values"]


@pytest.mark.parametrize("value", [HOSTILE, {"__proto__": 1, "a'b": "\\'"}, ["\\", "\\\\'", "\x7f\u2029é", 1.5, None]])
def test_data_come_back_as_they_were(tmp_path: Path, value: object) -> None:
    assert read_data(write_data(tmp_path / "x.js", "x", value)) == value
    assert script("x", value).isascii()


def test_data_without_a_number_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script("x", float("nan"))


def test_every_row_of_a_run_is_on_a_page(run: Path) -> None:
    space = Workspace(run)
    tables = {tally.name: tally for tally in space.summary().tables}
    assert all(tally.balanced for tally in tables.values())
    rows = read_data(run / "inspect" / "data" / "problems.js")
    for stage in ("ingest", "trouble", "compose"):
        lost = sum(sum(one.values()) for one in (tables[stage].dropped, tables[stage].failed))
        assert lost and len([row for row in rows if row["stage"] == stage]) == lost, stage
    clips = read_data(run / "inspect" / "data" / "clips.js")
    assert clips["count"] == len({*space.clips(), *open_collection(space.dataset).keys})
    for one in clips["status"]:
        tally = tables.get(one["name"])
        ends = [one["values"][code] for code in one["codes"]]
        if tally is not None and tally.part_of:
            there = set(space.clips())
            known = [end for key, end in zip(clips["texts"][0]["values"], ends, strict=True) if key in there]
            for status in ("absent", "failed"):
                assert sum(end[0] == status for end in known) == sum(getattr(tally, status).values()), one["name"]
    listed = Page(run / "inspect" / "quarantine.html").text
    assert "notes <b>.txt" in listed and "this clip is not to my liking" in listed


def test_a_failed_row_has_its_last_words_and_the_command_that_repeats_it(run: Path) -> None:
    failed = [row for row in problems_of(Workspace(run)) if row.status == "failed"]
    assert [(row.stage, row.reason, row.attempts) for row in failed] == [("trouble", "exception", 1)]
    assert "RuntimeError" in failed[0].words
    assert failed[0].command.startswith("worldloom annotate ")
    assert Path(failed[0].command.split()[-1]).is_file()
    dropped = [row for row in problems_of(Workspace(run)) if row.stage == "ingest"]
    assert dropped[0].command.endswith("--retry not_video")


def test_reasons_of_the_funnel_lead_to_their_rows(run: Path) -> None:
    tables = Workspace(run).summary().tables
    lines = {line.name: line for line in funnel_lines(tables, quarantine="quarantine.html", clips="index.html")}
    assert [chip.href for chip in lines["ingest"].chips] == ["quarantine.html#stage=ingest&reason=not_video"]
    assert [chip.href for chip in lines["pose"].chips] == ["index.html#status.pose=absent%3A+odd_number_of_frames"]
    poses = next(one for one in read_data(run / "inspect" / "data" / "clips.js")["status"] if one["name"] == "pose")
    assert ["absent", "odd_number_of_frames"] in poses["values"]
    assert [chip.href for chip in lines["annotate"].chips] == ["quarantine.html#stage=trouble"]
    for line in lines.values():
        assert sum(float(width) for _, _, width in line.parts) == pytest.approx(100 if line.inputs else 0, abs=0.01)


def test_nothing_is_opened_a_second_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "inspect"
    before = {file: file.stat().st_mtime_ns for file in (folder / "thumbs").rglob("*.webp")}
    assert len(before) == read_data(folder / "data" / "clips.js")["count"]
    monkeypatch.setattr(Envelope, "call", lambda *_: pytest.fail("a child was asked"))
    site = write_site(run, folder, Silent())
    assert (site.decoded, site.made, site.pages) == (0, 0, site.clips)
    assert {file: file.stat().st_mtime_ns for file in (folder / "thumbs").rglob("*.webp")} == before


def test_other_labels_are_read_without_decoding_again(tmp_path: Path) -> None:
    clip = clip_with(0, tmp_path)
    one = dataset_of(tmp_path / "set", [clip])
    assert write_site(one, tmp_path / "site", Silent(), pages=0).decoded == 1
    clip.quality["sharpness"] = 0.875
    dataset_of(one, [clip], number=2)
    site = write_site(one, tmp_path / "site", Silent(), pages=0)
    assert site.decoded == 0
    figures = {one["name"]: one for one in read_data(tmp_path / "site" / "data" / "clips.js")["facets"]}
    assert "source" in figures


def test_damaged_notes_of_the_last_time_are_read_anew(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "set", [clip_with(0, tmp_path)])
    first = write_site(one, tmp_path / "site", Silent(), pages=0)
    kept = tmp_path / "site" / "cache" / "looks.jsonl"
    kept.write_text('{"key": 3}\nnot json\n{"key": "x", "move": 5}\n' + "[" * 100_000, encoding="utf-8")
    again = write_site(one, tmp_path / "site", Silent(), pages=0)
    assert (first.decoded, again.decoded, again.troubles) == (1, 0, {})


def test_a_clip_that_cannot_be_decoded_is_shown_without_frames_and_counted(tmp_path: Path) -> None:
    broken = clip_with(1, tmp_path, video=b"no video at all")
    one = dataset_of(tmp_path / "set", [clip_with(0, tmp_path), broken])
    site = write_site(one, tmp_path / "site", Silent(), pages=0)
    assert site.troubles.total() == 1 and site.clips == 2
    data = read_data(tmp_path / "site" / "data" / "clips.js")
    row = data["texts"][0]["values"].index(broken.key)
    number = data["texts"][0]["codes"].index(row)
    assert data["strip"][number] == "" and data["trouble"]["values"][data["trouble"]["codes"][number]]
    assert data["move"][number], "its labels can be read all the same"
    assert "could not be opened or decoded" in Page(tmp_path / "site" / "index.html").text
    assert write_site(one, tmp_path / "site", Silent(), pages=0).decoded == 0, "nor is it tried again for nothing"


def test_a_trouble_of_the_machine_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = dataset_of(tmp_path / "set", [clip_with(0, tmp_path)])
    monkeypatch.setattr(looks, "DEADLINE_S", 0.0001)
    site = write_site(one, tmp_path / "site", Silent(), pages=0)
    assert site.troubles == {"timeout": 1}
    monkeypatch.undo()
    assert write_site(one, tmp_path / "site", Silent(), pages=0).troubles == {}


def test_one_page_alone(run: Path, tmp_path: Path) -> None:
    key = Workspace(run).clips()[0]
    page = write_one_page(run, tmp_path / "one", key[:20], Silent())
    assert page == tmp_path / "one" / "clips" / f"{key}.html"
    assert key in page.read_text(encoding="utf-8")
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == ["assets", "cache", "clips"]
    second = Workspace(run).clips()[1]
    assert f"{key}.html" in write_one_page(run, tmp_path / "one", second, Silent()).read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="no clip zzz"):
        write_one_page(run, tmp_path / "one", "zzz", Silent())


def test_so_many_pages_as_asked_for_are_made(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "set", [clip_with(i, tmp_path) for i in range(3)])
    site = write_site(one, tmp_path / "site", Silent(), pages=2)
    assert (site.pages, site.made) == (2, 2)
    assert len(list((tmp_path / "site" / "clips").glob("*.html"))) == 2
    assert sum(read_data(tmp_path / "site" / "data" / "clips.js")["page"]) == 2


def test_a_key_may_be_given_by_its_beginning(run: Path) -> None:
    collection = open_collection(run)
    assert whole_key(collection, collection.keys[0][:12]) == collection.keys[0]
    with pytest.raises(UsageError, match="clips begin with"):
        whole_key(collection, "")


def test_no_file_is_called_by_a_key_that_leads_elsewhere() -> None:
    for key in ("../../etc/passwd", "a/b", "", ".", "con fig", "x" * 300, "\u202eabc"):
        assert re.fullmatch(r"x[0-9a-f]{25}", file_stem(key))
    assert file_stem("abcdefghijklmnopqrstuvwx23") == "abcdefghijklmnopqrstuvwx23"


def test_a_catalog_of_other_columns_still_has_its_page() -> None:
    odd = [
        {"key": "../x", "source": None, "pose": "ok", "actions": {"status": 3, "move": ["a"] * 10, "view": None}},
        {"key": "b", "seconds": "long", "width": -4, "caption": 7, "quality": {"sharpness": "sharp", "burnt": [1]},
         "events": {"status": "ok", "reason": None, "count": float("inf")}, "revisits": {"density": "high"},
         "source": {"kind": 5, "uri": None}, "parents": "none", "attributes": {"status": HOSTILE, "x": float("nan")}},
    ]  # fmt: skip
    rows = [plain_row(row) for row in odd]
    data = data_of_clips(rows, {}, ())
    assert data["count"] == 2 and data["files"][0].startswith("x") and "nan" not in script("clips", data).lower()
    assert tiles(rows, {}, 0) and counts(rows, {}) and first_cards(rows, {}, {})
    assert [line.name for line in funnel_lines(annotation_rows(rows))] == ["actions", "events"]
    changes(rows[0], rows[1], looks.Look(), looks.Look(move="a3"))


def test_an_empty_folder_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a dataset"):
        write_site(tmp_path, tmp_path / "site", Silent())


def test_a_run_without_a_clip_says_so(tmp_path: Path) -> None:
    small_run(tmp_path, ingest={"min_seconds": 30, "max_seconds": 60})
    site = write_site(tmp_path / "out", tmp_path / "site", Silent())
    assert site.clips == 0 and "No clip here." in Page(site.index).text
    assert len(read_data(tmp_path / "site" / "data" / "problems.js")) == 4
    assert json.loads(json.dumps(read_data(tmp_path / "site" / "data" / "clips.js")))["count"] == 0
