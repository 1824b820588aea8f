"""Two collections compared: what only one has, what became other, how labels agree; on sets made for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.report.made_sets import clip_with, dataset_of, relabelled
from worldloom.catalogs.clip import Annotation
from worldloom.pipeline.progress import Silent
from worldloom.report.collection import open_collection
from worldloom.report.site.columns import title_of_row
from worldloom.report.site.compare import agreement, overlaid
from worldloom.report.site.look import coded, decoded, shortened
from worldloom.report.site.script import read_data
from worldloom.report.site.write import write_site


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a dataset against another: one clip only here, one only there, three changed, one the same."""
    folder = tmp_path_factory.mktemp("compared")
    before = [clip_with(i, folder) for i in range(5)]
    other_video = clip_with(9, folder).video
    after = [
        before[0],
        replace(before[1], video=other_video),
        relabelled(before[2], 3),
        replace(
            before[3],
            quality={"sharpness": 0.9, "brightness": 0.5},
            annotations={**before[3].annotations, "depth": Annotation("failed", "sweep", "1", "timeout")},
        ),
        clip_with(6, folder),
    ]
    one = dataset_of(folder / "one", before)
    dataset_of(folder / "one", after, number=2)
    write_site(one, folder / "site", Silent(), against=f"{one}@1", pages=0)
    return folder / "site"


def test_clips_are_told_apart_and_what_changed_is_said(compared: Path) -> None:
    found = read_data(compared / "data" / "compare.js")
    assert [len(found[name]) for name in ("here", "there", "changed")] == [1, 1, 3]
    said = {
        tuple(sorted({kind for kind, _ in row["what"]})): [text for _, text in row["what"]] for row in found["changed"]
    }
    assert said[("bytes",)] == ["other video bytes"]
    assert said[("labels",)] == ["move: 50.0% of its frames"]
    texts = said[("figures", "status")]
    assert "depth: absent (no parallax) to failed (timeout)" in texts
    assert "quality.sharpness: 0.35 to 0.9" in texts


def test_the_page_counts_both_sides(compared: Path) -> None:
    text = (compared / "compare.html").read_text(encoding="utf-8")
    assert "manifest 1" in text
    assert "move: 86.4 % of 44 frames agree" in text, "of four clips with 11 labels, six differ"
    assert "view: 100.0 % of 44 frames agree" in text
    assert 'class="overlaid"' in text
    assert "Comparison" in (compared / "index.html").read_text(encoding="utf-8")


def test_a_dataset_against_itself_has_no_change(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "one", [clip_with(i, tmp_path) for i in range(2)])
    write_site(one, tmp_path / "site", Silent(), against=one, pages=0)
    assert read_data(tmp_path / "site" / "data" / "compare.js") == {"changed": [], "here": [], "there": []}


def test_a_manifest_is_chosen_by_its_number(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "one", [clip_with(0, tmp_path)])
    dataset_of(one, [clip_with(0, tmp_path), clip_with(1, tmp_path)], number=2)
    assert [len(open_collection(f"{one}{at}").keys) for at in ("", "@1", "@2")] == [2, 1, 2]


def test_agreement_counts_frames_of_clips_of_equal_length() -> None:
    there, here = coded(np.array([1, 1, 1, 0, 9])), coded(np.array([1, 1, 2, 0, 9]))
    one = agreement([(there, here), ("a4", "a5"), ("", "b3")])
    assert (one.frames, one.equal) == (4, 0.75), "the last label moves nowhere"
    assert one.f1(1) == pytest.approx(2 * 2 / 5)
    assert one.f1(2) == 0.0
    assert one.f1(7) is None


def test_labels_come_back_from_their_text() -> None:
    chosen = np.random.default_rng(0)
    for length in (0, 1, 2, 97, 1000):
        labels = chosen.integers(0, 10, length).astype(np.uint8).repeat(chosen.integers(1, 5))
        np.testing.assert_array_equal(decoded(coded(labels)), labels)
    for text in ("x", "a-3", "a3 b2", "a" + "9" * 9, "<b>"):
        assert len(decoded(text)) == 0


def test_a_shortened_strip_keeps_shares_and_order() -> None:
    text = coded(np.array([1] * 500 + [2] * 300 + [3] * 200))
    short = decoded(shortened(text, 96))
    assert len(short) == 96
    assert (np.diff(short.astype(int)) >= 0).all()
    np.testing.assert_allclose(np.bincount(short, minlength=4)[1:] / 96, [0.5, 0.3, 0.2], atol=0.02)
    assert shortened("b20", 96) == "b20"


def test_overlaid_histograms_hold_all_clips_of_each_side() -> None:
    drawn = overlaid([0.0, 1.0, None, 10.0], [5.0])
    assert drawn is not None and (drawn["least"], drawn["most"]) == (0.0, 10.0)
    assert len(drawn["bars"]) == 3 and drawn["line"].count("V4.0") == 1
    assert overlaid([1.0], [1.0]) is None
    assert overlaid([], [None]) is None


def test_a_clip_is_called_by_its_address() -> None:
    def title(uri: str) -> str:
        return title_of_row({"key": "k", "source": {"uri": uri, "kind": "folder"}})

    said = {"a/walk.v2.mp4": "walk.v2", "lids/0.mp4": "lids/0", "0.mp4": "folder 0", "": "k", "s3://7.mp4": "folder 7",
            "https://x.org/watch?v=a": "x.org/watch?v=a", "Court/TakeA/Shot01": "TakeA/Shot01", "garden": "garden",
            "episode-000003/observation.images.head": "episode-000003/observation.images.head"}  # fmt: skip
    assert {uri: title(uri) for uri in said} == said
