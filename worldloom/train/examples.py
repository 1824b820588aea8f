"""From a batch of pictures to what a method sees: latents on the device, with the actions that were kept.

B batch, C latent channels, F latent frames, h w latent size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worldloom.catalogs.actions import UNCERTAIN
from worldloom.model.memory.lifecycle import Chunk, Query
from worldloom.train.batches import Batch

if TYPE_CHECKING:
    from worldloom.model.codecs.codec import Codec


@dataclass(eq=False)
class Example:
    """One step's data.

    Attributes:
        history: what the model remembers; latent j of it has time j.
        query: what is said about the target; its time goes on from the history's last latent, which it repeats.
        target: (B, C, F, h, w) latents to be generated.
    """

    history: Chunk
    query: Query
    target: Tensor


def encode(batch: Batch, codec: Codec, device: torch.device, actions: bool) -> Example:
    """Encode history and target, each from its own first frame on (Infinite-World, released code).

    Args:
        batch: on the CPU.
        codec: on `device`.
        device: where the example goes.
        actions: whether the model takes them.
    """
    with torch.no_grad():
        past, target = (codec.encode(to_unit(video.to(device))) for video in (batch.history, batch.target))
    time = torch.arange(past.shape[2] + target.shape[2] - 1, dtype=torch.float32, device=device)
    joint = past.shape[2] - 1
    history = Chunk(
        past,
        time[: joint + 1],
        c2w=_moved(batch.history_c2w, device),
        actions=_moved(batch.history_actions, device, actions),
    )
    query = Query(
        time[joint:],
        size=(target.shape[3], target.shape[4]),
        c2w=_moved(batch.c2w, device),
        actions=_moved(batch.actions, device, actions),
    )
    return Example(history, query, target)


def to_unit(video: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]: 0 is -1 and 255 is 1 (Wan 2.1)."""
    return video.float() / 127.5 - 1.0


def drop_actions(example: Example, share: float, generator: torch.Generator) -> Example:
    """Each window loses all its actions, of history and target alike, with the probability `share`: they become 9.

    Args:
        example: with actions, or without any.
        share: in [0, 1].
        generator: on the CPU; draws B numbers whatever `share` is.
    """
    dropped = torch.rand(len(example.target), generator=generator) < share
    return replace(
        example,
        history=replace(example.history, actions=_without(example.history.actions, dropped)),
        query=replace(example.query, actions=_without(example.query.actions, dropped)),
    )


def _without(actions: Tensor | None, dropped: Tensor) -> Tensor | None:
    if actions is None:
        return None
    return actions.masked_fill(dropped.to(actions.device)[:, None, None], UNCERTAIN)


def _moved(value: Tensor | None, device: torch.device, wanted: bool = True) -> Tensor | None:
    return value.to(device) if value is not None and wanted else None
