"""From windows to arrays: decode, crop, and put side by side.

B batch, Th and Tt frames of history and target, Fh and F their latents (Th = 1 + 4 (Fh - 1)), H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.catalogs.actions import UNCERTAIN
from worldloom.catalogs.clip import Actions, Clip
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import BadInput
from worldloom.train.crop import Crop
from worldloom.train.order import BatchPlan
from worldloom.train.recipe import FRAME_STRIDE
from worldloom.train.windows import Window

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class Batch:
    """What one step sees, on the CPU.

    Attributes:
        plan: which windows these are.
        history: (B, 3, Th, H, W) uint8 RGB.
        target: (B, 3, Tt, H, W) uint8 RGB; its first frame is the last of the history.
        history_actions: (B, 4 Fh + 1, 2) int64, move and view of entries a - 4 .. s, 9 outside the clip; None
            where a clip has none.
        actions: (B, 4 F + 1, 2) int64 of entries s - 4 .. s + 4 (F - 1), likewise.
        history_c2w: (B, Fh, 4, 4) float64 at frames a, a + 4, .. s; NaN without a pose; None where a clip has no
            camera.
        c2w: (B, F, 4, 4) float64 at frames s, s + 4, ..
        intrinsics: (B, Fh + F - 1, 4) float64 of the same frames, in pixels of H x W.
    """

    plan: BatchPlan
    history: Tensor
    target: Tensor
    history_actions: Tensor | None
    actions: Tensor | None
    history_c2w: Tensor | None
    c2w: Tensor | None
    intrinsics: Tensor | None

    @property
    def target_frames(self) -> int:
        """Frames of all targets together."""
        return self.target.shape[0] * self.target.shape[2]

    def pin(self) -> Batch:
        """The same with its pictures in memory that a GPU reads while the CPU goes on."""
        self.history, self.target = self.history.pin_memory(), self.target.pin_memory()
        return self


@dataclass(frozen=True)
class ReadFailure:
    """Why a batch could not be read; crosses from a worker to the training process as plain text."""

    message: str


class BatchReader:
    """Reads batches; copies of it in worker processes share nothing.

    Args:
        datasets: in the order of the recipe.
        keep: decode each clip once, whole, and keep its cropped pictures; for clips that fit in memory together.
    """

    def __init__(self, datasets: list[ShardDataset], keep: bool = False) -> None:
        self.datasets, self.keep = datasets, keep
        self._kept: dict[tuple[int, int, Crop], np.ndarray] = {}

    def __getitem__(self, plan: BatchPlan) -> Batch | ReadFailure:
        """The batch of a plan; what is wrong with the data comes back as a `ReadFailure`."""
        try:
            return self.read(plan)
        except (BadInput, OSError) as error:
            return ReadFailure(str(error))

    def read(self, plan: BatchPlan) -> Batch:
        """The batch of a plan.

        Raises:
            BadInput: a clip cannot be read, naming shard and clip.
        """
        import torch

        clips = [self.datasets[window.source][window.position] for window in plan.windows]
        pairs = list(zip(clips, plan.windows, strict=True))
        pictures = torch.from_numpy(np.stack([self._pictures(clip, window) for clip, window in pairs]))
        pictures = pictures.permute(0, 4, 1, 2, 3)
        history_frames = plan.windows[0].history_frames
        parts = [_labels(clip, window) for clip, window in pairs]
        joined = {
            name: torch.from_numpy(np.stack([part[name] for part in parts]))
            for name in parts[0]
            if all(name in part for part in parts)
        }
        return Batch(
            plan,
            history=pictures[:, :, :history_frames].contiguous(),
            target=pictures[:, :, history_frames - 1 :].contiguous(),
            history_actions=joined.get("history_actions"),
            actions=joined.get("actions"),
            history_c2w=joined.get("history_c2w"),
            c2w=joined.get("c2w"),
            intrinsics=joined.get("intrinsics"),
        )

    def _pictures(self, clip: Clip, window: Window) -> np.ndarray:
        """(T, H, W, 3) uint8 of the whole window."""
        if not self.keep:
            return _decoded(clip, window, window.first, window.stop)
        name = (window.source, window.position, window.crop)
        if name not in self._kept:
            self._kept[name] = _decoded(clip, window, 0, clip.frames)
        return self._kept[name][window.first : window.stop]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}


def action_entries(actions: Actions, first: int, stop: int) -> np.ndarray:
    """Entries `first` to `stop - 1` as (n, 2) int64, move and view; 9 outside the clip."""
    out = np.full((stop - first, 2), UNCERTAIN, np.int64)
    low, high = max(first, 0), min(stop, len(actions))
    if low < high:
        out[low - first : high - first, 0] = actions.move[low:high]
        out[low - first : high - first, 1] = actions.view[low:high]
    return out


def _decoded(clip: Clip, window: Window, first: int, stop: int) -> np.ndarray:
    """Frames first..stop - 1 of a clip, cropped: (T, H, W, 3) uint8."""
    with clip.open_frames() as frames:
        if len(frames) < window.stop or (frames.height, frames.width) != window.crop.stored:
            message = (
                f"clip {clip.key}: the video has {len(frames)} frames of {frames.height} x {frames.width}, its record"
                f" says {clip.frames} of {window.crop.stored[0]} x {window.crop.stored[1]}"
            )
            raise BadInput("bad_sample", message, remedy="Run worldloom verify on the dataset.")
        return window.crop.pictures(frames[first:stop])


def _labels(clip: Clip, window: Window) -> dict[str, np.ndarray]:
    """Actions and cameras of one window, as far as the clip has them."""
    found = {}
    first, joint, stop = window.first, window.joint, window.stop
    if clip.actions is not None:
        # Latent j of a stretch that starts at frame f belongs to frame f + 4j and is produced by the four entries
        # before it; the last frame's own entry comes along for encoders that look ahead.
        found["history_actions"] = action_entries(clip.actions, first - FRAME_STRIDE, joint + 1)
        found["actions"] = action_entries(clip.actions, joint - FRAME_STRIDE, stop)
    if clip.camera is not None:
        at = np.arange(first, stop, FRAME_STRIDE)
        latents = (window.history_frames - 1) // FRAME_STRIDE
        found["history_c2w"] = clip.camera.c2w[at[: latents + 1]]
        found["c2w"] = clip.camera.c2w[at[latents:]]
        found["intrinsics"] = window.crop.intrinsics(clip.camera.intrinsics[at])
    return found
