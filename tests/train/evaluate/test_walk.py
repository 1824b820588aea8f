import numpy as np
import pytest

from tests.train.recipes import tiny_recipe
from tests.train.walks import walk, write_dataset
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import UsageError
from worldloom.train.evaluate.walk import Sampling, follow, size_for, through_codec, to_pictures, walk_again
from worldloom.train.examples import to_unit
from worldloom.train.loop import train
from worldloom.train.saved_run import open_checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    dataset = write_dataset(folder, [walk(i, frames=29) for i in range(3)], ["train", "train", "test"])
    recipe = tiny_recipe(folder / "out", dataset, steps=2)
    train(recipe)
    return recipe, dataset


@pytest.fixture(scope="module")
def opened(trained):
    return open_checkpoint(trained[0].out)[:2]


QUICK = Sampling(steps=2)


def test_a_walk_holds_whole_chunks_and_starts_with_the_frame_that_was_given(trained, opened):
    recipe, dataset = trained
    clip = ShardDataset(dataset, split="test")[0]
    walked = walk_again(*opened, recipe, clip, sampling=QUICK)
    assert len(walked.true) == 1 + 3 * 8 <= clip.frames  # chunks of 3 latents add 8 frames
    assert walked.true.shape == walked.codec.shape == walked.generated.shape == (25, 16, 32, 3)
    np.testing.assert_array_equal(walked.generated[0], walked.true[0])
    np.testing.assert_array_equal(walked.actions[:-1, 0], clip.actions.move[:24])
    assert walked.actions[-1].tolist() == [9, 9]


def test_the_true_frames_are_those_of_the_clip_cropped_as_in_training(trained, opened):
    recipe, dataset = trained
    clip = ShardDataset(dataset, split="test")[0]
    walked = walk_again(*opened, recipe, clip, sampling=QUICK, most_frames=9)
    with clip.open_frames() as frames:
        first = frames[0]
    assert len(walked.true) == 9
    assert abs(walked.true[0].mean() - first.mean()) < 12  # the centre of smooth stripes


def test_the_same_seed_walks_the_same_way_and_another_one_does_not(trained, opened):
    recipe, dataset = trained
    clip = ShardDataset(dataset, split="test")[0]
    one, two, other = (
        walk_again(*opened, recipe, clip, sampling=Sampling(steps=2, seed=seed), most_frames=9).generated
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize("count", [1, 8, 11])
def test_as_many_frames_come_as_there_are_actions(trained, opened, count):
    recipe, _ = trained
    start = np.full((1, 16, 32, 3), 90, np.uint8)
    made = follow(*opened, recipe, start, np.zeros((count, 2), np.uint8), QUICK)
    assert made.shape == (1 + count, 16, 32, 3)


def test_several_frames_may_be_given(trained, opened):
    recipe, _ = trained
    start = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 3), np.uint8)
    made = follow(*opened, recipe, start, np.zeros((8, 2), np.uint8), QUICK)
    np.testing.assert_array_equal(made[:5], start)
    assert len(made) == 13


def test_pictures_survive_the_way_to_a_tensor_and_back(opened):
    import torch

    pictures = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 3), np.uint8)
    there = to_unit(torch.from_numpy(pictures.transpose(3, 0, 1, 2).copy()))
    np.testing.assert_array_equal(to_pictures(there), pictures)


def test_the_codec_alone_keeps_an_even_picture(opened):
    even = np.full((5, 16, 32, 3), 90, np.uint8)
    assert np.abs(through_codec(opened[1], even).astype(int) - even).max() <= 1


def test_what_cannot_be_walked_is_said(trained, opened):
    recipe, dataset = trained
    clip = ShardDataset(dataset, split="test")[0]
    with pytest.raises(UsageError, match="one chunk takes 9"):
        walk_again(*opened, recipe, clip, sampling=QUICK, most_frames=5)
    clip.actions = None
    with pytest.raises(UsageError, match="no actions"):
        walk_again(*opened, recipe, clip, sampling=QUICK)
    with pytest.raises(UsageError, match="trained on 32 x 16"):
        size_for(recipe, 8, 64)
