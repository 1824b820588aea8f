"""LeRobot v3: clips as episodes, for data with hands (EgoDex) or with discrete actions."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from worldloom.catalogs.clip import Camera, Clip
from worldloom.catalogs.concatenate import Concatenation, coded_video
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import ExportFormat, Finished, posed
from worldloom.catalogs.exports.pictures import pictures
from worldloom.catalogs.formats.lerobot_state import STATE, state_arrays, state_features
from worldloom.catalogs.formats.lerobot_tables import (
    VIDEO_FILE_MB,
    NewEpisode,
    VideoPlace,
    video_file,
    write_lerobot,
)
from worldloom.catalogs.sample import read_npz, write_npz
from worldloom.catalogs.statistics import picture_histogram, picture_stats

VIDEO = "observation.images.camera"
ACTION = "action"
DISCRETE = ("move", "view")

_WAITING = ".episodes"
_HISTOGRAM, _SAMPLED = "_histogram", "_sampled"
_MOST_CHARACTERS = 2000


class _Kind(NamedTuple):
    """What all episodes of a LeRobot dataset have in common."""

    fps: str
    size: tuple[int, int]
    joints: tuple[str, ...]
    with_camera: bool
    scale: str
    action: str


_DIFFERENCES = {
    "fps": "other_rate",
    "size": "other_size",
    "joints": "other_columns",
    "with_camera": "other_columns",
    "action": "other_columns",
    "scale": "other_unit",
}


class LeRobotExport(ExportFormat):
    """`meta/`, `data/` and `videos/` of codebase v3.0; the videos' packets are copied, not encoded again.

    All episodes of such a dataset share rate, size and columns: the kind that most clips have is written, the others
    are skipped and counted; `--where` chooses them.

    Attributes:
        action: `next_state` (the last frame repeats its own), `discrete` (move and view, 0 to 9), or `auto`: the next
            state for clips with hands, discrete labels for the others, the next state where there are none.
        task: text of clips that tell none, by an attribute `task` or a caption.
    """

    name: ClassVar[str] = "lerobot"
    members: ClassVar[tuple[str, ...]] = ("mp4", "camera.npz", "actions.npz", "hands.npz")
    action: Literal["auto", "next_state", "discrete"] = "auto"
    task: str = ""

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Put an episode by; which of them come in is known when all are there."""
        camera, notes = _camera(clip)
        hands = clip.hands
        if hands is not None and hands.joints.shape[:2] != (clip.frames, len(set(hands.names))):
            raise BadInput("bad_hands", f"hands of shape {hands.joints.shape} for {clip.frames} frames")
        arrays = state_arrays(camera, hands)
        if not arrays:
            raise BadInput("no_state", "neither a camera nor hands: there is nothing to observe but the picture")
        how = self.action
        if how == "auto":
            how = "next_state" if hands is not None or clip.actions is None else "discrete"
        arrays[ACTION] = _discrete(clip) if how == "discrete" else arrays[STATE][[*range(1, clip.frames), -1]]
        if not isinstance(clip.video, bytes):
            raise BadInput("no_video", "the clip has no video at hand")
        home = folder / _WAITING
        home.mkdir()
        video = home / f"{clip.key}.mp4"
        video.write_bytes(clip.video)
        if (frames := coded_video(video, clip.fps).frames) != clip.frames:
            raise BadInput("damaged", f"its video has {frames} frames, its record says {clip.frames}")
        sampled = _sampled(clip.frames)
        stride = _stride(clip)
        arrays[_HISTOGRAM] = picture_histogram([one[::stride, ::stride] for _, one in pictures(clip, sampled)])
        arrays[_SAMPLED] = np.array(len(sampled))
        (home / f"{clip.key}.npz").write_bytes(write_npz(arrays))
        joints = () if hands is None else tuple(hands.names)
        scale = "none" if camera is None else camera.scale
        kind = _Kind(str(clip.fps), (clip.width, clip.height), joints, camera is not None, scale, how)
        told = {"kind": kind._asdict(), "task": _task(clip) or self.task}
        (home / f"{clip.key}.json").write_text(json.dumps(told), encoding="utf-8")
        return {**notes, "frames": clip.frames, "of": clip.frames}

    def finish(self, folder: Path, keys: Sequence[str]) -> Finished:
        """Lay the episodes of the commonest kind one after the other, in the order of their keys."""
        home = folder / _WAITING
        told = {key: json.loads((home / f"{key}.json").read_text(encoding="utf-8")) for key in keys}
        kinds = {key: _kind(one["kind"]) for key, one in told.items()}
        chosen = Counter(kinds.values()).most_common(1)[0][0]  # of several, the one met first
        done = Finished(told={"kind": {**chosen._asdict(), "joints": len(chosen.joints)}})
        for key, kind in kinds.items():
            if kind != chosen:
                done.skipped[key] = _difference(kind, chosen)
        kept = [key for key in keys if key not in done.skipped]
        fps = Fraction(chosen.fps)
        done.notes = {key: {"episode": number} for number, key in enumerate(kept)}
        with Concatenation(lambda number: video_file(folder, VIDEO, number), fps, VIDEO_FILE_MB * 1_000_000) as whole:
            placed = [(key, *whole.append(home / f"{key}.mp4")) for key in kept]

        def episodes() -> Iterator[NewEpisode]:
            for key, file, first in placed:
                arrays = read_npz((home / f"{key}.npz").read_bytes(), where=key)
                stats = picture_stats(arrays.pop(_HISTOGRAM), int(arrays.pop(_SAMPLED)))
                yield NewEpisode(told[key]["task"], arrays, {VIDEO: VideoPlace(file, first, stats)})

        write_lerobot(folder, fps, _features(chosen, fps), episodes())
        shutil.rmtree(home)
        return done

    def following(self, out: str, key: str) -> str:
        """LeRobot's own loader."""
        code = f"from lerobot.datasets import LeRobotDataset; print(LeRobotDataset('local', root='{out}')[0])"
        return f'python -c "{code}"'


