from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.train.recipes import tiny_recipe
from worldloom.catalogs.errors import UsageError
from worldloom.train.recipe import changed_keys, load_recipe, recipe_yaml


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "walk.yaml"
    values = yaml.safe_load(recipe_yaml(tiny_recipe(tmp_path / "out", tmp_path / "dataset")))
    del values["name"], values["out"], values["method"]
    values["data"][0]["path"] = "dataset"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_recipe_comes_back_from_its_own_yaml(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "out", tmp_path / "dataset")
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_yaml(recipe))
    assert load_recipe(path) == recipe


def test_names_and_paths_are_filled_in(written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    recipe = load_recipe(written)
    assert (recipe.name, recipe.out) == ("walk", elsewhere / "runs/walk")
    assert recipe.data[0].path == tmp_path / "dataset"
    moved = load_recipe(written, ["data.0.path=other", "batch.size=4", "method.shift=7", "out=there"])
    assert (moved.data[0].path, moved.out) == (elsewhere / "other", elsewhere / "there")
    assert (moved.batch.size, moved.method.shift) == (4, 7)


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("stepps=4", "unknown key 'stepps'; did you mean 'steps'"),
        ("batch.target_frame=9", "did you mean 'target_frames'"),
        ("optimizer.learning=1", "unknown key 'optimizer.learning'"),
        ("method.kind=flow_maching", "did you mean 'flow_matching'"),
        ("model.dit.dimm=4", "did you mean 'dim'"),
        ("validation.noise_level=[1]", "did you mean 'noise_levels'"),
        ("batch.target_frames=80", "must be 1 \\+ 4n; 80 is not, 81 is"),
        ("batch.history_frames=[9, 1]", "wrong order"),
        ("batch.width=30", "multiple of 16"),
        ("batch.height=null", "both height and width"),
        ("data.3.path=x", "there is no entry '3'"),
        ("steps.more=1", "not a group of keys"),
        ("steps", "expected key=value"),
    ],
)
def test_wrong_keys_and_values_get_an_answer(written: Path, override: str, answer: str) -> None:
    with pytest.raises(UsageError, match=answer):
        load_recipe(written, [override])


def test_only_what_decides_the_numbers_counts_as_changed(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "out", tmp_path)
    same = tiny_recipe(
        tmp_path / "moved", tmp_path, steps=9, save_every=1, keep=9, validate_every=1, threads=2, device="auto",
        batch__workers=2,
    )  # fmt: skip
    assert changed_keys(recipe, same) == []
    other = tiny_recipe(tmp_path / "out", tmp_path, batch__size=3, optimizer__lr=1.0, model__codec="haar:5")
    assert changed_keys(recipe, other) == ["batch.size", "model.codec", "model.dit.in_channels", "optimizer.lr"]
    assert changed_keys(recipe, tiny_recipe(tmp_path / "out", tmp_path / "else")) == ["data.0.path"]


def test_reading_a_recipe_needs_no_torch() -> None:
    script = "import sys, worldloom.train.recipe; assert not {'torch', 'cv2', 'av', 'pyarrow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
