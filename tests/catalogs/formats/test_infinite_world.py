from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.catalogs.actions import MOVES, VIEWS, reverse_actions
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.infinite_world import read_infinite_world, write_infinite_world


def test_a_real_file_is_written_back_value_for_value(tmp_path: Path) -> None:
    path = real_data("formats", "0001.json")
    actions = read_infinite_world(path)
    assert len(actions) == 1396 and actions.move[0] == MOVES.index("go forward") and set(actions.view) <= set(range(10))
    write_infinite_world(tmp_path / "a.json", actions)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(path.read_text())


def test_every_name_has_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"move": m, "view": v} for m, v in zip(MOVES, VIEWS, strict=True)]))
    actions = read_infinite_world(tmp_path / "a.json")
    np.testing.assert_array_equal(actions.move, np.arange(10))
    np.testing.assert_array_equal(actions.view, np.arange(10))
    assert reverse_actions(actions).move[-1] == 9


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"move": "go foward", "view": "no-op"}], "entry 0 has move 'go foward'; did you mean 'go forward'"),
        ([{"move": "no-op", "view": "no-op"}, {"move": "no-op"}], "entry 1 has view None"),
        ([3], "entry 0 has move None"),
        ([], "a list of"),
        ({}, "a list of"),
    ],
)
def test_faults_name_the_entry(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(BadInput, match=message) as caught:
        read_infinite_world(tmp_path / "a.json")
    assert caught.value.reason == "bad_actions"