def _camera(clip: Clip) -> tuple[Camera | None, dict[str, Any]]:
    """The camera in one unit of length, frames of another one without a pose; None where no frame has one."""
    try:
        path = posed(clip)
    except BadInput as problem:
        if problem.reason != "no_pose":
            raise
        return None, {}
    assert clip.camera is not None
    c2w = np.full_like(clip.camera.c2w, np.nan)
    c2w[path.frames] = path.trajectory.c2w
    camera = Camera.known(c2w, clip.camera.intrinsics, clip.camera.scale)
    camera.confidence = clip.camera.confidence
    return camera, path.notes


def _discrete(clip: Clip) -> np.ndarray:
    if clip.actions is None or len(clip.actions) != clip.frames:
        raise BadInput("no_actions", "the clip has no action label per frame")
    return np.stack([clip.actions.move, clip.actions.view], axis=1).astype(np.float32)


def _task(clip: Clip) -> str:
    """What is done, in one line."""
    told = clip.attributes.get("task") or (clip.captions[0].text if clip.captions else "")
    return " ".join(str(told).split())[:_MOST_CHARACTERS]


def _sampled(frames: int) -> np.ndarray:
    """Frames that picture statistics are taken of, as many as LeRobot takes."""
    count = max(min(100, frames), min(int(frames**0.75), 10_000))
    return np.unique(np.round(np.linspace(0, frames - 1, count)).astype(int))


def _stride(clip: Clip) -> int:
    """Every how manieth pixel counts; LeRobot's, about 150 along the longer side."""
    longest = max(clip.width, clip.height)
    return longest // 150 if longest >= 300 else 1


def _kind(told: dict[str, Any]) -> _Kind:
    return _Kind(**{**told, "size": tuple(told["size"]), "joints": tuple(told["joints"])})


def _difference(kind: _Kind, chosen: _Kind) -> tuple[str, str]:
    """Reason and sentence."""
    field = next(name for name in _DIFFERENCES if getattr(kind, name) != getattr(chosen, name))
    mine, theirs = (_shown(field, getattr(one, field)) for one in (kind, chosen))
    return _DIFFERENCES[
        field
    ], f"{field.replace('_', ' ')} {mine}, most clips have {theirs}, and LeRobot has room for one"


def _shown(field: str, value: Any) -> str:
    if field == "size":
        return f"{value[0]} x {value[1]}"
    return f"of {len(value)} names" if field == "joints" else str(value)


def _features(kind: _Kind, fps: Fraction) -> dict[str, dict[str, Any]]:
    width, height = kind.size
    state = state_features(kind.with_camera, kind.joints, kind.scale)
    names = list(DISCRETE) if kind.action == "discrete" else state[STATE]["names"]
    info = {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps.numerator if fps.denominator == 1 else float(fps),
        "video.channels": 3,
        "has_audio": False,
    }
    return {
        VIDEO: {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": info},
        **state,
        ACTION: {"dtype": "float32", "shape": [len(names)], "names": names},
    }
