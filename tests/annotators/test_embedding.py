from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from tests.annotators.test_fingerprint import scenery
from worldloom.annotators.annotator import ANNOTATORS, BY_DEFAULT, Absent, Given, annotator_class
from worldloom.annotators.embedding import EmbeddingAnnotator, frames_of, vectors_from_text, vectors_to_text
from worldloom.annotators.embedding_weights import Preprocessing, look_at
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput, UsageError

pytest.importorskip("transformers", reason="the extra 'embeddings' is not installed")

SIDES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
PICTURES = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


def made(kind: str) -> Any:
    """A tiny model with random weights, always the same."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    vision = {**SIDES, "intermediate_size": 48}
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    makers: dict[str, Callable[[], Any]] = {
        "clip": lambda: t.CLIPModel(
            t.CLIPConfig(vision_config=vision, text_config={**TEXT, **tokens}, projection_dim=24)
        ),
        "clip_vision_model": lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**vision)),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**SIDES)),
        "dinov2_with_registers": lambda: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**SIDES)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(vision_config=vision, text_config={**TEXT, **tokens})),
        "siglip_vision_model": lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**vision)),
    }
    return makers[kind]().eval()


def saved(folder: Path, kind: str = "dinov2", **pictures: Any) -> Path:
    made(kind).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PICTURES, **pictures}))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "dinov2")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return clip_of([scenery(0)[:, 2 * i : 2 * i + 120] for i in range(17)], tmp_path_factory.mktemp("clip"))


def vectors(answer: Given | Absent) -> np.ndarray:
    assert isinstance(answer, Given)
    found = vectors_from_text(answer.notes["vectors"], answer.notes["width"]).astype(np.float64)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.divide(found, length, out=np.zeros_like(found), where=length > 0)


KINDS = ("clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "siglip", "siglip_vision_model")


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_the_model_itself_on_the_same_pixels(kind: str, clip: Clip, tmp_path: Path) -> None:
    import torch
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    answer = EmbeddingAnnotator({"weights": saved(tmp_path / kind, kind)}).annotate(clip, tmp_path)
    found = vectors(answer)
    model = made(kind)  # not loaded again: what was saved is what is run
    with clip.open_frames() as frames:
        pictures = list(frames[frames_of(17, 4)])
    with torch.no_grad():
        pixels = CLIPImageProcessorPil(**PICTURES)(pictures, return_tensors="pt")["pixel_values"]
        if kind in ("clip", "siglip"):
            own = model.get_image_features(pixel_values=pixels)
            own = getattr(own, "pooler_output", own)
        else:
            own = model(pixel_values=pixels).pooler_output
    expected = torch.nn.functional.normalize(own.double(), dim=1).numpy()
    assert found.shape == expected.shape
    assert (found * expected).sum(axis=1).min() > 0.9998
    assert np.abs(found - expected).max() < 0.6 * np.abs(expected).max() / 127 + 1e-4
    assert answer.value == {"embedded": 1.0}


@pytest.mark.parametrize("height,width", [(96, 120), (120, 96), (45, 45), (33, 200)])
def test_pixels_are_those_of_the_image_processors_of_transformers(height: int, width: int) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pictures = np.random.default_rng(0).integers(0, 255, (2, height, width, 3)).astype(np.uint8)
    mean, std = tuple(PICTURES["image_mean"]), tuple(PICTURES["image_std"])
    own = Preprocessing(shortest_edge=32, crop=(28, 28), mean=mean, std=std).prepared(pictures)
    theirs = CLIPImageProcessorPil(**PICTURES)(list(pictures), return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(own, np.stack(theirs), atol=1e-5)
    whole = {**PICTURES, "size": {"height": 28, "width": 30}, "do_center_crop": False, "resample": 2}
    own = Preprocessing(size=(28, 30), resample=2, mean=mean, std=std).prepared(pictures)
    theirs = CLIPImageProcessorPil(**whole)(list(pictures), return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(own, np.stack(theirs), atol=1e-5)


def recipe(folder: Path, **config: Any) -> str:
    return EmbeddingAnnotator({"weights": folder, **config}).recipe({"frames": "f"})


def test_the_recipe_follows_the_weights_and_not_their_place(weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = Path(shutil.copytree(weights, tmp_path / "elsewhere"))
    first = recipe(weights)
    assert recipe(copy) == recipe(copy, device="cuda", gpu_share=1.0) == first
    assert recipe(copy, frames=8) != first
    (copy / "README.md").write_text("nobody reads it")
    assert recipe(copy) == first
    tensors = load_file(copy / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = tensors[name].copy()
    tensors[name].reshape(-1)[0] += 1e-3
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert recipe(copy) != first
    again = Path(shutil.copytree(weights, tmp_path / "pixels"))
    (again / "preprocessor_config.json").write_text(json.dumps({**PICTURES, "resample": 2}))
    assert recipe(again) != first


def test_the_same_weights_in_several_files(clip: Clip, weights: Path, tmp_path: Path) -> None:
    made("dinov2").save_pretrained(tmp_path / "w", max_shard_size="40KB")
    shutil.copy(weights / "preprocessor_config.json", tmp_path / "w")
    assert not (tmp_path / "w" / "model.safetensors").exists()
    found = EmbeddingAnnotator({"weights": tmp_path / "w"}).annotate(clip, tmp_path)
    np.testing.assert_array_equal(
        vectors(found), vectors(EmbeddingAnnotator({"weights": weights}).annotate(clip, tmp_path))
    )
    assert recipe(tmp_path / "w") != recipe(weights)
    index = tmp_path / "w" / "model.safetensors.index.json"
    values = json.loads(index.read_text())
    values["weight_map"] = dict.fromkeys(values["weight_map"], "../model.safetensors")
    index.write_text(json.dumps(values))
    shutil.copy(weights / "model.safetensors", tmp_path)
    with pytest.raises(UsageError, match=r"no \.safetensors in this folder"):
        look_at(tmp_path / "w")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_value(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


PREPROCESSOR = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder.*nothing is downloaded"),
        (without("config.json"), "no config.json; save the model"),
        (without(PREPROCESSOR), "no preprocessor_config.json; save the model"),
        (without("model.safetensors"), "no model.safetensors; save the model"),
        (as_pickle, "pytorch_model.bin is pickled and is not read"),
        (with_value("config.json", model_type="gpt2"), "'gpt2' is none of clip"),
        (with_value("config.json", model_type=["clip"]), "is none of clip"),
        (with_value(PREPROCESSOR, image_mean=None), "mean"),
        (with_value(PREPROCESSOR, image_std=[0, 1, 1]), "std"),
        (with_value(PREPROCESSOR, size={"shortest_edge": 10**9}), "shortest_edge"),
        (with_value(PREPROCESSOR, size={}), "shortest_edge, or height and width"),
        (with_value(PREPROCESSOR, size={"height": 28}), "size"),
        (with_value(PREPROCESSOR, size=16), "larger than the resized picture"),
        (with_value(PREPROCESSOR, do_rescale=False), "do_rescale is false"),
        (lambda folder: (folder / "config.json").write_text("[" * 10**5), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "a mapping was expected"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_runs(
    weights: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = Path(shutil.copytree(weights, tmp_path / "w"))
    spoil(folder)
    with pytest.raises(UsageError, match=message):
        recipe(folder)


def test_weights_that_lack_a_tensor_or_are_cut_short_are_refused(weights: Path, clip: Clip, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(weights, tmp_path / "w"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"1 tensors are missing.*layernorm\.weight"):
        EmbeddingAnnotator({"weights": folder}).annotate(clip, tmp_path)
    data = (weights / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="cannot be loaded"):
        EmbeddingAnnotator({"weights": folder}).annotate(clip, tmp_path)


def test_weights_that_give_no_numbers_are_refused(weights: Path, clip: Clip, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(weights, tmp_path / "w"))
    tensors = load_file(folder / "model.safetensors")
    tensors["layernorm.bias"] = np.full_like(tensors["layernorm.bias"], np.nan)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="not finite"):
        EmbeddingAnnotator({"weights": folder}).annotate(clip, tmp_path)


def test_without_the_extra_it_says_what_to_install(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldloom.annotators.embedding_weights.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'worldloom\[embeddings\]'"):
        recipe(weights)


def test_nothing_asks_the_network(weights: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("somebody connects")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert vectors(EmbeddingAnnotator({"weights": weights}).annotate(clip, tmp_path)).shape == (4, 32)
    # A name that the hub has is a folder here, or nothing.
    with pytest.raises(UsageError, match="no such folder"):
        EmbeddingAnnotator({"weights": "facebook/dinov2-base"}).annotate(clip, tmp_path)


def test_code_in_the_folder_is_not_run(weights: Path, clip: Clip, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(weights, tmp_path / "w"))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    with_value("config.json", auto_map={"AutoModel": "mine.Mine", "AutoConfig": "mine.Mine"})(folder)
    found = EmbeddingAnnotator({"weights": folder}).annotate(clip, tmp_path)
    np.testing.assert_array_equal(
        vectors(found), vectors(EmbeddingAnnotator({"weights": weights}).annotate(clip, tmp_path))
    )
    assert not (tmp_path / "ran").exists()


def test_answers_are_the_same_every_time_and_smaller_than_they_look(weights: Path, clip: Clip, tmp_path: Path) -> None:
    first, second = (EmbeddingAnnotator({"weights": weights}).annotate(clip, tmp_path) for _ in range(2))
    assert first == second
    assert isinstance(first, Given) and first.notes["weights"] == look_at(weights).digest
    assert len(vectors_to_text(np.ones((4, 768), np.float32))) == 4096


def test_flat_frames_have_no_vector_and_flat_clips_no_answer(weights: Path, tmp_path: Path) -> None:
    flat = np.full((64, 96, 3), 90, np.uint8)
    for name in ("flat", "fade"):
        (tmp_path / name).mkdir()
    answer = EmbeddingAnnotator({"weights": weights}).annotate(clip_of([flat] * 8, tmp_path / "flat"), tmp_path)
    assert answer == Absent("no detail")
    half = clip_of([flat] * 8 + [scenery(0)[:64, :96]] * 8, tmp_path / "fade")
    answer = EmbeddingAnnotator({"weights": weights}).annotate(half, tmp_path)
    assert isinstance(answer, Given) and answer.value == {"embedded": 0.5}
    np.testing.assert_allclose(np.linalg.norm(vectors(answer), axis=1), [0, 0, 1, 1])


def test_frames_are_the_middles_of_equal_parts() -> None:
    assert frames_of(80, 4).tolist() == [10, 30, 50, 70]
    assert frames_of(1, 4).tolist() == [0, 0, 0, 0]
    for frames in range(1, 40):
        assert frames_of(frames, 8).min() >= 0 and frames_of(frames, 8).max() < frames


def test_directions_survive_their_text() -> None:
    some = np.random.default_rng(0).standard_t(4, (50, 384)).astype(np.float32)  # heavier tails than a normal one's
    text = vectors_to_text(some)
    found = vectors_from_text(text, 384).astype(np.float64)
    cosine = (found * some).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(some, axis=1)
    assert cosine.min() > 0.998
    assert not vectors_from_text(vectors_to_text(np.zeros((2, 5), np.float32)), 5).any()
    for bad, width in ((text, 383), (text, 0), ("", 4), ("?", 4)):
        with pytest.raises(ValueError):
            vectors_from_text(bad, width)


def test_it_runs_only_where_it_is_asked_for_and_weighs_nothing_until_then(weights: Path) -> None:
    assert "embedding" in ANNOTATORS and "embedding" not in BY_DEFAULT
    assert set(ANNOTATORS) - set(BY_DEFAULT) == {"embedding"}
    with pytest.raises(UsageError, match="weights"):
        annotator_class("embedding")()
    code = (
        "import sys\nfrom worldloom.annotators.embedding import EmbeddingAnnotator\n"
        f"EmbeddingAnnotator({{'weights': {str(weights)!r}}}).recipe({{}})\n"
        "print(sorted({'torch', 'transformers', 'safetensors', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.strip() == "[]", done.stderr


def test_a_gpu_is_asked_for_only_with_cuda(weights: Path, clip: Clip, tmp_path: Path) -> None:
    import torch

    assert EmbeddingAnnotator({"weights": weights}).resources.gpus == 0
    annotator = EmbeddingAnnotator({"weights": weights, "device": "cuda", "gpu_share": 0.5})
    assert annotator.resources.gpus == 0.5
    if torch.cuda.is_available():
        same = vectors(EmbeddingAnnotator({"weights": weights}).annotate(clip, tmp_path))
        assert (vectors(annotator.annotate(clip, tmp_path)) * same).sum(axis=1).min() > 0.999
    else:
        with pytest.raises(UsageError, match="set device: cpu"):
            annotator.annotate(clip, tmp_path)
