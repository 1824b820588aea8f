"""The tiny place, and plans in it."""

from __future__ import annotations

import cv2
import pytest

from tests.synth import tiny_place
from worldloom.synth.plan import Segment, SubjectPlan, WorldPlan
from worldloom.synth.world import PLACES

cv2.setNumThreads(1)


@pytest.fixture(autouse=True)
def the_court(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny place is known while a test of this folder runs, and only then."""
    monkeypatch.setitem(PLACES, tiny_place.NAME, tiny_place.ENTRY)


@pytest.fixture
def still_plan() -> WorldPlan:
    """A camera that stands at the south wall and looks north; nobody is there."""
    return WorldPlan(
        name="still",
        place=tiny_place.NAME,
        position=(0.0, -4.0, 1.5),
        heading_deg=90.0,
        frames=9,
        width=240,
        height=136,
    )


@pytest.fixture
def walking_plan(still_plan: WorldPlan) -> WorldPlan:
    """A camera that walks and turns, two people on round ways."""
    return still_plan.model_copy(
        update={
            "name": "walking",
            "frames": 33,
            "position": (-2.0, -3.5, 1.5),
            "camera": (
                Segment(move=1, view=4, frames=16, speed_m_s=0.8, turn_deg_s=20),
                Segment(move=4, view=3, frames=16, speed_m_s=0.6, turn_deg_s=25),
            ),
            "subjects": (
                SubjectPlan(path=((-2, 0), (2, -0.5), (2.5, 3), (-2.5, 3)), speed_m_s=1.2, look=3),
                SubjectPlan(path=((3, -3), (4, -1), (3, 1)), speed_m_s=0.9, look=4, height_m=1.6),
            ),
        }
    )
