from __future__ import annotations

import cv2
import numpy as np
import pytest

from worldloom.annotators.overlays import overlaid, overlay_mask


def moving(seed: int = 0, count: int = 12, step: int = 9) -> list[np.ndarray]:
    """Pictures of a pan along a wall with coarse and fine marks."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.integers(0, 255, (rows, 4 * rows)).astype(np.float32), (800, 180)) for rows in (4, 10, 30)]
    wall = np.clip(sum(layers) / 3, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(wall[:, step * i : step * i + 320]) for i in range(count)]


def captioned(pictures: list[np.ndarray], text: str = "a caption") -> tuple[list[np.ndarray], np.ndarray]:
    """With white words that have a black edge, and where these are."""
    where = np.zeros(pictures[0].shape, np.uint8)
    out = [one.copy() for one in pictures]
    for one in (*out, where):
        cv2.putText(one, text, (60, 160), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0 if one is not where else 255, 5)
        if one is not where:
            cv2.putText(one, text, (60, 160), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2)
    return out, where > 0


def test_a_caption_over_a_moving_picture_is_found_where_it_is():
    pictures, where = captioned(moving())
    mask = overlay_mask(pictures)
    grown = cv2.dilate(where.astype(np.uint8), np.ones((13, 25), np.uint8)) > 0
    assert (mask & where).sum() > 0.8 * where.sum()
    assert (mask & ~grown).sum() < 0.05 * mask.sum()


@pytest.mark.parametrize("seed", range(6))
def test_a_moving_picture_without_a_caption_has_none(seed):
    assert overlaid(moving(seed)) < 0.002
    assert overlaid(captioned(moving(seed))[0]) > 0.02


def test_of_a_picture_that_stands_still_nothing_is_said():
    pictures, _ = captioned([moving()[0]] * 12)
    assert overlaid(pictures) == 0.0
    assert overlaid(pictures[:3]) == 0.0


def test_words_that_are_there_for_a_third_of_the_time_are_missed_as_the_docs_say():
    bare = moving()
    captions, _ = captioned(bare)
    assert overlaid(captions[:4] + bare[4:]) < 0.002
