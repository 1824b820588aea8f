"""What a codec is.

B batch, C latent channels, n groups of 4 frames after the first frame, H W picture size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

STRIDE = (4, 8, 8)
"""Frames, rows and columns per latent position (Wan 2.1)."""


class Codec(ABC):
    """Encodes 1 + 4n frames into 1 + n latents: the first frame alone, then groups of 4.

    Latent j depends on frames up to 4j alone, and channels have about mean 0 and variance 1 over video.

    Attributes:
        name: as in a recipe, e.g. `haar:48`.
        version: changes whenever the same video would give other latents; part of a cache's key.
        channels: C.
        stride: frames, rows and columns per latent position.
    """

    name: str
    version: str
    channels: int
    stride: tuple[int, int, int] = STRIDE

    def encode(self, video: Tensor) -> Tensor:
        """Video to latents.

        Args:
            video: (B, 3, 1 + 4n, H, W) float in [-1, 1], H and W multiples of 8, on the codec's device.

        Returns:
            (B, C, 1 + n, H / 8, W / 8) float32.

        Raises:
            ValueError: another shape.
        """
        fits = video.dim() == 5 and video.shape[1] == 3 and video.shape[2] % 4 == 1
        if not fits or video.shape[3] % 8 or video.shape[4] % 8:
            raise ValueError(
                f"video is {tuple(video.shape)}; (batch, 3, 1 + 4n, rows, columns) with rows and columns "
                "in multiples of 8 expected"
            )
        return self._encode(video)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to video.

        Args:
            latents: (B, C, 1 + n, h, w), of which the first stands for one frame.

        Returns:
            (B, 3, 1 + 4n, 8h, 8w) float32, clamped to [-1, 1].

        Raises:
            ValueError: another shape.
        """
        if latents.dim() != 5 or latents.shape[1] != self.channels or not latents.shape[2]:
            raise ValueError(
                f"latents are {tuple(latents.shape)}; codec {self.name} expects (batch, {self.channels}, 1 + n, "
                "rows, columns)"
            )
        return self._decode(latents).clamp(-1, 1)

    @abstractmethod
    def to(self, device: torch.device | str) -> Codec:
        """Move it there; returns itself."""

    @abstractmethod
    def _encode(self, video: Tensor) -> Tensor: ...

    @abstractmethod
    def _decode(self, latents: Tensor) -> Tensor: ...
