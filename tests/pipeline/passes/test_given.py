"""What a source knows follows the frames: cut, resampled, scaled, and told apart from what is bound to a rate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs.clip import Caption, Clip, Depth, Hands, Provenance, Subjects
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory
from worldloom.catalogs.probe import VideoInfo
from worldloom.pipeline.passes.given import Given, depth_at, source_digest, subjects_at
from worldloom.pipeline.sources.footage import Known

N = 12
INFO = VideoInfo(
    Path("a.mp4"), 64, 48, Fraction(10), N, 1.2, "h264", "yuv420p", 0, False, 0, Fraction(1, 10), False, 12,
    Fraction(1), 1000, 1, 0,
)  # fmt: skip


def trajectory() -> Trajectory:
    c2w = np.tile(np.eye(4), (N, 1, 1))
    c2w[:, 0, 3] = np.arange(N)
    return Trajectory(c2w, "metric", intrinsics=np.tile([50.0, 50, 32, 24], (N, 1)), size=(64, 48))


def subjects() -> Subjects:
    box = np.full((2, N, 4), np.nan, np.float32)
    box[0, :4] = [4, 4, 8, 12]
    box[1, 6:] = [10, 10, 20, 20]
    visibility = np.isfinite(box[..., 0]).astype(np.float32)
    return Subjects(np.array([3, 7], np.int32), ["cat", "dog"], box, visibility, ["masks", "masks"])


def hands() -> Hands:
    joints = np.tile(np.arange(N, dtype=np.float32)[:, None, None], (1, 2, 3))
    return Hands(["a", "b"], joints, np.ones((N, 2), np.float32))


def depth() -> Depth:
    z = np.arange(3, dtype=np.float32)[:, None, None] + np.ones((3, 4, 6), np.float32)
    return Depth(np.array([0, 5, 11], np.int32), z, z > 0, np.ones(3, np.float32), "metric", 0.01)


def bare(frames: int, fps: int = 10, size: tuple[int, int] = (32, 24)) -> Clip:
    provenance = Provenance("folder", "a.mp4", "0" * 64)
    return Clip("k", Fraction(fps), frames, size[1], size[0], np.arange(frames) / fps, provenance)


def given(known: Known, *gives: str) -> Given:
    return Given.of("test", INFO, known, None, gives)


def test_everything_follows_the_frames_and_the_scale() -> None:
    known = Known(trajectory(), hands(), subjects(), depth(), (Caption("text", "me"),), {"Scene": "x", "n": 3})
    clip, index = bare(6), np.array([0, 2, 4, 5, 8, 11])
    assert given(known, "captions").give(clip, index) == ["captions", "depth", "hands", "pose", "subjects"]
    assert clip.camera is not None and clip.hands is not None and clip.depth is not None and clip.subjects is not None
    np.testing.assert_array_equal(clip.camera.c2w[:, 0, 3], index)
    np.testing.assert_array_equal(clip.camera.intrinsics[0], [25, 25, 16, 12])
    np.testing.assert_array_equal(clip.hands.joints[:, 0, 0], index)
    np.testing.assert_array_equal(clip.depth.frames, [0, 3, 5])
    np.testing.assert_array_equal(clip.depth.z[:, 0, 0], [1, 2, 3])
    np.testing.assert_array_equal(clip.subjects.box[0, 0], [2, 2, 4, 6])
    assert clip.attributes == {"scene": "x", "n": 3.0}
    assert {line.method for line in clip.annotations.values()} == {"source:test"}


def test_subjects_that_are_never_seen_in_a_part_are_left_out() -> None:
    part = subjects_at(subjects(), np.arange(4), 1.0, 1.0)
    assert (part.id.tolist(), part.label, part.source) == ([3], ["cat"], ["masks"])
    assert len(subjects_at(subjects(), np.arange(4, 6), 1.0, 1.0)) == 0


def test_depth_of_frames_that_are_not_shown_is_left_out() -> None:
    assert depth_at(depth(), np.array([1, 2, 3])) is None
    some = depth_at(depth(), np.array([3, 5, 5, 7]))
    assert some is not None and some.frames.tolist() == [1]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Known(trajectory()), "bad_poses"),
        (Known(hands=hands()), "bad_hands"),
        (Known(subjects=subjects()), "bad_subjects"),
        (Known(depth=depth()), "bad_depth"),
    ],
)
def test_rows_that_do_not_fit_the_frames_are_refused(known: Known, reason: str) -> None:
    given(known).check(N, "a.mp4")
    with pytest.raises(BadInput, match=r"a.mp4: .*it has 11 frames") as caught:
        given(known).check(11, "a.mp4")
    assert caught.value.reason == reason


def record() -> Clip:
    clip = example_clip()
    return replace(clip, fps=Fraction(10))


def test_labels_of_an_earlier_run_are_taken_where_frames_and_rate_are_the_same() -> None:
    earlier = record()
    info = replace(INFO, frames=earlier.frames, width=earlier.width, height=earlier.height)
    names = ("pose", "actions", "events", "revisits", "subjects", "depth", "hands", "captions")
    known = Given.of("webdataset", info, Known(record=earlier), None, names)
    whole = bare(earlier.frames, size=(earlier.width, earlier.height))
    assert {"actions", "events", "pose"} <= set(known.give(whole, np.arange(earlier.frames)))
    assert whole.actions is not None and whole.events == earlier.events
    assert whole.annotations["pose"] == earlier.annotations["pose"], "whoever wrote it then"
    half = bare(earlier.frames // 2, fps=5, size=(earlier.width, earlier.height))
    found = known.give(half, np.arange(0, earlier.frames - 1, 2)[: len(half)])
    assert "pose" in found and not {"actions", "events", "revisits"} & set(found)
    assert half.actions is None and half.events == []


def test_a_record_of_pictures_of_another_size_is_refused() -> None:
    """Its cameras and boxes are in pixels of what it says it is about."""
    earlier = record()
    info = replace(INFO, frames=earlier.frames, width=earlier.width // 2, height=earlier.height // 2)
    with pytest.raises(BadInput, match=r"a.mp4: its record is of pictures of \d+ x \d+, and they have") as caught:
        Given.of("webdataset", info, Known(record=earlier), None, ("pose",)).check(earlier.frames, "a.mp4")
    assert caught.value.reason == "bad_record"


def test_what_the_source_gave_is_part_of_what_annotations_depend_on() -> None:
    digests = set()
    for known in (Known(), Known(trajectory()), Known(hands=hands()), Known(depth=depth()), Known(subjects=subjects())):
        clip = bare(N, size=(64, 48))
        given(known).give(clip, np.arange(N))
        digests.add(source_digest(clip))
    assert len(digests) == 5
