"""The page of a clip: hostile words stay words, nothing comes from elsewhere, what it says is what the clip holds."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.fake_clips import FRAMES, K, bare_clip, estimated_clip, true_clip, true_poses
from worldloom.catalogs.cameras import project
from worldloom.catalogs.clip import (
    Actions,
    Annotation,
    Camera,
    Caption,
    Clip,
    Depth,
    Event,
    Hands,
    Provenance,
    Revisits,
    Subjects,
)
from worldloom.catalogs.errors import BadInput
from worldloom.report.clip_data import as_json, bones_of, frame_map, plain
from worldloom.report.clip_page import ASSETS, title_of, write_clip_page
from worldloom.report.clip_pictures import depth_of, depth_png
from worldloom.report.clip_plan import colour_at, plan_of
from worldloom.report.clip_timeline import area, axis_of, curve, timeline_of

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


def write_and_read(clip: Clip, truth: Clip | None = None) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder), clip, truth).data


def test_the_estimate_lies_on_the_truth() -> None:
    plan = plan_of(estimated_clip().camera, true_clip().camera)
    both = np.isfinite(plan.place).all(axis=1)
    assert (~both).nonzero()[0].tolist() == [40, 41, 42]
    per_metre = plan.panels[0].bar / float(plan.panels[0].bar_says.split()[0])
    off = np.linalg.norm(plan.place[both] - plan.true_place[both], axis=1) / per_metre
    assert off.max() < 0.1
    assert any(line.startswith("off by") for line in plan.says)


def test_scale_groups_stand_apart_unless_the_truth_joins_them() -> None:
    clip = estimated_clip(groups=2)
    alone = plan_of(clip.camera)
    assert [panel.title for panel in alone.panels] == ["group 0", "group 1"]
    first, second = alone.place[:40], alone.place[43:]
    assert first[:, 0].max() < alone.panels[1].x <= second[:, 0].min()
    assert len(plan_of(clip.camera, true_clip().camera).panels) == 1


def test_a_stretch_without_poses_is_dotted_and_named(pages: dict[str, Page]) -> None:
    assert pages["truth"].html.count('class="gap"') == 1
    assert "no pose at 3 frames: 40–42" in pages["truth"].text
    assert pages["truth"].data["plan"]["place"][40:43] == [[None, None]] * 3


def test_a_camera_that_stands_shows_where_it_looks() -> None:
    poses = true_poses()
    poses[:, :3, 3] = [4.0, 5.0, 6.0]
    plan = plan_of(Camera.known(poses, K, "none", np.array([0.0, 0, 1])))
    assert np.ptp(plan.place, axis=0).max() == 0
    assert not plan.panels[0].stretches
    assert len(plan.panels[0].ticks) >= 8
    assert plan.panels[0].bar == 0


def test_hands_are_where_the_camera_sees_them() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform([-0.2, -0.2, 0.3], [0.2, 0.2, 0.8], (FRAMES, 3, 3)).astype(np.float32)
    joints[5, 1] = np.nan
    joints[6, 2, 2] = -0.1  # behind the camera
    names = ["leftHand", "leftThumbKnuckle", "leftThumbTip"]
    clip = true_clip()
    clip.hands = Hands(names, joints, np.ones((FRAMES, 3), np.float32))
    told = write_and_read(clip)["hands"]
    assert told["bones"] == [[0, 1], [1, 2]]
    wanted, _ = project(joints[9], np.eye(4), np.array(K))
    assert told["pixels"][9] == pytest.approx(wanted.reshape(-1).tolist(), abs=0.051)
    assert told["pixels"][5][2:4] == [None, None]
    assert told["pixels"][6][4:6] == [None, None]


def test_bones_follow_the_fingers() -> None:
    names = ["rightIndexFingerTip", "rightHand", "rightIndexFingerKnuckle", "wrist", "rightForearm"]
    assert bones_of(names) == [(1, 2), (2, 0), (1, 4)]
    assert bones_of(["a", "b"]) == []


def test_a_derived_clip_says_which_frames_of_its_video_it_is() -> None:
    clip = bare_clip()
    assert frame_map(clip) == 0
    assert frame_map(replace(clip, frame_index=np.arange(7, 7 + FRAMES, dtype=np.int32))) == 7
    back = np.arange(FRAMES, dtype=np.int32)[::-1]
    assert frame_map(replace(clip, frame_index=back)) == back.tolist()


def test_depth_is_drawn_near_bright_and_nothing_transparent() -> None:
    from PIL import Image

    z = np.array([[1.0, 2.0, 3.0, np.nan, 9.0]], np.float32)
    picture = Image.open(io.BytesIO(depth_png(z, 1.0, 3.0)))
    assert np.asarray(picture).tolist() == [[0, 127, 254, 255, 254]]
    colours = np.asarray(picture.convert("RGBA"))[0]
    assert colours[0].tolist() == [253, 231, 37, 255]
    assert colours[2].tolist() == [68, 1, 84, 255]
    assert colours[3, 3] == 0


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


def plain_clip(frames: int = 10, **more: Any) -> Clip:
    source = Provenance("folder", "a.mp4", "ab" * 32)
    return Clip("k" * 26, Fraction(30), frames, 36, 64, np.arange(frames) / 30, source, **more)


def camera_of(frames: int, **more: Any) -> Camera:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = np.arange(frames) * 0.03
    return replace(Camera.known(poses, np.array([60.0, 60, 32, 18])), **more)


def crowd(frames: int, people: int) -> Subjects:
    box = np.full((people, frames, 4), np.nan, np.float32)
    for s in range(people):
        box[s, s % frames :] = [s, 4, s + 9, 30]
    seen = np.isfinite(box[..., 0]).astype(np.float32)
    return Subjects(np.arange(people, dtype=np.int32), ["person"] * people, box, seen, ["motion"] * people)


def nothing_known(frames: int) -> Actions:
    unsure = np.full(frames, 9, np.uint8)
    return Actions(unsure, unsure, np.full((frames, 2), np.nan, np.float32), np.full((frames, 4), np.nan))


def lost_camera(frames: int) -> Camera:
    poses = np.full((frames, 4, 4), np.nan)
    camera = camera_of(frames)
    return replace(camera, c2w=poses, valid=np.zeros(frames, bool), confidence=np.zeros(frames, np.float32))


def odd_clips() -> dict[str, Clip]:
    pairs = np.stack([np.arange(0, 500), np.arange(900, 1400)], 1).astype(np.int32)
    contradictory = replace(camera_of(10), valid=np.ones(10, bool))
    contradictory.c2w[3:5] = np.nan  # says it is valid, is not
    no_lens = camera_of(10)
    no_lens.intrinsics[:] = [0.0, np.nan, np.inf, 1.0]
    return {
        "nothing": plain_clip(),
        "one frame": plain_clip(1, camera=camera_of(1), actions=nothing_known(1), subjects=crowd(1, 1)),
        "no pose at all": plain_clip(camera=lost_camera(10), actions=nothing_known(10)),
        "valid without numbers": plain_clip(camera=contradictory),
        "no focal length": plain_clip(
            camera=no_lens, hands=Hands(["a"], np.ones((10, 1, 3), np.float32), np.ones((10, 1), np.float32))
        ),
        "nobody": plain_clip(subjects=crowd(10, 0)),
        "never seen": plain_clip(subjects=replace(crowd(10, 1), box=np.full((1, 10, 4), np.nan, np.float32))),
        "no joints": plain_clip(hands=Hands([], np.zeros((10, 0, 3), np.float32), np.zeros((10, 0), np.float32))),
        "thirty people": plain_clip(40, subjects=crowd(40, 30), events=[Event(s, None, s) for s in range(1, 30)]),
        "a crowd": plain_clip(40, subjects=crowd(40, 90)),
        "an event of nobody": plain_clip(events=[Event(5, None, None), Event(5, 3, 400, "left_view", "left_view")]),
        "no depth rows": plain_clip(
            depth=Depth(np.zeros(0, np.int32), np.zeros((0, 4, 6), np.float32), np.zeros((0, 4, 6), bool),
                        np.zeros(0, np.float32), "metric", 0.0)
        ),
        "no valid depth": plain_clip(
            depth=Depth(np.array([3], np.int32), np.zeros((1, 4, 6), np.float32), np.zeros((1, 4, 6), bool),
                        np.ones(1, np.float32), "relative", 0.1)
        ),
        "a minute": plain_clip(
            1800, camera=camera_of(1800), actions=nothing_known(1800), subjects=crowd(1800, 30),
            revisits=Revisits(pairs, np.linspace(0.5, 1, 500).astype(np.float32), 0.5),
        ),
        "odd notes": plain_clip(annotations={
            "quality": Annotation("ok", "m", "1", notes={
                "list": [None] * 10, "mixed": ["a"] * 10, "flags": [True] * 10, "nan": [float("nan")] * 10,
                "deep": {"x": [1, 2]}, "flat": [3.0] * 10,
            }),
            "shots": Annotation("ok", "m", "1", notes={"cuts": "none"}),
        }),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(odd_clips()))
def test_odd_clips_have_a_page(tmp_path: Path, name: str) -> None:
    page = write(tmp_path, odd_clips()[name])
    assert page.data["frames"] == odd_clips()[name].frames
    assert "nan%" not in page.html
    assert not re.search(r'(?:d|x|y|width|points)="[^"]*\b(?:nan|inf)', page.html)


def test_a_minute_is_thinned_out_and_says_so(tmp_path: Path) -> None:
    page = write(tmp_path, odd_clips()["a minute"])
    assert page.html.count('class="arc many"') == 160
    assert "500 pairs of frames that see the same again, the 160 of largest overlap drawn" in page.html
    assert len(page.html) < 1_500_000


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path, pages: dict[str, Page]) -> None:
    again = write(tmp_path, estimated_clip(), true_clip(), video_href="../v/a%20b.mp4", previous="p.html")
    assert again.html == pages["truth"].html


def test_a_curve_breaks_where_nothing_is_known() -> None:
    assert curve(np.array([0.0, 1.0, np.nan, 0.5, 9.0]), 0, 1) == "M0.5 96.0L1.5 4.0M3.5 50.0L4.5 4.0"
    assert curve(np.array([np.nan, 1.0, np.nan]), 0, 1) == "M1 4.0h1"
    assert area(np.array([0.0, 1.0, 1.0, 0.5, np.nan])) == "M1 96V4H3V96ZM3 96V50H4V96Z"


def test_the_axis_has_a_handful_of_round_times() -> None:
    for frames in (1, 30, 77, 900, 1800, 200_000):
        marks = axis_of(frames, 30)
        assert 1 <= len(marks) <= 60
        assert all(0 <= mark.x < 100 for mark in marks)
    assert [mark.sign for mark in axis_of(60, 30)][:3] == ["0 s", "0.2 s", "0.4 s"]


def test_colours_run_from_cold_to_warm() -> None:
    assert (colour_at(0), colour_at(1)) == ("#3b6ea5", "#d85a30")
    assert colour_at(-1) == colour_at(0)
    assert colour_at(2) == colour_at(1)


def test_words_that_are_for_programs_are_shown_in_part(tmp_path: Path) -> None:
    clip = plain_clip()
    note = Annotation("ok", "dct", "1", "", 1.0, {"inner": "eN" * 300, "rate": 4.0, "why": "a sentence " * 9})
    page = tmp_path / "clip.html"
    write_clip_page(replace(clip, annotations={**clip.annotations, "fingerprint": note}), page, video_href="")
    text = page.read_text()
    assert "eN" * 12 + " … 576 more characters" in text and "eN" * 13 not in text
    assert ("a sentence " * 9).strip() in text and "4.0" in text


def test_a_name_that_is_a_number_takes_its_folder_along() -> None:
    clip = plain_clip()
    for uri, title in (
        ("lids/0.mp4", "lids/0"),
        ("0.mp4", "folder 0"),
        ("x/walk.mp4", "walk"),
        ("s3://7.mp4", "folder 7"),
        ("Court/TakeA/Shot01", "TakeA/Shot01"),
    ):
        assert title_of(replace(clip, provenance=replace(clip.provenance, uri=uri))) == title


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = as_json({"a": "</script><!--", "b": [1.5, None], "c": "\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--", "b": [1.5, None], "c": "\u2028&"}
    assert plain(np.array([[1.0, np.nan], [-0.0, 2.344]]), 2) == [[1, None], [0, 2.34]]
    with pytest.raises(ValueError):
        as_json({"a": float("nan")})


def test_truth_and_estimate_of_subjects_have_rows_of_their_own() -> None:
    labels = [row.label for row in timeline_of(estimated_clip(), true_clip())]
    assert [label for label in labels if "person" in label] == ["person 4", "true person 1"]


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
