"""The video transformer of Wan 2.1: patches in, blocks of self-attention, cross-attention and MLP, velocities out.

Parameters carry the names of the original release, so its checkpoints load by key. What attends to what is the
memory's business (`block.py`). The time branch runs in float32 at least, as in the release.

B batch, C latent channels, E extra channels, N tokens, D width, L text tokens; S latent frames of the sequence, of
which F are kept; h, w latent size; ph, pw patch rows and columns: N = S (h / ph) (w / pw).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldloom.model.block import Block as Block
from worldloom.model.block import Modulation as Modulation
from worldloom.model.block import modulate
from worldloom.model.config import DiTConfig
from worldloom.model.rope import rotations

if TYPE_CHECKING:
    from worldloom.model.memory.lifecycle import FrameSequence, Memory, Plan

TIME_SCALE = 1000.0
"""Noise times in [0, 1] are embedded as 0 to 1000 (Wan 2.1)."""


class Head(nn.Module):
    """Tokens to patches of velocity."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)
        self.head = nn.Linear(config.dim, config.patch_values * config.in_channels)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (B, N, D), e (B, D) of t to (B, N, ph * pw * C)."""
        shift, scale = (self.modulation + e[:, None])[:, :, None].unbind(1)
        return self.head(modulate(x, shift, scale, self.eps))


class DiT(nn.Module):
    """The transformer; works on the meta device too.

    Args:
        config: sizes.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.dim
        self.patch_embedding = nn.Conv3d(
            config.in_channels + config.extra_channels, width, config.patch_size, stride=config.patch_size
        )
        if config.text_dim:
            self.text_embedding = nn.Sequential(
                nn.Linear(config.text_dim, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
            )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)
        self._initialise()

    def forward(
        self,
        sequence: FrameSequence,
        t: Tensor,
        memory: Memory,
        plan: Plan,
        action_tokens: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Velocity of the kept frames.

        Args:
            sequence: what the memory assembled: latents (B, C, S, h, w), roles and times of its frames.
            t: (B,) noise time in [0, 1] of the noisy frames.
            memory: gives each block's self-attention branch.
            plan: what the memory began; passed on to it.
            action_tokens: (B, F, D), added to the tokens of the kept frames once, before the blocks.
            text: (B, L, text_dim), L at most `text_len`; None: an empty text, all zeros.
            text_mask: (B, L), 0 where `text` is padding.

        Returns:
            (B, C, F, h, w), float32 or wider.

        Raises:
            ValueError: sizes or channels that do not fit, a text for a model without text.
        """
        x, grid = self._embed(sequence)
        x = self._add_actions(x, sequence, action_tokens, grid)
        e, modulation = self._time(t, sequence.clean, grid)
        turns = self._rotations(sequence.time, grid, x)
        words = self._text(text, text_mask, x)
        for layer, block in enumerate(self.blocks):
            attend = partial(_attend, memory, layer, modulation, sequence, plan, turns)
            if self.config.checkpoint_blocks and torch.is_grad_enabled():
                x = checkpoint(block, x, modulation, words, attend, use_reentrant=False)
            else:
                x = block(x, modulation, words, attend)
        kept = x.unflatten(1, (grid[0], -1))[:, sequence.keep].flatten(1, 2)
        return self._unpatchify(self.head(kept, e), grid)

    def _embed(self, sequence: FrameSequence) -> tuple[Tensor, tuple[int, int, int]]:
        """Tokens (B, N, D) and the grid of them (S, h / ph, w / pw)."""
        latents = sequence.latents
        x = latents if sequence.extra is None else torch.cat([latents, sequence.extra.to(latents.dtype)], dim=1)
        _, rows, columns = self.config.patch_size
        expected = self.config.in_channels + self.config.extra_channels
        if x.shape[1] != expected or x.shape[3] % rows or x.shape[4] % columns:
            raise ValueError(
                f"latents with extra channels are {tuple(x.shape)}; expected (batch, {expected}, frames, "
                f"a multiple of {rows}, a multiple of {columns})"
            )
        x = self.patch_embedding(x.to(self.patch_embedding.weight.dtype))
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3], x.shape[4])

    def _add_actions(
        self, x: Tensor, sequence: FrameSequence, tokens: Tensor | None, grid: tuple[int, int, int]
    ) -> Tensor:
        """Add one vector to all tokens of each kept frame; context frames get none."""
        if tokens is None:
            return x
        frames = x.unflatten(1, (grid[0], -1))
        signal = torch.zeros_like(frames[:, :, 0])
        if tokens.shape != signal[:, sequence.keep].shape:
            expected = tuple(signal[:, sequence.keep].shape)
            raise ValueError(f"action tokens are {tuple(tokens.shape)}; the kept frames need {expected}")
        signal[:, sequence.keep] = tokens.to(x.dtype)
        signal = signal.masked_fill(sequence.context.to(x.device)[:, None], 0)
        return (frames + signal[:, :, None]).flatten(1, 2)

    def _time(self, t: Tensor, clean: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Modulation]:
        """e of t (B, D), for the head, and the blocks' modulation."""
        # The release rounds the time to the dtype of its weights before embedding it; so do we, for parity with it.
        time = (t * TIME_SCALE).to(self.patch_embedding.weight.dtype)
        both = sinusoid(torch.cat([time, torch.zeros_like(time)]), self.config.freq_dim)
        # Autocast does not know the meta device; any other name does no harm there.
        with torch.autocast("cpu" if both.is_meta else both.device.type, enabled=False):
            both = _run_wide(self.time_embedding, both.to(_wide(self.patch_embedding.weight.dtype)))
            e0 = _run_wide(self.time_projection, both).unflatten(-1, (6, -1))
        clean = clean.to(e0.device)
        mixed = clean.is_meta or bool(clean.any())
        is_clean = clean.repeat_interleave(grid[1] * grid[2], output_size=grid[0] * grid[1] * grid[2])
        return both[: len(t)], Modulation(noisy=e0[: len(t)], clean=e0[len(t) :], is_clean=is_clean, mixed=mixed)

    def _rotations(self, time: Tensor, grid: tuple[int, int, int], x: Tensor) -> Tensor:
        """(N, head_dim / 2, 2), computed in float64, kept in float32 unless the model is wider."""
        rows, columns = (torch.arange(size, device=x.device) for size in grid[1:])
        return rotations(time.to(x.device), rows, columns, self.config.head_dim).to(_wide(x.dtype))

    def _text(self, text: Tensor | None, mask: Tensor | None, x: Tensor) -> Tensor | None:
        """Text tokens (B, text_len, D) from (B, L, text_dim): masked, padded with zeros, embedded."""
        config = self.config
        if not config.text_dim:
            if text is not None:
                raise ValueError("this model takes no text (text_dim is 0)")
            return None
        if text is None:
            text = x.new_zeros(len(x), 0, config.text_dim)
        if text.shape[1] > config.text_len or text.shape[2] != config.text_dim:
            raise ValueError(f"text is {tuple(text.shape)}; at most {config.text_len} tokens of {config.text_dim} fit")
        if mask is not None:
            text = text * mask[..., None].to(text.dtype)
        text = F.pad(text, (0, 0, 0, config.text_len - text.shape[1]))
        return self.text_embedding(text.to(self.patch_embedding.weight.dtype))

    def _unpatchify(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """(B, F h w, ph * pw * C), channels fastest, to (B, C, F, h ph, w pw)."""
        _, ph, pw = self.config.patch_size
        pixels = patches.unflatten(1, (-1, grid[1], grid[2])).unflatten(-1, (ph, pw, -1))
        return pixels.permute(0, 6, 1, 2, 4, 3, 5).flatten(5).flatten(3, 4).to(_wide(patches.dtype))

    def _initialise(self) -> None:
        """Wan 2.1: Xavier, N(0, 0.02) for the embeddings of text and time, zero for the head."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight.flatten(1))
        for name in ("text_embedding", "time_embedding"):
            for module in getattr(self, name, nn.Sequential()).children():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(self.head.head.weight)


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Embedding of times, cosines first (Wan 2.1): angle k is position / 10000^(k / (width / 2)).

    Args:
        positions: (B,) any dtype.
        width: even.

    Returns:
        (B, width) float64.
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float64, device=positions.device) / half
    angles = positions.double()[:, None] * 10_000.0**-exponents
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _attend(
    memory: Memory,
    layer: int,
    modulation: Modulation,
    sequence: FrameSequence,
    plan: Plan,
    rotations: Tensor,
    block: Block,
    x: Tensor,
) -> Tensor:
    return memory.attend(layer, block, x, modulation, sequence, plan, rotations)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """float32, or the dtype itself where that is wider."""
    return torch.promote_types(dtype, torch.float32)


def _run_wide(layers: nn.Sequential, x: Tensor) -> Tensor:
    """The layers in the dtype of x, whatever their weights are stored in."""
    for layer in layers:
        x = F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype)) if isinstance(layer, nn.Linear) else layer(x)
    return x
