import itertools

import numpy as np
import pytest

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.keyboard import keys_of, parse_keys


def test_words_become_the_actions_they_name():
    labels = parse_keys("w w a a", hold=1)
    assert [MOVES[move] for move, _ in labels] == ["go forward", "go forward", "go left", "go left"]
    assert (labels[:, 1] == 0).all()


def test_letters_of_one_word_are_held_together():
    move, view = parse_keys("wdil", hold=1)[0]
    assert (MOVES[move], VIEWS[view]) == ("go forward and go right", "turn up and turn right")


def test_a_word_is_held_for_so_many_frames():
    labels = parse_keys("w*2 . ?", hold=3)
    assert labels.shape == (12, 2) and labels.dtype == np.uint8
    assert labels[:, 0].tolist() == [1] * 6 + [0] * 3 + [9] * 3


@pytest.mark.parametrize(("move", "view"), list(itertools.product(range(9), range(9))))
def test_every_action_has_a_word_that_means_it(move, view):
    assert parse_keys(keys_of(move, view), hold=1).tolist() == [[move, view]]


def test_order_and_case_of_letters_do_not_matter():
    assert parse_keys("WJ jw", hold=1).tolist() == [[1, 3], [1, 3]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no key given"),
        ("w x", "word 2, 'x'"),
        ("ws", "undo each other"),
        ("w*0", "whole number"),
        ("w*", "whole number"),
        ("*3", "no key"),
        ("w?", "no key"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text, says):
    with pytest.raises(UsageError, match=None) as error:
        parse_keys(text)
    assert says in str(error.value)
