"""The demo's second half on small clips: a model is trained once, walks, and the report can draw it."""

import copy

import numpy as np
import pytest

from tests.train.recipes import TINY_MODEL
from tests.train.walks import touch_manifest, walk, write_dataset
from worldloom import demo_model
from worldloom.catalogs.dataset import ShardDataset
from worldloom.demo import DOES, Diary
from worldloom.report.training import training_pictures, walk_pictures

TINY = {
    **demo_model.RECIPE,
    "model": TINY_MODEL,
    "batch": {"size": 2, "target_frames": 9, "history_frames": [1, 9], "height": 16, "width": 32},
    "steps": 4,
    "validate_every": 4,
    "validation": {"split": "test", "clips": 1, "noise_levels": [0.3, 0.7]},
}


@pytest.fixture
def half(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_model, "RECIPE", TINY)
    monkeypatch.setattr(demo_model, "SAMPLING_STEPS", 2)
    monkeypatch.setattr(demo_model, "FRAMES", 17)
    dataset = write_dataset(tmp_path, [walk(i, frames=29) for i in range(3)], ["train", "train", "test"])
    return tmp_path, dataset, {clip.key: clip for clip in ShardDataset(dataset)}


def second_half(half):
    out, dataset, truths = half
    with Diary() as diary:
        return demo_model.train_and_walk(out, dataset, truths, diary), diary.took


def test_it_trains_walks_and_can_be_drawn(half, capsys):
    content, took = second_half(half)
    assert content.steps.tolist() == [1, 2, 3, 4] and np.isfinite(content.losses).all()
    assert set(content.before) == set(content.after) == {0.3, 0.7}
    (walked,) = content.walks
    assert walked.true.shape == walked.generated.shape == (17, 16, 32, 3)
    assert set(took) == {"train", "generate"} <= set(DOES)
    assert "dB" in took["generate"][1]
    assert len(training_pictures(content)) == 2 and len(walk_pictures(content)) == 1
    assert DOES["train"] in capsys.readouterr().out


def test_the_walk_starts_in_a_clip_that_was_not_trained_on_and_follows_its_true_actions(half):
    out, dataset, truths = half
    held_out = ShardDataset(dataset, split="test").keys[0]
    told = copy.copy(truths[held_out])
    told.actions = copy.deepcopy(told.actions)
    told.actions.move[:] = 3
    content, _ = second_half((out, dataset, {**truths, held_out: told}))
    assert (content.walks[0].actions[:-1, 0] == 3).all()


def test_the_same_dataset_is_trained_on_once_and_another_one_anew(half):
    first, _ = second_half(half)
    again, _ = second_half(half)
    np.testing.assert_array_equal(first.losses, again.losses)
    np.testing.assert_array_equal(first.walks[0].generated, again.walks[0].generated)
    out, dataset, _ = half
    before = demo_model.demo_recipe(out, dataset).out
    touch_manifest(dataset)  # the same shards under another manifest
    assert demo_model.demo_recipe(out, dataset).out != before
