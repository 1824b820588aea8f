import numpy as np
import pytest

from worldloom.report.keypad import PRESSED, with_keypad


def lit(move, view, size=(272, 480)):
    grey = np.full((*size, 3), 120, np.uint8)
    drawn = with_keypad(grey, move, view)
    assert drawn.shape == grey.shape and (grey == 120).all()
    return np.abs(drawn.astype(int) - np.array(PRESSED[:3])).sum(-1) < 60


@pytest.mark.parametrize(("move", "view"), [(1, 0), (0, 3), (5, 0), (0, 8)])
def test_held_keys_light_up_on_their_side(move, view):
    picture = lit(move, view)
    left, right = picture[:, :240].sum(), picture[:, 240:].sum()
    assert (left > 50) == (move != 0) and (right > 50) == (view != 0)


def test_two_keys_light_twice_the_area_of_one():
    assert lit(5, 0).sum() == pytest.approx(2 * lit(1, 0).sum(), rel=0.1)


def test_uncertain_and_no_op_light_nothing_and_differ():
    grey = np.full((64, 112, 3), 120, np.uint8)
    assert not lit(9, 9).any() and not lit(0, 0).any()
    assert (with_keypad(grey, 9, 9) != with_keypad(grey, 0, 0)).any()


def test_left_and_right_keys_stand_where_they_point():
    columns = [np.flatnonzero(lit(move, 0).any(axis=0)).mean() for move in (3, 2, 4)]
    assert columns == sorted(columns)
