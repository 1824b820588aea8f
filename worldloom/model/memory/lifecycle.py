"""The life cycle every memory follows: init, begin, assemble, attend, commit, cost.

One function cannot serve all designs; a life cycle with a hook at the level of the whole self-attention branch can
(HPMC modulates its history twice, others retrieve or rewrite keys inside the branch).

Shapes: B batch, C latent channels, E extra channels, F target frames, N frames the transformer sees, h w latent size,
L tokens, D width. A frame is a latent frame here; latent j belongs to video frame 4j.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from worldloom.catalogs.errors import UsageError
from worldloom.model.cost import Cost

if TYPE_CHECKING:
    from worldloom.model.block import Block, Modulation

State = dict[str, Tensor]
"""What a memory carries from chunk to chunk; plain tensors, so it can be saved and moved."""


@dataclass(frozen=True)
class Chunk:
    """Frames that exist.

    Attributes:
        latents: (B, C, F, h, w).
        time: (F,) float latent indices.
        c2w: (B, F, 4, 4) camera-to-world of video frames 4j, or None.
        actions: (B, 4F + 1, 2) long, move and view: entries 4t - 4 to 4t' for latents t to t', 9 outside the clip;
            or None.
    """

    latents: Tensor
    time: Tensor
    c2w: Tensor | None = None
    actions: Tensor | None = None


@dataclass(frozen=True)
class Query:
    """What is known of the frames to come.

    Attributes:
        time: (F,) float latent indices.
        size: rows and columns (h, w) of a latent.
        c2w: (B, F, 4, 4) or None.
        actions: (B, 4F + 1, 2) long, entries as in `Chunk`, or None.
    """

    time: Tensor
    size: tuple[int, int]
    c2w: Tensor | None = None
    actions: Tensor | None = None


@dataclass(frozen=True)
class FrameSequence:
    """Everything the transformer sees in one step.

    Attributes:
        latents: (B, C, N, h, w).
        extra: (B, E, N, h, w) channels after the latent ones, or None.
        clean: (N,) bool, true where a frame is modulated with t = 0.
        context: (N,) bool, true where a frame gets no action signal.
        time: (N,) float RoPE positions.
        keep: the frames to return.
    """

    latents: Tensor
    extra: Tensor | None
    clean: Tensor
    context: Tensor
    time: Tensor
    keep: slice


@dataclass(frozen=True)
class Plan:
    """What `begin` found out for one chunk; each memory has its own. It holds no noise time, so all steps share it."""


class Memory(nn.Module, ABC):
    """Base of all memories.

    Attributes:
        name: its `kind` in a recipe.
        needs_cameras: whether it reads `c2w`.
        extra_channels: E, input channels it adds after the latent ones.
    """

    name: str = ""
    needs_cameras: bool = False
    extra_channels: int = 0

    def init(self, batch: int, device: Any = None, dtype: Any = None) -> State:
        """State before the first chunk; empty unless a memory carries something over."""
        return {}

    @abstractmethod
    def begin(self, state: State, history: Chunk | None, query: Query) -> Plan:
        """Read the past, once per chunk; inside autograd, so an encoder here learns.

        Args:
            state: from `init` or `commit`.
            history: what exists; None or zero frames: nothing.
            query: what comes.
        """

    @abstractmethod
    def assemble(self, plan: Plan, noisy: Tensor) -> FrameSequence:
        """Put the plan's context and the noisy target in a row.

        Args:
            plan: from `begin`.
            noisy: (B, C, F, h, w).
        """

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
        """The whole self-attention branch of one block, gate included; by default full attention.

        Args:
            layer: index of the block.
            block: the block, for its norms and projections.
            x: (B, L, D) before the branch's norm.
            modulation: of t and of t = 0.
            sequence: what `assemble` returned.
            plan: what `begin` returned.
            rotations: RoPE of all L tokens.

        Returns:
            (B, L, D), what the branch adds to `x`.
        """
        return block.self_attention(x, modulation, rotations)

    def commit(self, state: State, chunk: Chunk, kv: Any = None) -> State:
        """State after a chunk exists.

        Args:
            state: before it.
            chunk: its clean latents.
            kv: keys and values of a clean pass, for memories that keep them.
        """
        return state

    @abstractmethod
    def context_frames(self, history: int) -> int:
        """Frames that stand before the target, given the history's length in latents."""

    def self_attention_flops(self, target: int, context: int) -> int | None:
        """Operations of one layer's self-attention branch on so many tokens; None: all attend to all."""
        return None

    def cost(self, frames: int, h: int, w: int, history: int) -> Cost:
        """What the memory itself costs for one chunk, `begin` above all; its context tokens cost in the transformer.

        Args:
            frames: F.
            h: latent rows.
            w: latent columns.
            history: latents.
        """
        return Cost()

    def check(self, history: Chunk | None, query: Query) -> None:
        """Refuse data that lacks what this memory reads.

        Raises:
            UsageError: no cameras where they are needed.
        """
        blind = query.c2w is None or (history is not None and history.c2w is None)
        if self.needs_cameras and blind:
            raise UsageError(
                f"memory '{self.name}' reads camera poses and this data has none; "
                "annotate the clips with poses first, or choose a memory that needs none (none, hpmc)"
            )


def frames_in(history: Chunk | None) -> int:
    """Latents in a history that may not exist."""
    return 0 if history is None else history.latents.shape[2]
