"""Actions become one vector per latent frame, added to its tokens.

An action moves one video frame to the next; latent j stands for frames 4j - 3 to 4j. Two convolutions of stride 2 go
from frames to latents.

B batch, F latent frames, D width of the transformer, E width of one embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.model.config import ActionConfig
from worldloom.model.cost import Cost, linear_flops

NORM_GROUPS = 2
"""Groups of both norms (Infinite-World, released code)."""
KERNEL = 3


class ActionEncoder(nn.Module):
    """Embeddings of move and view side by side, two strided convolutions, one projection.

    With D = 1536 it has 2,369,024 parameters.

    `released` (Infinite-World, released code): vector j is centred on frame 4j, reads entries 4j - 3 to 4j + 3, and
    each norm mixes all time. `causal` (ours): convolutions pad only the past and norms act on each time alone, so
    vector j reads entries 4j - 7 to 4j - 1, the last of which produced latent j.

    Args:
        config: kind and width of the embeddings.
        dim: D.
    """

    def __init__(self, config: ActionConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        width = 2 * config.dim_embed
        self.embedding_move = nn.Embedding(len(MOVES), config.dim_embed)
        self.embedding_view = nn.Embedding(len(VIEWS), config.dim_embed)
        self.encode_1 = _stage(width, config.kind)
        self.encode_2 = _stage(width, config.kind)
        self.proj = nn.Linear(width, dim)

    def forward(self, actions: Tensor) -> Tensor:
        """Encode the actions around F latents.

        Args:
            actions: (B, 4F + 1, 2) integers 0 to 9, move and view: entries 4t - 4 to 4t' for latents t to t'.

        Returns:
            (B, F, D).

        Raises:
            ValueError: another shape.
        """
        if actions.dim() != 3 or actions.shape[2] != 2 or actions.shape[1] < 5 or actions.shape[1] % 4 != 1:
            raise ValueError(f"actions are {tuple(actions.shape)}; (batch, 4 frames + 1, 2) expected")
        # 4F - 3 entries end on the last latent's own frame; 4F entries end on the action that produced it.
        actions = actions[:, 4:] if self.config.kind == "released" else actions[:, :-1]
        x = torch.cat([self.embedding_move(actions[..., 0]), self.embedding_view(actions[..., 1])], dim=-1)
        x = self.encode_2(self.encode_1(x.transpose(1, 2)))
        return self.proj(x.transpose(1, 2))

    def cost(self, frames: int) -> Cost:
        """Parameters, and operations for one chunk of F frames; its activations are too small to count."""
        width = 2 * self.config.dim_embed
        half = 2 * frames - 1 if self.config.kind == "released" else 2 * frames
        flops = KERNEL * linear_flops(half + frames, width, width)
        flops += linear_flops(frames, width, self.proj.out_features)
        return Cost(parameters=sum(parameter.numel() for parameter in self.parameters()), flops=flops)


class CausalConv1d(nn.Conv1d):
    """A strided convolution that pads the past alone: output j reads inputs 2j - 1 to 2j + 1 of whole pairs."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, 2n) to (B, channels, n)."""
        return super().forward(F.pad(x, (1, 0)))


class StepGroupNorm(nn.GroupNorm):
    """Group norm of each time alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, n), same shape."""
        flat = x.transpose(1, 2).flatten(0, 1)
        return super().forward(flat).unflatten(0, (len(x), -1)).transpose(1, 2)


def _stage(width: int, kind: str) -> nn.Sequential:
    if kind == "released":
        convolution: nn.Conv1d = nn.Conv1d(width, width, KERNEL, stride=2, padding=1)
        return nn.Sequential(convolution, nn.GroupNorm(NORM_GROUPS, width), nn.ReLU())
    return nn.Sequential(CausalConv1d(width, width, KERNEL, stride=2), StepGroupNorm(NORM_GROUPS, width), nn.ReLU())
