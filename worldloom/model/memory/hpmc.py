"""HPMC, the hierarchical pose-free memory of Infinite-World (released code).

The whole history becomes at most 20 frames and the newest latent as it is; they stand before the target, and a mask
channel says which is which. Inside a block the history looks only at itself, modulated as clean; the target looks at
both, the history being modulated a second time, as noisy as the target. So keys and values of the history depend on
the noise time and cannot be kept from step to step.

B batch, C latent channels, T latents of the history, P context frames, F target frames, h w latent size,
L tokens of both, M of them context, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldloom.model.attention import attention
from worldloom.model.config import DiTConfig
from worldloom.model.cost import Cost, attention_flops, linear_flops
from worldloom.model.dit import Block, Modulation
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.memory.lifecycle import Chunk, FrameSequence, Memory, Plan, Query, State, frames_in
from worldloom.model.memory.temporal_encoder import TemporalEncoder
from worldloom.model.rope import rotate


@dataclass(frozen=True)
class HPMCPlan(Plan):
    """The context (B, C, P, h, w): the compressed history, then the newest latent as it is. None: no history."""

    context: Tensor | None


class HPMC(Memory):
    """Compresses in `begin`, marks in `assemble`, separates past and present in `attend`.

    RoPE times are contiguous and start at the oldest compressed frame: they are places in the row, not video times.

    Args:
        config: sizes and windows.
        dit: the transformer's, for its channels and width.
    """

    name = "hpmc"

    def __init__(self, config: HPMCConfig, dit: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.dit = dit
        self.extra_channels = config.extra_channels
        self.latent_encoder = TemporalEncoder(config, dit.in_channels, dit.checkpoint_blocks)

    def begin(self, state: State, history: Chunk | None, query: Query) -> HPMCPlan:
        """Compress the history; the newest latent is added uncompressed (the local memory)."""
        if history is None or not frames_in(history):
            return HPMCPlan(None)
        latents = history.latents.to(self.latent_encoder.conv_in.weight.dtype)
        return HPMCPlan(torch.cat([self.compress(latents), latents[:, :, -1:]], dim=2))

    def compress(self, latents: Tensor) -> Tensor:
        """(B, C, T, h, w) to (B, C, ceil(T / 4), h, w), with the defaults never more than 20 frames."""
        starts = window_starts(self.config, latents.shape[2])
        if starts is None:
            return self.latent_encoder(latents)
        length = self.config.window_latents
        windows = [self.latent_encoder(latents[:, :, start : start + length]) for start in starts]
        return self.latent_encoder(torch.cat(windows, dim=2))

    def assemble(self, plan: Plan, noisy: Tensor) -> FrameSequence:
        """Context, then target; the mask is 1 on the context and 0 on the target."""
        assert isinstance(plan, HPMCPlan)
        latents = noisy if plan.context is None else torch.cat([plan.context.to(noisy.dtype), noisy], dim=2)
        frames, target = latents.shape[2], noisy.shape[2]
        is_context = torch.arange(frames, device=noisy.device) < frames - target
        shape = (latents.shape[0], self.config.mask_channels, frames, *latents.shape[3:])
        mask = is_context.to(latents.dtype)[:, None, None].expand(shape)
        time = torch.arange(frames, device=noisy.device, dtype=torch.float64)
        return FrameSequence(latents, mask, is_context, is_context, time, slice(frames - target, frames))

    def attend(
        self,
        layer: int,
        block: Block,
        x: Tensor,
        modulation: Modulation,
        sequence: FrameSequence,
        plan: Plan,
        rotations: Tensor,
    ) -> Tensor:
        """History to itself, modulated clean; target to both, all modulated noisy. Both read the same x."""
        if not sequence.keep.start:
            return block.self_attention(x, modulation, rotations)
        past = x.shape[1] * sequence.keep.start // sequence.latents.shape[2]

        clean, gate = block.modulated(x[:, :past], modulation, which="clean")
        q, k, v = block.self_attn.qkv(clean)
        turns = rotations[:past]
        of_past = gate * block.self_attn.out(attention(rotate(q, turns), rotate(k, turns), v))

        noisy, gate = block.modulated(x, modulation, which="noisy")
        q = block.self_attn.queries(noisy[:, past:])
        k, v = block.self_attn.keys_values(noisy)
        attended = attention(rotate(q, rotations[past:]), rotate(k, rotations), v)
        of_target = gate * block.self_attn.out(attended)
        return torch.cat([of_past, of_target], dim=1).to(x.dtype)

    def context_frames(self, history: int) -> int:
        """Compressed frames and the local memory."""
        if not history:
            return 0
        return self.config.compressed(min(history, self.config.direct_latents)) + 1

    def self_attention_flops(self, target: int, context: int) -> int:
        """q, k, v, o of the history and M x M; then k, v of all, q, o of the target and target x all."""
        width, tokens = self.dit.dim, target + context
        past = 4 * linear_flops(context, width, width) + attention_flops(context, context, width)
        present = 2 * linear_flops(tokens + target, width, width) + attention_flops(target, tokens, width)
        return past + present

    def cost(self, frames: int, h: int, w: int, history: int) -> Cost:
        """The encoder: all windows and the pass over their results, or one pass."""
        encoder = self.latent_encoder
        passes = Cost(parameters=sum(parameter.numel() for parameter in encoder.parameters()))
        if not history:
            return passes
        if window_starts(self.config, history) is None:
            return passes + encoder.cost(history, h, w)
        windows = [encoder.cost(self.config.window_latents, h, w)] * self.config.windows
        return sum(windows, passes + encoder.cost(self.config.direct_latents, h, w))


def window_starts(config: HPMCConfig, latents: int) -> list[int] | None:
    """First latents of the windows of Mode 2; None where the history is short enough for one pass (Mode 1).

    The stride is floor((T - window) / (windows - 1)), at least 1 (Infinite-World, released code). With T = 1 + 20 n
    the last window ends before the newest latent, which is the local memory; beyond n = 16 the windows leave gaps.

    Args:
        config: `direct_latents`, `window_latents`, `windows`.
        latents: T.
    """
    if latents <= config.direct_latents:
        return None
    stride = max(1, (latents - config.window_latents) // (config.windows - 1))
    return [stride * i for i in range(config.windows)]
