"""HPMC's encoder: a history of latents, shortened in time and kept in space (Infinite-World, released code).

Parameter names are the released ones. All convolutions pad both sides alike, so the encoder is not causal.

B batch, C latent channels, D hidden channels, T latents of the history, h w latent size, N = T h w.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldloom.model.attention import attention
from worldloom.model.cost import Cost, attention_flops, linear_flops
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.rope import rotate, rotations

EPS = 1e-6
TAPS = 27
"""Weights of a 3 x 3 x 3 kernel per pair of channels."""


class TemporalEncoder(nn.Module):
    """(B, C, T, h, w) to (B, C, T', h, w) with T' = ceil(T / rate); 25,267,984 parameters as released.

    Args:
        config: sizes.
        channels: C, in and out (released: 16).
        checkpoint_stages: recompute each stage in the backward pass, as the release does when it trains.
    """

    def __init__(self, config: HPMCConfig, channels: int, checkpoint_stages: bool = False) -> None:
        super().__init__()
        self.config = config
        self.channels = channels
        self.checkpoint_stages = checkpoint_stages
        hidden, groups = config.hidden, config.groups
        self.conv_in = nn.Conv3d(channels, hidden, 3, padding=1)
        self.down_block1 = _stage(hidden, groups, config.strides[0])
        self.down_block2 = _stage(hidden, groups, config.strides[1])
        self.mid_block = nn.Sequential(
            ResBlock(hidden, groups), AttentionBlock(hidden, config.num_heads), ResBlock(hidden, groups)
        )
        self.norm_out = nn.GroupNorm(groups, hidden, EPS)
        self.conv_out = nn.Conv3d(hidden, channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, T, h, w) to (B, C, ceil(T / rate), h, w)."""
        x = self.conv_in(latents)
        for stage in (self.down_block1, self.down_block2, self.mid_block):
            if self.checkpoint_stages and torch.is_grad_enabled():
                x = checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return self.conv_out(F.silu(self.norm_out(x)))

    def cost(self, frames: int, h: int, w: int, value_bytes: int = 2) -> Cost:
        """One pass over `frames` latents, parameters left out.

        Convolutions cost 2 x 27 x in x out per position. Each keeps its input and, behind a norm, the norm's input.
        """
        hidden = self.config.hidden
        lengths = [frames]
        for stride in self.config.strides:
            lengths.append(-(-lengths[-1] // stride))
        size = [length * h * w for length in lengths]
        one = 2 * TAPS * hidden * hidden
        flops = 2 * TAPS * self.channels * hidden * (size[0] + size[2])
        flops += one * (4 * size[0] + size[1] + 4 * size[1] + size[2] + 4 * size[2])
        flops += 4 * linear_flops(size[2], hidden, hidden) + attention_flops(size[2], size[2], hidden)
        kept = hidden * (9 * size[0] + 9 * size[1] + 20 * size[2])
        return Cost(flops=flops, activation_bytes=kept * value_bytes)


class ResBlock(nn.Module):
    """Norm, SiLU, convolution, twice, around an identity."""

    def __init__(self, hidden: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, hidden, EPS)
        self.conv1 = nn.Conv3d(hidden, hidden, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, hidden, EPS)
        self.conv2 = nn.Conv3d(hidden, hidden, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, h, w), same shape."""
        inner = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(inner)))


class TemporalDownsample(nn.Module):
    """One 3 x 3 x 3 convolution with a stride in time: T to ceil(T / stride)."""

    def __init__(self, hidden: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(hidden, hidden, 3, stride=(stride, 1, 1), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, h, w) to (B, D, ceil(T / stride), h, w)."""
        return self.conv(x)


class GridAttention(nn.Module):
    """Full attention over all positions of the compressed grid, with 3D RoPE from 0 on every axis."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(hidden, hidden)
        self.k = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, hidden)
        self.o = nn.Linear(hidden, hidden)
        self.norm_q = nn.RMSNorm(hidden, EPS)
        self.norm_k = nn.RMSNorm(hidden, EPS)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """x (B, N, D), turns as from `rotations`; (B, N, D)."""
        # Norm over all heads together, as in the transformer.
        q, k, v = self.norm_q(self.q(x)), self.norm_k(self.k(x)), self.v(x)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in (q, k, v))
        return self.o(attention(rotate(q, turns), rotate(k, turns), v).flatten(2))


class AttentionBlock(nn.Module):
    """Layer norm without parameters, attention, residual."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.attn = GridAttention(hidden, num_heads)
        self.head_dim = hidden // num_heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, h, w), same shape."""
        grid = x.shape[2:]
        time, rows, columns = (torch.arange(length, device=x.device) for length in grid)
        turns = rotations(time, rows, columns, self.head_dim)
        turns = turns.to(torch.promote_types(x.dtype, torch.float32))
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(F.layer_norm(tokens, tokens.shape[-1:], eps=EPS), turns)
        return tokens.transpose(1, 2).unflatten(2, grid)


def _stage(hidden: int, groups: int, stride: int) -> nn.Sequential:
    return nn.Sequential(ResBlock(hidden, groups), ResBlock(hidden, groups), TemporalDownsample(hidden, stride))
