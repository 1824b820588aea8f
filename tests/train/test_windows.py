from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.recipes import tiny_recipe
from tests.train.walks import walk, write_dataset
from worldloom.catalogs.errors import UsageError
from worldloom.train.method import needs_of
from worldloom.train.methods.registry import build_method
from worldloom.train.windows import open_pool


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [
        walk(0),
        walk(1, frames=9),
        walk(2, actions=False),
        walk(3, height=14, width=20),
        walk(4, camera=False),
        walk(5, frames=45, pairs=[(2, 30), (4, 8)]),
        walk(6, frames=45, pairs=[(1, 2)]),
    ]
    return write_dataset(tmp_path_factory.mktemp("mixed"), clips)


def test_clips_that_cannot_be_used_are_counted_by_reason(mixed: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, mixed, batch__history_frames=5)
    method = build_method(recipe)
    pool = open_pool(recipe.data, recipe.batch, needs_of(method, recipe, needs_cameras=True))
    assert dict(pool.refused) == {"too_short": 1, "no_actions": 1, "too_small": 1, "no_camera": 1}
    assert {clip.key for clip in pool.clips} == {walk(0).key, walk(5, 45).key, walk(6, 45).key}
    assert "1 clip without actions, which this model takes (no_actions)" in pool.refusals()


def test_no_usable_clip_is_an_error_with_the_counts(mixed: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, mixed, batch__target_frames=81)
    with pytest.raises(UsageError, match=r"none of 7 clips can be used: 7 clips shorter .* \(too_short\).*81 frames"):
        open_pool(recipe.data, recipe.batch, needs_of(build_method(recipe), recipe, needs_cameras=False))
    nowhere = tiny_recipe(tmp_path, mixed, data=[{"path": str(mixed), "where": "frames > 1000"}])
    with pytest.raises(UsageError, match="no clips to train on"):
        open_pool(nowhere.data, nowhere.batch, needs_of(build_method(nowhere), nowhere, needs_cameras=False))


def test_revisit_dense_wants_windows_that_see_again(mixed: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, mixed, method={"kind": "revisit_dense"}, batch__history_frames=[1, 37])
    method = build_method(recipe)
    pool = open_pool(recipe.data, recipe.batch, needs_of(method, recipe, needs_cameras=False))
    assert pool.refused["no_revisits"] == 3
    clip = next(clip for clip in pool.clips if clip.key == walk(5, 45).key)
    for history in recipe.batch.history_choices:
        slow = [
            a
            for a in range(clip.frames - history - 9 + 2)
            if any(a <= i <= a + history - 1 < j <= a + history + 9 - 2 for i, j in [(2, 30), (4, 8)])
        ]
        np.testing.assert_array_equal(method.starts(clip, history, 9), slow)
        assert (history in clip.histories) == bool(slow)


def test_flow_matching_refuses_histories_beyond_mode_1(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"at most 317 frames \(80 latents\).*revisit_dense"):
        build_method(tiny_recipe(tmp_path, tmp_path, batch__history_frames=[1, 321]))
    build_method(tiny_recipe(tmp_path, tmp_path, batch__history_frames=[1, 317]))
    build_method(tiny_recipe(tmp_path, tmp_path, batch__history_frames=1281, method={"kind": "revisit_dense"}))
