"""Configuration of HPMC, the memory of Infinite-World. Defaults are those of its released code."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from worldloom.catalogs.config import Strict

LEAST_HEAD_DIM = 6
"""One complex pair of RoPE for each of time, rows and columns."""


class HPMCConfig(Strict):
    """Hierarchical pose-free memory compression: any history becomes at most `direct_latents / rate` + 1 frames.

    Up to `direct_latents` the history is encoded at once (Mode 1). Longer ones are cut into `windows` windows of
    `window_latents` that spread from the oldest latent to the newest, each is encoded, and the results, side by side,
    are encoded once more with the same weights (Mode 2).

    Attributes:
        kind: names this memory in a recipe.
        hidden: channels inside the encoder.
        num_heads: attention heads of the encoder's middle; hidden / num_heads is even and at least 6.
        groups: of the encoder's group norms; `hidden` is a multiple of it.
        strides: temporal strides of the encoder's two stages; their product is the rate of compression.
        direct_latents: longest history, in latents, that is encoded at once; also the length of the windows' results
            together, so windows x ceil(window_latents / rate) must equal it.
        window_latents: latents in one window of Mode 2.
        windows: number of windows of Mode 2.
        mask_channels: equal channels after the latent ones, 1 on the context and 0 on the target.
    """

    kind: Literal["hpmc"] = "hpmc"
    hidden: int = Field(default=256, ge=1)
    num_heads: int = Field(default=8, ge=1)
    groups: int = Field(default=32, ge=1)
    strides: tuple[int, int] = (2, 2)
    direct_latents: int = Field(default=80, ge=1)
    window_latents: int = Field(default=64, ge=1)
    windows: int = Field(default=5, ge=2)
    mask_channels: int = Field(default=4, ge=1)

    @property
    def extra_channels(self) -> int:
        """Channels that only the transformer's input has."""
        return self.mask_channels

    @property
    def rate(self) -> int:
        """Latents that become one compressed latent."""
        return self.strides[0] * self.strides[1]

    def compressed(self, latents: int) -> int:
        """Length after one pass of the encoder: each stage rounds up, so ceil(latents / rate)."""
        return -(-latents // self.rate)

    @model_validator(mode="after")
    def _encoder_fits(self) -> HPMCConfig:
        if self.hidden % self.groups or self.hidden % self.num_heads:
            raise ValueError(
                f"hidden {self.hidden} must be a multiple of groups {self.groups} and num_heads {self.num_heads}"
            )
        head_dim = self.hidden // self.num_heads
        if head_dim % 2 or head_dim < LEAST_HEAD_DIM:
            raise ValueError(
                f"hidden / num_heads is {head_dim}; RoPE needs an even number of at least {LEAST_HEAD_DIM}"
            )
        if min(self.strides) < 1:
            raise ValueError("strides must be positive")
        return self

    @model_validator(mode="after")
    def _windows_fit(self) -> HPMCConfig:
        together = self.windows * self.compressed(self.window_latents)
        if together != self.direct_latents:
            raise ValueError(
                f"{self.windows} windows of {self.window_latents} latents become {together} compressed latents; "
                f"direct_latents is {self.direct_latents} and must equal that"
            )
        # The shortest history of Mode 2 must hold all windows, each at least one latent after the one before.
        if self.direct_latents + 1 < self.window_latents + self.windows - 1:
            raise ValueError(
                f"window_latents {self.window_latents} is too long: {self.windows} windows one latent apart "
                f"do not fit in {self.direct_latents + 1} latents"
            )
        return self
