"""Boxes and visibility from masks, held to what they are by construction."""

import numpy as np

from worldloom.catalogs.events import hidden_intervals
from worldloom.catalogs.subject_masks import SubjectMasks, mask_visibility

H, W, T = 60, 100, 60


def walker(t):
    """A block of 10 x 20 that walks to the right through a pillar and out of the picture."""
    mask = np.zeros((H, W), bool)
    left = 3 * t - 20
    mask[20:40, max(left, 0) : max(left + 10, 0)] = True
    mask[:, 40:55] = False
    return mask


def collected():
    masks = SubjectMasks(W, H)
    for t in range(T):
        masks.add({"walker": walker(t)})
    return masks.subjects(10.0, "test", {"walker": "person"})


def test_boxes_are_the_extent_of_the_mask():
    subjects = collected()
    assert subjects.label == ["person"] and subjects.id.tolist() == [1]
    assert subjects.box[0, 10].tolist() == [10, 20, 20, 40]
    assert np.isnan(subjects.box[0, 0]).all()
    assert subjects.visibility.dtype == np.float32


def test_hidden_stretches_are_where_the_mask_is_empty():
    subjects = collected()
    empty = np.array([not walker(t).any() for t in range(T)])
    np.testing.assert_array_equal(subjects.visibility[0] == 0, empty)
    intervals = hidden_intervals(subjects.visibility[0])
    behind = [(f, e) for f, e in intervals if f is not None and e is not None]
    assert len(behind) <= 1  # 15 px of pillar hide a block of 10 px for one or two steps of 3 px
    assert any(e is None for _, e in intervals)  # it left for good


def test_a_mask_of_another_size_is_scaled_to_the_picture():
    masks = SubjectMasks(2 * W, 2 * H)
    masks.add({"walker": walker(10)})
    assert masks.subjects(10.0, "test").box[0, 0].tolist() == [20, 40, 40, 80]


def test_visibility_is_the_same_backwards_and_falls_with_what_hides():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 400, 80).astype(float)
    boxes = np.where(pixels[:, None] > 0, np.float32([30, 20, 50, 40]), np.nan)
    there, back = (mask_visibility(boxes[::s], pixels[::s], W, H, 10.0) for s in (1, -1))
    np.testing.assert_array_equal(there, back[::-1])
    half = np.full(80, 200.0)
    half[40:50] = 100
    assert mask_visibility(boxes[:1].repeat(80, 0), half, W, H, 10.0)[45] == 0.5


def test_what_walks_away_stays_visible_where_its_distance_is_known():
    """A block that halves in size as its distance doubles, and loses half of itself at the end."""
    masks, plain = SubjectMasks(W, H), SubjectMasks(W, H)
    for t in range(T):
        distance = 2.0 * 2 ** (t / T)
        side = round(40 / distance)
        mask = np.zeros((H, W), bool)
        mask[20 : 20 + side, 30 : 30 + side // (2 if t >= 55 else 1)] = True
        masks.add({"block": mask}, np.full((H // 2, W // 2), distance))
        plain.add({"block": mask})
    near = masks.subjects(10.0, "test").visibility[0]
    assert near[:55].min() > 0.8 and np.abs(near[55:] - 0.5).max() < 0.1
    assert np.abs(plain.subjects(10.0, "test").visibility[0, :50] - 1).max() < 0.5


def test_specks_are_no_subject_and_a_name_without_a_mask_is_one():
    masks = SubjectMasks(W, H, least_px=5)
    speck = np.zeros((H, W), bool)
    speck[3, 3:6] = True
    masks.add({"walker": speck})
    masks.name("unseen")
    subjects = masks.subjects(10.0, "test")
    assert subjects.label == ["walker", "unseen"]
    assert np.isnan(subjects.box).all() and not subjects.visibility.any()
