"""Which windows there are: the clips a recipe can use, how, and why it cannot use the others.

A window of a clip: history a..s (1 + 4m frames) and target s..s + 4(F - 1), both with frame s (Infinite-World,
released code: chunks overlap by one frame). Only the catalog is read, and the labels of a clip where a method
asks for its revisits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Revisits
from worldloom.catalogs.config import digest
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.sample import json_to_revisits
from worldloom.train.crop import Crop, crop_for
from worldloom.train.recipe import BatchConfig, DataConfig

MEMBERS = ("mp4", "camera.npz", "actions.npz")
"""What training reads of a sample, beside its json."""

REASONS = {
    "too_short": "shorter than history and target together",
    "too_small": "smaller than the wanted height x width; pictures are never made larger",
    "no_actions": "without actions, which this model takes",
    "no_camera": "without a camera, which this memory needs",
    "no_revisits": "without revisits, which this method is about",
    "no_window": "with no window that the method wants",
}
"""Why a clip is not used, for people."""


@dataclass(frozen=True, eq=False)
class UsableClip:
    """A clip that has at least one window.

    Attributes:
        source: number of its dataset in the recipe.
        position: in that dataset.
        key: of the clip.
        frames: T.
        crop: to the trained size.
        revisits: pairs of frames, where the method asks for them.
        histories: lengths of history in frames for which it has a window, ascending.
    """

    source: int
    position: int
    key: str
    frames: int
    crop: Crop
    revisits: Revisits | None = None
    histories: tuple[int, ...] = ()


Starts = Callable[[UsableClip, int, int], np.ndarray]
"""(clip, history frames, target frames) -> (n,) first frames of its windows, ascending: a method's choice."""


@dataclass(frozen=True)
class Needs:
    """What clips must have.

    Attributes:
        starts: the method's windows.
        actions: labels.
        camera: poses.
        revisits: pairs of frames.
    """

    starts: Starts
    actions: bool = False
    camera: bool = False
    revisits: bool = False


@dataclass(frozen=True)
class Window:
    """Where one example lies: frames `first` to `first + history_frames + target_frames - 2`.

    Attributes:
        source: number of the dataset.
        position: of the clip in it.
        key: of the clip.
        first: frame a.
        history_frames: 1 + 4m.
        target_frames: 1 + 4n.
        crop: to the trained size.
    """

    source: int
    position: int
    key: str
    first: int
    history_frames: int
    target_frames: int
    crop: Crop

    @property
    def joint(self) -> int:
        """Frame s: the last of the history and the first of the target."""
        return self.first + self.history_frames - 1

    @property
    def stop(self) -> int:
        """One past its last frame."""
        return self.joint + self.target_frames


@dataclass(frozen=True, eq=False)
class Pool:
    """All that can be drawn from.

    Attributes:
        datasets: opened, in the order of the recipe.
        weights: of their windows.
        clips: usable ones, ordered by source and position.
        refused: how many were not, by reason (`REASONS`).
    """

    datasets: list[ShardDataset]
    weights: list[float]
    clips: list[UsableClip]
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def manifests(self) -> dict[str, str]:
        """Digest of each dataset's manifest, by the dataset's path."""
        return {str(one.path): digest(one.manifest) for one in self.datasets}

    @property
    def decoded_bytes(self) -> int:
        """Of all clips, decoded and cropped."""
        return sum(3 * clip.frames * clip.crop.size[0] * clip.crop.size[1] for clip in self.clips)

    def refusals(self) -> str:
        """`12 clips shorter than ..., 3 clips without ...`; empty where every clip is used."""
        return ", ".join(
            f"{count} clip{'s' if count > 1 else ''} {REASONS[reason]} ({reason})"
            for reason, count in sorted(self.refused.items())
        )


def open_pool(data: Sequence[DataConfig], batch: BatchConfig, needs: Needs) -> Pool:
    """Open the datasets and find what can be used.

    Raises:
        UsageError: no dataset there, a wrong condition or split, or no clip with a window (with the counts of why).
        BadInput: a manifest or catalog is damaged.
    """
    datasets, clips, refused = [], [], Counter[str]()
    for number, config in enumerate(data):
        opened = ShardDataset(config.path, where=config.where, split=config.split, members=MEMBERS)
        datasets.append(opened)
        for position, row in enumerate(_rows(opened)):
            clip, reason = _judged(opened, number, position, row, batch, needs)
            if clip is None:
                refused[reason] += 1
            else:
                clips.append(clip)
    pool = Pool(datasets, [config.weight for config in data], clips, refused)
    if not clips:
        raise UsageError(_nothing_left(data, batch, pool))
    return pool


def every_start(clip: UsableClip, history_frames: int, target_frames: int) -> np.ndarray:
    """First frames of all windows of a clip, ascending."""
    return np.arange(max(0, clip.frames - history_frames - target_frames + 2))


def _rows(dataset: ShardDataset) -> list[dict[str, Any]]:
    return dataset.table.select(["key", "frames", "height", "width", "members", "pose"]).to_pylist()


def _judged(
    dataset: ShardDataset, source: int, position: int, row: dict[str, Any], batch: BatchConfig, needs: Needs
) -> tuple[UsableClip | None, str]:
    """The clip, or the first reason against it."""
    members = {member["name"] for member in row["members"]}
    if row["frames"] < batch.history_choices[0] + batch.target_frames - 1:
        return None, "too_short"
    crop = crop_for(row["height"], row["width"], batch.size_hw)
    if crop is None:
        return None, "too_small"
    if needs.actions and "actions.npz" not in members:
        return None, "no_actions"
    if needs.camera and (row["pose"] or {}).get("scale") is None:  # camera.npz is there without poses as well
        return None, "no_camera"
    revisits = None
    if needs.revisits:
        revisits = json_to_revisits(json.loads(dataset.read(position, ("json",))["json"])["revisits"])
        if revisits is None or not len(revisits.pairs):
            return None, "no_revisits"
    clip = UsableClip(source, position, row["key"], row["frames"], crop, revisits)
    choices = batch.history_choices
    histories = tuple(one for one in choices if len(needs.starts(clip, one, batch.target_frames)))
    if not histories:
        return None, "no_window"
    return UsableClip(source, position, clip.key, clip.frames, crop, revisits, histories), ""


def _nothing_left(data: Sequence[DataConfig], batch: BatchConfig, pool: Pool) -> str:
    places = ", ".join(str(Path(config.path)) for config in data)
    if not pool.refused:
        return f"{places}: no clips to train on; see data.split and data.where of the recipe"
    least = batch.history_choices[0] + batch.target_frames - 1
    size = f"{batch.height} x {batch.width}" if batch.size_hw else "16 x 16"
    return (
        f"{places}: none of {pool.refused.total()} clips can be used: {pool.refusals()}. The recipe's batch needs at"
        f" least {least} frames of {size} pixels; make it smaller, or label the dataset"
    )
