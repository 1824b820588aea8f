"""What a clip shows, as an image encoder with local weights sees it: one vector for each of some frames.

Copies are found by it that no hash finds, because it looks at what is in the picture and not at where it is light
(`worldloom.pipeline.near_embeddings`). It never runs unless a job asks for it: it needs weights, and nothing here
downloads any.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.annotators.embedding_weights import Encoder, encode, load_encoder, look_at
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import BadInput

SIDE = 32
"""Pixels of the picture that is asked for detail, as in a fingerprint."""

HOW_IT_RUNS = {"weights", "device", "gpu_share"}
"""Keys that no recipe depends on; of the weights their contents count and not their place."""


class EmbeddingRules(Strict):
    """Which encoder, on which frames; defaults ours.

    Attributes:
        weights: folder with `config.json`, `preprocessor_config.json` and safetensors of a CLIP, SigLIP or DINOv2
            model, as `save_pretrained` leaves it; in a job file relative to it, and there on every machine.
        frames: of a clip, evenly spaced.
        least_detail: standard deviation of the 32 x 32 luma, 0..128, under which a frame has nothing to be known by.
        device: `cuda` asks for a share of a GPU. Vectors of the two differ by rounding.
        gpu_share: of a GPU, with `cuda`; a base model and its pictures take about 1 GB of memory.
    """

    weights: Path
    frames: Annotated[int, Field(ge=1, le=64)] = 4
    least_detail: Annotated[float, Field(ge=0, le=128)] = 4.0
    device: Literal["cpu", "cuda"] = "cpu"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 0.25


class EmbeddingAnnotator(Annotator):
    """Leaves the vectors in its notes, base64 of int8; `quality.embedded` is the share of frames with detail.

    Beside them the notes hold `width`, the numbers of a vector, and `weights`, the digest of the encoder. 4 frames of
    768 numbers take 4,096 characters.
    """

    name = "embedding"
    version = "1"
    method = "encoder"
    needs = ("frames",)
    gives = "quality"
    Config = EmbeddingRules
    resources = Resources(memory_mb=8192)

    def __init__(self, config: Strict | Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        if self.config.device == "cuda":
            self.resources = Resources(gpus=self.config.gpu_share, memory_mb=8192)  # type: ignore[misc]
        self._loaded: tuple[Encoder, Any] | None = None

    def recipe(self, needed: Mapping[str, str]) -> str:
        """As of any annotator, but with the contents of the weights instead of their place.

        Raises:
            UsageError: they are missing or cannot be used.
        """
        decides = self.config.model_dump(mode="json", exclude=HOW_IT_RUNS)
        return digest([self.name, self.version, decides, look_at(self.config.weights).digest, dict(needed)])

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Encode some frames; the vector of a frame without detail is zero, for all such frames are alike."""
        cv2.setNumThreads(1)
        with clip.open_frames() as opened:
            frames = opened[frames_of(clip.frames, self.config.frames)]
        small = np.stack([cv2.cvtColor(cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
                          for one in frames])  # fmt: skip
        detailed = small.std(axis=(1, 2)) >= self.config.least_detail
        if not detailed.any():
            return Absent("no detail")
        if self._loaded is None:
            encoder = look_at(self.config.weights)
            self._loaded = encoder, load_encoder(encoder, self.config.device)
        encoder, model = self._loaded
        # All frames as one batch of the same size whatever they show: the batch decides the last bits of the sums.
        vectors = encode(model, encoder.preprocessing.prepared(frames))
        if not np.isfinite(vectors).all() or not np.linalg.norm(vectors, axis=1).all():
            raise BadInput(
                "bad_embedding",
                "the encoder gives a vector that is zero or not finite",
                where=encoder.folder,
                remedy="Check the weights.",
            )
        vectors[~detailed] = 0
        notes = {"weights": encoder.digest, "width": vectors.shape[1], "vectors": vectors_to_text(vectors)}
        return Given({"embedded": round(float(detailed.mean()), 6)}, notes=notes)


def frames_of(frames: int, wanted: int) -> np.ndarray:
    """The frames in the middle of `wanted` equal parts of a clip; a short one has some of them twice.

    Args:
        frames: of the clip.
        wanted: how many.
    """
    return np.minimum((np.arange(wanted) * 2 + 1) * frames // (2 * wanted), frames - 1)


def vectors_to_text(vectors: np.ndarray) -> str:
    """Directions as base64 of int8: 127 is the largest number of each vector.

    Rounding turns a vector of normally distributed numbers by less than a degree. Its length is not kept.

    Args:
        vectors: (n, d), finite; a row of zeros stays one.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = np.divide(vectors, largest, out=np.zeros_like(vectors, np.float64), where=largest > 0)
    return base64.b64encode(np.round(127 * scaled).astype(np.int8).tobytes()).decode()


def vectors_from_text(text: str, width: int) -> np.ndarray:
    """The int8 numbers of `vectors_to_text`, to be brought to length 1 by whoever compares them.

    Args:
        text: base64.
        width: numbers of a vector.

    Raises:
        ValueError: it is no such text.
    """
    data = base64.b64decode(text, validate=True)
    if width < 1 or not data or len(data) % width:
        raise ValueError(f"{len(data)} bytes are no vectors of {width} numbers")
    return np.frombuffer(data, np.int8).reshape(-1, width)
