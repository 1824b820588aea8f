"""The page of a clip: hostile words stay words, nothing comes from elsewhere, what it says is what the clip holds."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.clip_pages import HOSTILE, LOADING, Page, hostile_clip, write, write_and_read
from tests.report.fake_clips import FRAMES, bare_clip, estimated_clip, true_clip, true_poses
from worldloom.catalogs.errors import BadInput
from worldloom.report.clip_data import as_json, plain
from worldloom.report.clip_page import ASSETS, write_clip_page
from worldloom.report.clip_pictures import depth_of
from worldloom.report.clip_plan import plan_of


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    folder = tmp_path_factory.mktemp("pages")
    hostile = {"facts": {HOSTILE: HOSTILE, "dataset": HOSTILE}}
    return {
        "hostile": write(folder / "a", hostile_clip(), true_clip(), **hostile),
        "truth": write(folder / "b", estimated_clip(), true_clip(), video_href="../v/a%20b.mp4", previous="p.html"),
        "bare": write(folder / "c", bare_clip()),
    }


@pytest.mark.parametrize("name", ["hostile", "truth", "bare"])
def test_nothing_is_loaded_from_elsewhere(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    loaded = [values[word] for _, values in page.tags for word in LOADING if word in values]
    own = re.compile(r"^(data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+|#t=\d+\.\d{3}|(\.\./)?[\w%/.-]+)$")
    assert loaded
    assert all(own.match(place) for place in loaded)
    assert not {"iframe", "object", "embed", "form", "base", "style"} & {tag for tag, _ in page.tags}


@pytest.mark.parametrize("name", ["hostile", "truth", "bare"])
def test_the_policy_allows_the_pages_own_files_alone(pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    assert page.policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
        "media-src": "'self'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert not any(word == "style" or word.startswith("on") for _, values in page.tags for word in values)
    scripts = page.of("script")
    assert [script.get("src", "") for script in scripts] == ["../assets/clip_drawing.js", "../assets/clip.js", ""]
    assert scripts[-1]["type"] == "application/json"


def test_hostile_words_are_shown_as_words(pages: dict[str, Page]) -> None:
    page = pages["hostile"]
    assert page.text.count(HOSTILE) >= 12
    assert "<script>alert" not in page.html
    assert "onerror" not in {word for _, values in page.tags for word in values}
    assert page.data["subjects"][0]["label"] == HOSTILE
    assert page.data["events"][-1]["exit_cause"] == HOSTILE


def test_attributes_keep_their_digits(tmp_path: Path) -> None:
    clip = bare_clip()
    clip.attributes = {"claimed_fps": 29.97003, "indoors": False, "scene": "kitchen"}
    said = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", write(tmp_path, clip).html)
    assert {("claimed_fps", "29.97"), ("indoors", "no"), ("scene", "kitchen")} <= set(said)


def test_a_command_to_type_is_quoted(pages: dict[str, Page]) -> None:
    commands = re.findall(r"<dd><code>(.*?)</code></dd>", pages["hostile"].html, re.S)
    assert [shlex.split(html.unescape(command))[2] for command in commands if "annotate" not in command] == [
        HOSTILE
    ] * 2


def test_the_script_and_the_style_reach_for_nothing() -> None:
    style = (ASSETS / "clip.css").read_text(encoding="utf-8")
    script = "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("clip_drawing.js", "clip.js"))
    assert not re.search(r"url\(|@import|https?:|expression\(", style)
    assert re.findall(r"https?://\S+?(?=\")", script) == ["http://www.w3.org/2000/svg"]  # a name, never fetched
    reaches = r"fetch|XMLHttp|WebSocket|import\(|localStorage|cookie"
    writes = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\("
    assert not re.search(f"{reaches}|{writes}", script)


@pytest.mark.parametrize(
    "address", ["https://x.org/a.mp4", "//x.org/a.mp4", "javascript:alert(1)", "data:video/mp4;base64,AA", "\\\\x\\a",
                "file:///etc/passwd", " https://x.org"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["video_href", "assets", "home", "previous", "following"])
def test_an_address_of_elsewhere_is_refused(tmp_path: Path, address: str, where: str) -> None:
    with pytest.raises(ValueError, match="not relative"):
        write_clip_page(bare_clip(), tmp_path / "page.html", **{"video_href": "", where: address})
    assert not (tmp_path / "page.html").exists()


def test_the_block_holds_the_clip(pages: dict[str, Page]) -> None:
    data, clip = pages["truth"].data, estimated_clip()
    assert (data["frames"], data["fps"], data["width"], data["height"]) == (FRAMES, 16.0, 240, 136)
    assert data["video"] == {"href": "../v/a%20b.mp4", "map": 0}
    assert data["actions"]["move"] == clip.actions.move.tolist()
    assert data["actions"]["view"] == clip.actions.view.tolist()
    assert data["truth"]["move"] == true_clip().actions.move.tolist()
    assert [i for i, place in enumerate(data["camera"]["position"]) if place[0] is None] == [40, 41, 42]
    told = [(e["subject"], e["kind"], e["first_hidden"], e["first_visible"], e["exit_side"]) for e in data["events"]]
    assert told == [(e.subject, e.kind, e.first_hidden, e.first_visible, e.exit_side) for e in clip.events]
    assert data["revisits"]["pairs"] == [[8, 72], [10, 64]]
    assert data["source_s"] == pytest.approx(clip.pts_s.tolist(), abs=5e-5)
    for s, subject in enumerate(data["subjects"]):
        for i in range(FRAMES):
            at = i - subject["first"]
            box = subject["boxes"][at] if 0 <= at < len(subject["boxes"]) else None
            assert (box is None) == (not np.isfinite(clip.subjects.box[s, i]).all())
            assert box is None or box == pytest.approx(clip.subjects.box[s, i].tolist(), abs=0.051)


def test_the_lanes_say_the_class_of_every_frame(pages: dict[str, Page]) -> None:
    lane = r'<div class="row (lane[a-z ]*)">.*?<svg[^>]*>(.*?)</svg></div>'
    rows = re.findall(lane, pages["truth"].html, re.S)
    clip, truth = estimated_clip(), true_clip()
    wanted = [clip.actions.move, truth.actions.move, clip.actions.view, truth.actions.view]
    assert [kind for kind, _ in rows] == ["lane", "lane true", "lane", "lane true"]
    for (_, drawn), labels in zip(rows, wanted, strict=True):
        found = np.full(FRAMES, -1)
        for label, x, width in re.findall(r'<rect class="a(\d)" x="([\d.]+)%" y="0" width="([\d.]+)%"', drawn):
            first = round(float(x) * FRAMES / 100)
            found[first : first + round(float(width) * FRAMES / 100)] = int(label)
        np.testing.assert_array_equal(found, labels)


def test_the_table_of_events_jumps_to_their_frames(pages: dict[str, Page]) -> None:
    jumps = re.findall(r'<a href="#t=([\d.]+)">(\d+)</a>', pages["truth"].html)
    frames = sorted(int(number) for _, number in jumps)
    events = estimated_clip().events
    ends = [end for event in events for end in (event.first_hidden, event.first_visible) if end is not None]
    assert frames == sorted(ends)
    # The script takes floor(t * fps + 0.05): the address of a frame must lead to it.
    assert all(int(float(at) * 16 + 0.05) == int(number) for at, number in jumps)


def test_the_path_from_above_is_the_cameras(pages: dict[str, Page]) -> None:
    """The yard's z is up and its first heading is +y: the page's right is x, its up is y, one scale for both."""
    plan = plan_of(true_clip().camera)
    places = true_poses()[:, :3, 3]
    per_unit = plan.panels[0].bar / float(plan.panels[0].bar_says.split()[0])
    assert plan.panels[0].bar_says.endswith(" m")
    moved = (places[:, :2] - places[0, :2]) * [per_unit, -per_unit]
    np.testing.assert_allclose(plan.place - plan.place[0], moved, atol=1e-6)
    np.testing.assert_allclose(plan.heading, true_poses()[:, :2, 2] * [1, -1], atol=1e-9)
    assert (plan.place >= 0).all()
    assert (plan.place <= [plan.width, plan.height]).all()
    told = np.array(write_and_read(true_clip())["plan"]["place"], float)
    np.testing.assert_allclose(told, plan.place, atol=0.051)


def test_a_stretch_without_poses_is_dotted_and_named(pages: dict[str, Page]) -> None:
    assert pages["truth"].html.count('class="gap"') == 1
    assert "no pose at 3 frames: 40–42" in pages["truth"].text
    assert pages["truth"].data["plan"]["place"][40:43] == [[None, None]] * 3


def test_depth_beside_the_truth_is_scaled_and_its_error_said(pages: dict[str, Page]) -> None:
    view = depth_of(estimated_clip().depth, true_clip().depth)
    assert view.scaled == pytest.approx(1 / 0.37, rel=0.01)
    assert [one.frame for one in view.maps] == list(range(0, FRAMES, 8))
    assert all(0.015 < one.error < 0.035 for one in view.maps)  # 3 % noise: a mean of 2.4 %
    assert all(0.3 < one.covered < 0.8 for one in view.maps)
    assert pages["truth"].data["depth"] == list(range(0, FRAMES, 8))
    shown = [item for item in pages["truth"].of("li") if "data-frame" in item]
    assert len(shown) == len(view.maps)


def test_without_a_video_a_film_strip_stands_in(pages: dict[str, Page]) -> None:
    page = pages["bare"]
    assert not page.of("video")
    still = next(image for image in page.of("img") if image.get("id") == "still")
    assert base64.b64decode(still["src"].split(",")[1]).startswith(b"\xff\xd8")
    assert len(page.data["film"]) == len([i for i in page.of("img") if i["alt"].startswith("frame ")]) >= 8
    assert pages["truth"].of("video")[0]["src"] == "../v/a%20b.mp4"


def test_a_video_that_cannot_be_read_leaves_a_word(tmp_path: Path) -> None:
    clip = estimated_clip()

    def torn() -> Any:
        raise BadInput("truncated", "the file is torn")

    clip.open_frames = torn  # type: ignore[method-assign]
    page = write(tmp_path, clip)
    assert "no pictures: the file is torn" in page.text
    assert page.data["film"] == []


def test_absent_parts_say_why(pages: dict[str, Page]) -> None:
    text = pages["bare"].text
    assert "pose absent: no parallax: too few points to say how the camera moved" in text
    assert "depth absent: no parallax" in text
    assert "actions absent: needs camera, which is absent" in text


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path, pages: dict[str, Page]) -> None:
    again = write(tmp_path, estimated_clip(), true_clip(), video_href="../v/a%20b.mp4", previous="p.html")
    assert again.html == pages["truth"].html


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = as_json({"a": "</script><!--", "b": [1.5, None], "c": "\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--", "b": [1.5, None], "c": "\u2028&"}
    assert plain(np.array([[1.0, np.nan], [-0.0, 2.344]]), 2) == [[1, None], [0, 2.34]]
    with pytest.raises(ValueError):
        as_json({"a": float("nan")})


def test_writing_a_page_imports_no_plotting_library(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport worldloom.report.clip_page as page\n"
        "heavy = {'matplotlib', 'jinja2', 'PIL', 'cv2', 'av', 'ray', 'torch', 'pycolmap', 'rerun'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from tests.report.fake_clips import estimated_clip, true_clip\n"
        f"target = Path({str(tmp_path / 'x.html')!r})\n"
        "page.write_clip_page(estimated_clip(), target, video_href='', truth=true_clip())\n"
        "heavy = {'matplotlib', 'cv2', 'ray', 'torch', 'pycolmap', 'open3d', 'rerun'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_script_runs_under_the_policy_from_a_folder(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    write(tmp_path, estimated_clip(), true_clip())
    shutil.copytree(ASSETS, tmp_path / "assets")
    address = f"file://{tmp_path}/clips/page.html#t=2.000"
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom",
         "--enable-logging=stderr", f"--user-data-dir={tmp_path}/profile", address],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert 'class="scripted"' in done.stdout
    assert "frame 32 of 80 · 2.000 s" in done.stdout
    assert re.search(r'<li data-frame="32" class="current">', done.stdout)
    assert "Content Security Policy" not in done.stderr
