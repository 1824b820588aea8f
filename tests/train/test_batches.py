from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.recipes import tiny_recipe
from tests.train.test_order import order_of
from tests.train.walks import FOCAL, walk, write_dataset
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import WorldloomError
from worldloom.train.batches import BatchReader, action_entries
from worldloom.train.crop import crop_for
from worldloom.train.loader import Loader
from worldloom.train.order import BatchPlan, Position
from worldloom.train.windows import Window


def plan_of(dataset: Path, first: int, history: int, target: int = 9) -> tuple[BatchReader, BatchPlan]:
    opened = ShardDataset(dataset, split="train")
    position = opened.keys.index(walk(0).key)
    crop = crop_for(32, 48, (16, 24))
    assert crop is not None
    return BatchReader([opened]), BatchPlan(0, 0, (Window(0, position, walk(0).key, first, history, target, crop),))


def test_target_begins_with_the_last_frame_of_the_history(walks: Path) -> None:
    reader, plan = plan_of(walks, first=3, history=5)
    batch = reader.read(plan)
    assert batch.history.shape == (1, 3, 5, 16, 24)
    assert batch.target.shape == (1, 3, 9, 16, 24)
    np.testing.assert_array_equal(batch.history[:, :, -1], batch.target[:, :, 0])
    with reader.datasets[0].get(plan.windows[0].key).open_frames() as frames:
        whole = plan.windows[0].crop.pictures(frames[3:16])
    np.testing.assert_array_equal(batch.history[0], whole[:5].transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(batch.target[0], whole[4:].transpose(3, 0, 1, 2))


def test_actions_are_those_that_make_each_latent(walks: Path) -> None:
    reader, plan = plan_of(walks, first=3, history=5)
    batch = reader.read(plan)
    move = walk(0).actions.move
    # Frame s is 7: entries 3 .. 15 for the target of 9 frames; the history starts at frame 3: entries -1 .. 7.
    np.testing.assert_array_equal(batch.actions[0, :, 0], move[3:16])
    np.testing.assert_array_equal(batch.history_actions[0, :, 0], [9, *move[:8]])
    assert batch.actions.shape == (1, 4 * 3 + 1, 2)
    assert batch.history_actions.shape == (1, 4 * 2 + 1, 2)


def test_entries_outside_the_clip_are_uncertain() -> None:
    actions = walk(0, frames=5).actions
    np.testing.assert_array_equal(action_entries(actions, -2, 7)[:, 0], [9, 9, 0, 1, 2, 3, 9, 9, 9])
    np.testing.assert_array_equal(action_entries(actions, -2, 7)[:, 1], [9, 9, 1, 2, 3, 4, 9, 9, 9])
    assert (action_entries(actions, -9, -2) == 9).all()


def test_cameras_belong_to_every_fourth_frame(walks: Path) -> None:
    reader, plan = plan_of(walks, first=3, history=5)
    batch = reader.read(plan)
    np.testing.assert_allclose(batch.history_c2w[0, :, 2, 3], [0.3, 0.7])
    np.testing.assert_allclose(batch.c2w[0, :, 2, 3], [0.7, 1.1, 1.5])
    np.testing.assert_allclose(batch.intrinsics[0], [[FOCAL / 2, FOCAL / 2, 12.0, 8.0]] * 4)


def test_a_torn_shard_names_the_clip(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [walk(i) for i in range(2)])
    recipe = tiny_recipe(tmp_path / "out", dataset)
    order = order_of(recipe)
    row = order.pool.datasets[0].table.to_pylist()[0]
    span = next(one for one in row["members"] if one["name"] == "mp4")
    shard = dataset / row["shard"]
    data = bytearray(shard.read_bytes())
    data[span["offset"] + 30] ^= 1
    shard.write_bytes(data)
    with pytest.raises(WorldloomError, match=f"cannot be read.*{row['key']}.mp4 differs.*worldloom verify"):
        list(Loader(order, BatchReader(order.pool.datasets), Position(), 8, workers=0))
