"""Configuration of `none`, the memory that keeps the newest latents as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worldloom.catalogs.config import Strict


class NoMemoryConfig(Strict):
    """The newest history latents stand before the target as clean frames; nothing is compressed or chosen.

    Attributes:
        kind: names this memory in a recipe.
        window: newest history latents kept; None: all; 0: none, a plain DiT.
    """

    kind: Literal["none"] = "none"
    window: int | None = Field(default=None, ge=0)

    @property
    def extra_channels(self) -> int:
        """No mask channels: frames are told apart by their modulation."""
        return 0
