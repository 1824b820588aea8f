from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.train.recipes import tiny_recipe
from tests.train.walks import walk, write_dataset
from worldloom.train import batches
from worldloom.train.batches import BatchReader
from worldloom.train.loader import Loader
from worldloom.train.method import needs_of
from worldloom.train.methods.registry import build_method
from worldloom.train.order import Order, Position
from worldloom.train.recipe import Recipe
from worldloom.train.windows import open_pool


def order_of(recipe: Recipe) -> Order:
    method = build_method(recipe)
    return Order(
        open_pool(recipe.data, recipe.batch, needs_of(method, recipe, False)), recipe.batch, method.starts, recipe.seed
    )


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [walk(i, frames=17 + 4 * (i % 3), height=32 + 16 * (i % 2)) for i in range(7)]
    return write_dataset(tmp_path_factory.mktemp("sizes"), clips)


def test_an_epoch_is_a_function_of_seed_and_number(walks: Path, tmp_path: Path) -> None:
    one, again = order_of(tiny_recipe(tmp_path, walks)), order_of(tiny_recipe(tmp_path / "b", walks))
    third = one.epoch(3)  # asked for out of turn
    assert [one.epoch(e) for e in range(4)] == [again.epoch(e) for e in range(4)]
    assert third == again.epoch(3)
    assert one.epoch(0) != one.epoch(1)
    assert one.epoch(0) != order_of(tiny_recipe(tmp_path, walks, seed=1)).epoch(0)


def test_every_clip_is_visited_and_every_window_lies_in_its_clip(walks: Path, tmp_path: Path) -> None:
    order = order_of(tiny_recipe(tmp_path, walks))
    frames = {clip.key: clip.frames for clip in order.pool.clips}
    for epoch in range(5):
        windows = [window for plan in order.epoch(epoch) for window in plan.windows]
        assert {window.key for window in windows} == set(frames)
        assert all(window.first >= 0 and window.stop <= frames[window.key] for window in windows)
        assert {window.history_frames for window in windows} <= {1, 5, 9}


def test_every_window_of_a_clip_comes_up(walks: Path, tmp_path: Path) -> None:
    order = order_of(tiny_recipe(tmp_path, walks, batch__history_frames=5))
    clip = order.pool.clips[0]
    windows = (window for epoch in range(60) for plan in order.epoch(epoch) for window in plan.windows)
    starts = {window.first for window in windows if window.key == clip.key}
    assert starts == set(range(clip.frames - 5 - 9 + 2))


def test_a_batch_has_one_size_and_one_length(two_sizes: Path, tmp_path: Path) -> None:
    order = order_of(
        tiny_recipe(
            tmp_path, two_sizes, batch__height=None, batch__width=None, batch__size=3, data=[{"path": str(two_sizes)}]
        )
    )
    sizes = set()
    for plan in order.epoch(0):
        assert len(plan.windows) == 3
        assert len({(window.crop.size, window.history_frames) for window in plan.windows}) == 1
        sizes.add(plan.windows[0].crop.size)
    assert sizes == {(32, 48), (48, 48)}


def test_weights_set_how_often_a_dataset_is_seen(walks: Path, tmp_path: Path) -> None:
    data = [{"path": str(walks), "split": "train"}, {"path": str(walks), "split": "test", "weight": 0.25}]
    order = order_of(tiny_recipe(tmp_path, walks, data=data, batch__size=1))
    seen = Counter(plan.windows[0].source for epoch in range(200) for plan in order.epoch(epoch))
    lengths = [sum(c.frames for c in order.pool.clips if c.source == source) for source in (0, 1)]
    assert seen[1] / seen[0] == pytest.approx(0.25 * lengths[1] / lengths[0], rel=0.1)


def test_a_position_continues_in_the_middle(walks: Path, tmp_path: Path) -> None:
    order = order_of(tiny_recipe(tmp_path, walks))
    straight = list(itertools.islice(order.from_position(Position()), 20))
    reader = BatchReader(order.pool.datasets)
    for after in (0, 1, 7, 13):
        loader = Loader(order, reader, Position(), after, workers=0)
        assert [batch.plan for batch in loader] == straight[:after]
        assert list(itertools.islice(order.from_position(loader.position), 20 - after)) == straight[after:]


def test_workers_do_not_change_what_is_seen(walks: Path, tmp_path: Path) -> None:
    order = order_of(tiny_recipe(tmp_path, walks))
    reader = BatchReader(order.pool.datasets)
    alone = list(Loader(order, reader, Position(), 5, workers=0))
    ahead = list(Loader(order, reader, Position(), 5, workers=2))
    assert [one.plan for one in alone] == [one.plan for one in ahead]
    for one, other in zip(alone, ahead, strict=True):
        for name in ("history", "target", "history_actions", "actions", "history_c2w", "c2w", "intrinsics"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_kept_pictures_are_those_decoded_anew_and_decoded_once(walks: Path, tmp_path: Path, monkeypatch) -> None:
    order = order_of(tiny_recipe(tmp_path, walks))
    plans = list(itertools.islice(order.from_position(Position()), 8))
    fresh = BatchReader(order.pool.datasets)
    keeping = BatchReader(order.pool.datasets, keep=True)
    decoded = []
    inner = batches._decoded
    monkeypatch.setattr(batches, "_decoded", lambda *given: decoded.append(given[0].key) or inner(*given))
    for plan in plans:
        np.testing.assert_array_equal(keeping.read(plan).target, fresh.read(plan).target)
    anew = sum(len(plan.windows) for plan in plans)
    assert len(decoded) == anew + len({window.key for plan in plans for window in plan.windows})


def test_what_a_pool_takes_in_memory_is_counted(walks: Path, tmp_path: Path) -> None:
    pool = order_of(tiny_recipe(tmp_path, walks)).pool
    assert pool.decoded_bytes == sum(16 * 32 * 3 * clip.frames for clip in pool.clips) > 0
