from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

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
    same_value,
)
from worldloom.pipeline.answers import MEMBERS_GIVEN, attach, encode_annotation, encode_value, facts_of
from worldloom.pipeline.parcel import pack_parcel, unpack_parcel

T = 5
VALUES: dict[str, Any] = {
    "camera": Camera.known(np.tile(np.eye(4), (T, 1, 1)), (50, 50, 32, 24)),
    "actions": Actions(
        np.array([1, 1, 0, 9, 9], np.uint8),
        np.zeros(T, np.uint8),
        np.zeros((T, 2), np.float32),
        np.zeros((T, 4)),
    ),
    "subjects": Subjects(
        np.array([3], np.int32), ["person"], np.zeros((1, T, 4), np.float32), np.ones((1, T), np.float32), ["motion"]
    ),
    "depth": Depth(
        np.array([0, 4], np.int32),
        np.full((2, 3, 4), 1.0, np.float32),
        np.ones((2, 3, 4), bool),
        np.ones(2, np.float32),
        "metric",
        0.01,
    ),
    "hands": Hands(["wrist"], np.zeros((T, 1, 3), np.float32), np.ones((T, 1), np.float32)),
    "events": [Event(3, 1, 4, "left_view", "left_view", "left", "left")],
    "revisits": Revisits(np.array([[0, 4]], np.int32), np.array([0.75], np.float32), 0.4),
    "quality": {"sharpness": 0.5, "cuts": 0.0},
    "captions": [Caption("a room", "somebody")],
}


def empty_clip() -> Clip:
    return Clip("k" * 26, Fraction(10), T, 48, 64, np.arange(T) / 10, Provenance("folder", "a.mp4", "0" * 64))


def test_every_member_has_a_value_here() -> None:
    assert set(VALUES) == set(MEMBERS_GIVEN)


@pytest.mark.parametrize("gives", MEMBERS_GIVEN)
def test_an_answer_comes_back_as_it_was(gives: str) -> None:
    line = Annotation("ok", "sfm", "3", "", 0.9, {"points": 12})
    parcel = pack_parcel({"annotation.json": encode_annotation(line), **encode_value(gives, VALUES[gives])})
    clip = empty_clip()
    attach(clip, "name", gives, unpack_parcel(parcel))
    assert same_value(getattr(clip, gives), VALUES[gives])
    assert clip.annotations == {"name": line}


def test_equal_answers_are_equal_bytes() -> None:
    left = pack_parcel({"b": b"2", "a": encode_value("camera", VALUES["camera"])["value.npz"]})
    right = pack_parcel({"a": encode_value("camera", VALUES["camera"])["value.npz"], "b": b"2"})
    assert left == right


def test_an_absent_answer_leaves_its_reason_only() -> None:
    line = Annotation("absent", "sfm", "3", "no_parallax", 0.0)
    clip = empty_clip()
    attach(clip, "pose", "camera", {"annotation.json": encode_annotation(line)})
    assert clip.camera is None
    assert clip.annotations["pose"].reason == "no_parallax"


def test_figures_of_two_annotators_stand_side_by_side() -> None:
    clip = empty_clip()
    line = {"annotation.json": encode_annotation(Annotation("ok", "m", "1"))}
    attach(clip, "one", "quality", {**line, **encode_value("quality", {"sharpness": 1.0, "cuts": 2.0})})
    attach(clip, "two", "quality", {**line, **encode_value("quality", {"cuts": 3.0})})
    assert clip.quality == {"sharpness": 1.0, "cuts": 3.0}


def test_figures_carry_the_names_of_the_catalog() -> None:
    line = {"annotation.json": encode_annotation(Annotation("ok", "m", "1", "", 0.7))}
    facts = facts_of("events", "events", {**line, **encode_value("events", VALUES["events"])})
    assert facts["events"]["pairs"] == 1 and facts["events"]["confidence"] == 0.7
    facts = facts_of("sharp", "quality", {**line, **encode_value("quality", VALUES["quality"])})
    assert facts["quality"] == {"sharpness": 0.5, "cuts": 0.0} and facts["sharp"]["status"] == "ok"
