"""One layer of the transformer, and the parts of it that a memory may take over.

A block hands its whole self-attention branch to `Memory.attend`, which by default calls `Block.self_attention`; a
memory with another rule builds its own from `Block.modulated` and the projections of `Block.self_attn`. Norms and
modulation run in float32 at least (as in the release), matrix products in the dtype of the weights.

B batch, N tokens, D width, L text tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldloom.model.attention import attention
from worldloom.model.config import DiTConfig
from worldloom.model.rope import rotate

Which = Literal["mixed", "noisy", "clean"]


@dataclass(frozen=True)
class Modulation:
    """The time's shift, scale and gate of both branches of every block, before the block adds its own table.

    Attributes:
        noisy: (B, 6, D) from t, float32: shift, scale, gate of self-attention, then of the MLP.
        clean: (B, 6, D) the same from t = 0.
        is_clean: (N,) bool, tokens of clean frames.
        mixed: whether any token is clean; without one, `mixed` modulation is `noisy` and costs no (B, N, D) copies.
    """

    noisy: Tensor
    clean: Tensor
    is_clean: Tensor
    mixed: bool


class RMSNorm(nn.RMSNorm):
    """The weight follows the input's dtype: under autocast the two differ, and torch would leave its fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape whose last axis is D; same shape and dtype."""
        assert self.weight is not None
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class SelfAttention(nn.Module):
    """Projections of self-attention; RoPE and the attention itself are left to the caller."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        # One RMS over all heads together, not one per head.
        self.norm_q = RMSNorm(config.dim, config.eps) if config.qk_norm else nn.Identity()
        self.norm_k = RMSNorm(config.dim, config.eps) if config.qk_norm else nn.Identity()

    def queries(self, x: Tensor) -> Tensor:
        """(B, N, D) to normed queries (B, N, heads, head_dim), before RoPE."""
        return self._heads(self.norm_q(self.q(x)))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D) to normed keys, before RoPE, and values, each (B, N, heads, head_dim)."""
        return self._heads(self.norm_k(self.k(x))), self._heads(self.v(x))

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the same tokens."""
        return self.queries(x), *self.keys_values(x)

    def out(self, attended: Tensor) -> Tensor:
        """(B, N, heads, head_dim) to (B, N, D)."""
        return self.o(attended.flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim))


class CrossAttention(SelfAttention):
    """Every token attends to all text tokens, padding included (Wan 2.1)."""

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x (B, N, D), text (B, L, D) to (B, N, D)."""
        return self.out(attention(self.queries(x), *self.keys_values(text)))


class Block(nn.Module):
    """One layer: gated self-attention, cross-attention without gate, gated MLP."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.randn(1, 6, config.dim) / config.dim**0.5)
        self.self_attn = SelfAttention(config)
        if config.text_dim:
            self.norm3 = nn.LayerNorm(config.dim, config.eps) if config.cross_attn_norm else nn.Identity()
            self.cross_attn = CrossAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, config.dim)
        )

    def forward(
        self, x: Tensor, modulation: Modulation, text: Tensor | None, attend: Callable[[Block, Tensor], Tensor]
    ) -> Tensor:
        """One layer on x (B, N, D); `attend` gives the self-attention branch, gate included."""
        x = x + attend(self, x)
        if text is not None:
            x = x + self.cross_attn(self.norm3(x), text)
        return x + self.feed_forward(x, modulation)

    def modulated(self, x: Tensor, modulation: Modulation, which: Which = "mixed") -> tuple[Tensor, Tensor]:
        """Input and gate of the self-attention branch.

        Args:
            x: (B, N, D). With `mixed` all tokens of the sequence; otherwise any of them.
            modulation: of this forward pass.
            which: `noisy` or `clean` for all given tokens alike, or `mixed`: each as its frame is.

        Returns:
            norm(x) (1 + scale) + shift, (B, N, D) in the dtype of x; gate, float32, (B, N or 1, D).
        """
        shift, scale, gate = self._shift_scale_gate(modulation, which, first=0)
        return modulate(x, shift, scale, self.eps), gate

    def self_attention(self, x: Tensor, modulation: Modulation, rotations: Tensor) -> Tensor:
        """The branch as Wan has it: all tokens attend to all.

        Args:
            x: (B, N, D).
            modulation: of this forward pass.
            rotations: (N, head_dim / 2, 2).

        Returns:
            What is added to x, (B, N, D).
        """
        x_mod, gate = self.modulated(x, modulation)
        q, k, v = self.self_attn.qkv(x_mod)
        attended = attention(rotate(q, rotations), rotate(k, rotations), v)
        return (gate * self.self_attn.out(attended)).to(x.dtype)

    def feed_forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """The MLP's branch on all tokens, each modulated as its frame is: (B, N, D) to (B, N, D)."""
        shift, scale, gate = self._shift_scale_gate(modulation, "mixed", first=3)
        return (gate * self.ffn(modulate(x, shift, scale, self.eps))).to(x.dtype)

    def _shift_scale_gate(self, modulation: Modulation, which: Which, first: int) -> tuple[Tensor, ...]:
        """Three of (B, 1, D), or of (B, N, D) where clean and noisy tokens mix."""
        rows = slice(first, first + 3)
        noisy = (self.modulation + modulation.noisy)[:, rows, None]
        if which == "noisy" or (which == "mixed" and not modulation.mixed):
            return noisy.unbind(1)
        clean = (self.modulation + modulation.clean)[:, rows, None]
        if which == "clean":
            return clean.unbind(1)
        is_clean = modulation.is_clean[:, None]
        return tuple(
            torch.where(is_clean, of_clean, of_noisy)
            for of_clean, of_noisy in zip(clean.unbind(1), noisy.unbind(1), strict=True)
        )


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """norm(x) (1 + scale) + shift, in the dtype of shift, returned in that of x; the norm has no parameters."""
    normed = F.layer_norm(x.to(shift.dtype), x.shape[-1:], eps=eps)
    return (normed * (1 + scale) + shift).to(x.dtype)
