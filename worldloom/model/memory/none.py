"""No memory: the newest latents stand before the target as they are, and all tokens attend to all.

B batch, C latent channels, F target frames, P context frames, h w latent size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldloom.model.memory.lifecycle import Chunk, FrameSequence, Memory, Plan, Query, State, frames_in
from worldloom.model.memory.none_config import NoMemoryConfig


@dataclass(frozen=True)
class NoMemoryPlan(Plan):
    """The context (B, C, P, h, w), or None."""

    context: Tensor | None


class NoMemory(Memory):
    """Keeps a window of the newest latents; with window 0 the model is a plain DiT.

    Context frames are modulated as clean. RoPE times count from 0 at the oldest frame kept, so a step is the same
    wherever in a long video it happens.

    Args:
        config: the window.
    """

    name = "none"

    def __init__(self, config: NoMemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.extra_channels = config.extra_channels

    def begin(self, state: State, history: Chunk | None, query: Query) -> NoMemoryPlan:
        """Cut the newest `window` latents off the history."""
        kept = self.context_frames(frames_in(history))
        if history is None or not kept:
            return NoMemoryPlan(None)
        return NoMemoryPlan(history.latents[:, :, -kept:])

    def assemble(self, plan: Plan, noisy: Tensor) -> FrameSequence:
        """Context, then target."""
        assert isinstance(plan, NoMemoryPlan)
        latents = noisy if plan.context is None else torch.cat([plan.context.to(noisy.dtype), noisy], dim=2)
        frames, target = latents.shape[2], noisy.shape[2]
        is_context = torch.arange(frames, device=noisy.device) < frames - target
        time = torch.arange(frames, device=noisy.device, dtype=torch.float64)
        return FrameSequence(latents, None, is_context, is_context, time, slice(frames - target, frames))

    def context_frames(self, history: int) -> int:
        """The whole history, or its newest `window` latents."""
        return history if self.config.window is None else min(self.config.window, history)
