import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.train.recipes import tiny_recipe
from tests.train.walks import walk, write_dataset
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.video import Frames
from worldloom.cli import main


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code or 0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train_command")
    dataset = write_dataset(folder, [walk(i, frames=29) for i in range(3)], ["train", "train", "test"])
    recipe = tiny_recipe(folder / "run", dataset, steps=3)
    values = recipe.model_dump(mode="json", exclude_unset=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(place):
    assert run("train", place / "tiny.yaml") == 0
    return place / "run"


def test_a_dry_run_says_what_it_costs_and_trains_nothing(place, capsys):
    assert run("train", place / "tiny.yaml", "--dry-run", f"out={place / 'dry'}") == 0
    said = capsys.readouterr().out
    for words in ("parameters", "optimizer", "activations", "TFLOP", "2 clips", "next: worldloom train"):
        assert words in said
    assert not (place / "dry" / "checkpoints").exists()


def test_training_ends_with_a_checkpoint_and_the_next_command(trained, place, capsys):
    assert run("train", place / "tiny.yaml") == 0  # again: nothing left to do
    said = capsys.readouterr().out
    assert "step-00000003" in said and f"worldloom generate {trained}" in said
    assert Image.open(trained / "loss.png").width > 300


def test_a_misspelt_key_is_named_with_the_right_one(place, capsys):
    assert run("train", place / "tiny.yaml", "batch.sise=3") == 2
    assert "batch.sise" in (said := capsys.readouterr().err) and "'size'" in said


def test_a_picture_and_keys_become_a_video_of_the_right_length(trained, tmp_path, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "walk.mp4"
    words = ("--image", tmp_path / "a.png", "--actions", "w j", "--hold", 6, "--steps", 2, "--out", out)
    assert run("generate", trained, *words) == 0
    assert "next: worldloom generate" in capsys.readouterr().out
    with Frames(out) as frames:
        assert len(frames) == 13
        assert frames[0].shape == (320, 640, 3)


def test_actions_may_come_from_a_file(trained, tmp_path):
    Image.fromarray(np.full((16, 32, 3), 90, np.uint8)).save(tmp_path / "a.png")
    actions = [{"move": "go forward", "view": "no-op"}] * 4
    (tmp_path / "walk.json").write_text(json.dumps(actions), encoding="utf-8")
    out = tmp_path / "walk.mp4"
    words = ("--image", tmp_path / "a.png", "--actions", tmp_path / "walk.json", "--steps", 2, "--out", out)
    assert run("generate", trained, *words) == 0
    with Frames(out) as frames:
        assert len(frames) == 5


def test_a_clip_is_walked_again_and_compared(trained, place, tmp_path, capsys):
    key = ShardDataset(place / "dataset", split="test").keys[0]
    out = tmp_path / "again.mp4"
    assert run("generate", trained, "--clip", f"{place / 'dataset'}:{key[:8]}", "--steps", 2, "--out", out) == 0
    said = capsys.readouterr().out
    assert key in said and said.count(" dB") == 3
    assert out.is_file() and Image.open(tmp_path / "again.png").width > 400


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--image"),
        (("--image", "no.png"), "--actions"),
        (("--image", "no.png", "--actions", "w"), "no such picture"),
        (("--image", "no.png", "--actions", "ws"), "undo each other"),
        (("--clip", "nowhere"), "nowhere"),
    ],
)
def test_wrong_usage_is_one_message_and_code_2(trained, words, says, capsys):
    assert run("generate", trained, *words) == 2
    assert says in capsys.readouterr().err


def test_a_folder_without_a_checkpoint_is_named(tmp_path, capsys):
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(tmp_path / "a.png")
    assert run("generate", tmp_path, "--image", tmp_path / "a.png", "--actions", "w") == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_picture_that_is_none_is_an_error_of_the_file(trained, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"no picture")
    code = run("generate", trained, "--image", tmp_path / "a.png", "--actions", "w")
    assert code == 1 and os.fspath(tmp_path / "a.png") in capsys.readouterr().err
    assert not Path("walk.mp4").exists()
