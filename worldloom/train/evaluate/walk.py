"""A model walks where a camera walked: the same first frame, the same actions, and both pictures side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worldloom.catalogs.actions import UNCERTAIN
from worldloom.catalogs.clip import Actions, Clip
from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import UsageError
from worldloom.model.generate import generate
from worldloom.train.crop import crop_for
from worldloom.train.examples import to_unit
from worldloom.train.recipe import FRAME_STRIDE, Recipe

if TYPE_CHECKING:
    from worldloom.model.codecs.codec import Codec
    from worldloom.model.world import WorldModel


class Sampling(Strict):
    """How a chunk is drawn from noise.

    Attributes:
        steps: of Euler's method (Infinite-World, released code: 30).
        shift: of the noise times; None: the one the model was trained with.
        guidance: 1 follows the model; above, the actions weigh more, at twice the cost. It needs a model trained with
            action dropout.
        seed: of the noise.
    """

    steps: int = Field(default=30, ge=1, le=1000)
    shift: float | None = Field(default=None, gt=0)
    guidance: float = Field(default=1.0, ge=0, le=30)
    seed: int = Field(default=0, ge=0)


@dataclass(eq=False)
class Walk:
    """What was seen and what was made; all pictures (T, H, W, 3) uint8, the first frame was given.

    Attributes:
        true: the clip's frames in the trained size.
        codec: those through the codec and back.
        generated: from the first frame and the actions.
        actions: (T, 2) uint8, move and view; entry i leads from frame i to i + 1, the last is 9.
        fps: of the clip.
    """

    true: np.ndarray
    codec: np.ndarray
    generated: np.ndarray
    actions: np.ndarray
    fps: float


def chunk_latents(recipe: Recipe) -> int:
    """Latents of one chunk, as the model was trained."""
    return 1 + (recipe.batch.target_frames - 1) // FRAME_STRIDE


def size_for(recipe: Recipe, height: int, width: int) -> tuple[int, int]:
    """(height, width) that a picture of this size is brought to for a model of this recipe.

    Raises:
        UsageError: the picture is too small.
    """
    crop = crop_for(height, width, recipe.batch.size_hw)
    if crop is None:
        wanted = recipe.batch.size_hw or (16, 16)
        raise UsageError(
            f"the picture is {width} x {height}; the model was trained on {wanted[1]} x {wanted[0]}, and pictures are"
            " never made larger"
        )
    return crop.size


def walk_again(
    model: WorldModel,
    codec: Codec,
    recipe: Recipe,
    clip: Clip,
    *,
    actions: Actions | None = None,
    sampling: Sampling | None = None,
    most_frames: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Walk:
    """Generate as many whole chunks as the clip has frames for, from its first frame and its actions.

    Args:
        model: in evaluation mode.
        codec: the model's.
        recipe: it was trained with.
        clip: with its video.
        actions: to follow; the clip's own where not given.
        sampling: how to draw.
        most_frames: at most so many frames.
        advance: called with the number of frames after each chunk.

    Raises:
        UsageError: the clip is shorter than one chunk, too small, or has no actions.
    """
    actions = actions if actions is not None else clip.actions
    if actions is None:
        raise UsageError(f"clip {clip.key} has no actions to follow")
    step = FRAME_STRIDE * (chunk_latents(recipe) - 1)
    chunks = (min(clip.frames, most_frames or clip.frames) - 1) // step
    if chunks < 1:
        raise UsageError(f"clip {clip.key} has {clip.frames} frames; one chunk takes {1 + step}")
    length = 1 + chunks * step
    crop = crop_for(clip.height, clip.width, size_for(recipe, clip.height, clip.width))
    assert crop is not None
    with clip.open_frames() as frames:
        true = crop.pictures(np.asarray(frames[:length]))
    labels = np.stack([actions.move[:length], actions.view[:length]], axis=1).astype(np.uint8)
    labels[-1] = UNCERTAIN
    return Walk(
        true,
        through_codec(codec, true),
        follow(model, codec, recipe, true[:1], labels[:-1], sampling or Sampling(), advance),
        labels,
        float(clip.fps),
    )


def follow(
    model: WorldModel,
    codec: Codec,
    recipe: Recipe,
    start: np.ndarray,
    actions: np.ndarray,
    sampling: Sampling,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Frames that a model makes of given ones and actions.

    Args:
        model: in evaluation mode.
        codec: the model's.
        recipe: it was trained with.
        start: (T0, H, W, 3) uint8, T0 = 1 + 4m, in the trained size.
        actions: (A, 2); entry i leads on from frame T0 - 1 + i.
        sampling: how to draw.
        advance: called with the number of frames after each chunk.

    Returns:
        (T0 + A, H, W, 3) uint8; chunks are whole inside, and what goes beyond the last action is cut off.
    """
    made = [start]
    latents = chunk_latents(recipe)
    before = np.full((len(start) - 1, 2), UNCERTAIN, np.int64)  # what led to the given frames is not known
    after = np.full((1, 2), UNCERTAIN, np.int64)  # nor what follows, which training says of the end of a clip as well
    whole = generate(
        model,
        codec,
        to_unit(_to_tensor(start)),
        torch.from_numpy(np.concatenate([before, np.asarray(actions, np.int64), after])),
        chunks=-(-len(actions) // (FRAME_STRIDE * (latents - 1))),
        chunk_latents=latents,
        steps=sampling.steps,
        shift=sampling.shift if sampling.shift is not None else recipe.method.shift,
        guidance=sampling.guidance,
        seed=sampling.seed,
    )
    for chunk in whole:
        made.append(to_pictures(chunk))
        if advance is not None:
            advance(len(made[-1]))
    return np.concatenate(made)[: len(start) + len(actions)]


def through_codec(codec: Codec, pictures: np.ndarray) -> np.ndarray:
    """Pictures (1 + 4n, H, W, 3) uint8 encoded and decoded: what is lost before any model."""
    with torch.no_grad():
        return to_pictures(codec.decode(codec.encode(to_unit(_to_tensor(pictures))[None]))[0])


def to_pictures(video: Tensor) -> np.ndarray:
    """(3, T, H, W) in [-1, 1] to (T, H, W, 3) uint8; the inverse of `worldloom.train.examples.to_unit`."""
    levels = ((video.detach().float().cpu().clamp(-1, 1) + 1.0) * 127.5).round()
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 3, 0).numpy())


def _to_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(3, 0, 1, 2)))
