"""The suite of real sequences: poses and depth against the reference that came with them.

A reference is not truth: the kitchen's poses and depth come from the fusion of a depth sensor, good to about a
centimetre, and its colour focal length is not known. These figures say how far two methods agree on real pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Camera, Clip, Depth, Provenance, Scale, clip_key
from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.pipeline.progress import Progress
from worldloom.pipeline.scorecard.rows import Facts, Row, rows_from
from worldloom.pipeline.scorecard.suite import (
    VERSION,
    Scorecard,
    Task,
    annotator_recipes,
    machine,
    score,
    unscored,
)

KITCHEN_FOCAL_PX = 510.0
"""Middle of what self-calibration finds for the colour camera, 500 to 525 px; the depth camera has 585 px."""
KITCHEN_DEPTH_FOCAL_PX = 585.0
KITCHEN_CENTRE_PX = (320.0, 240.0)
KITCHEN_FPS = 30
WALK_FPS = 10
"""Nominal: the frames carry no times; 9 cm per frame is a walk at 0.9 m/s at this rate."""

ROWS = ("pose.posed", "pose.frames", "pose.ate", "pose.rotation", "pose.focal", "pose.seconds", "depth.")
"""Beginnings of the keys of the rows that such a reference can judge."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Frames and what is known about them.

    Attributes:
        pictures: image files in order.
        fps: of the video made from them.
        c2w: (T, 4, 4).
        intrinsics: (4,) pixels.
        scale: unit of the positions.
        depth: maps of the reference.
    """

    pictures: list[Path]
    fps: int
    c2w: np.ndarray
    intrinsics: np.ndarray
    scale: Scale = "metric"
    depth: Depth | None = None


def run_real(
    place: Path, out: Path, *, workers: int = 2, progress: Progress | None = None, command: str = ""
) -> Scorecard:
    """Score poses and depth on the real sequences in `place`.

    Raises:
        UsageError: the folder is missing or holds none of them.
    """
    tasks = real_tasks(place)
    facts, failures = score(tasks, out, workers=workers, progress=progress, stage="real")
    rows = [row for one in [*facts, *map(unscored, failures)] for row in _rows_of(one, command)]
    return Scorecard(rows, facts, failures, command, machine())


def real_tasks(place: Path) -> list[Task]:
    """One task per known sequence below `place`."""
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder")
    recipes = annotator_recipes()
    there = [name for name in READERS if (place / name).is_dir()]
    if not there:
        raise UsageError(f"{place}: holds none of {', '.join(READERS)}")
    entry = "worldloom.pipeline.scorecard.real:score_sequence"
    return [
        Task(name, entry, {"name": name, "place": str(place.absolute())}, digest([VERSION, "real", name, recipes]))
        for name in there
    ]


def score_sequence(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Entry of the child: make a clip of the frames, label it, compare with the reference.

    Args:
        payload: `name` of the sequence, `place` it lies below, `folder` for scratch files.
    """
    from worldloom.pipeline.scorecard.worker import score_truth

    name = payload["name"]
    reference = READERS[name](Path(payload["place"]) / name)
    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        facts = score_truth(as_clip(name, reference, Path(scratch) / "frames.mp4"), Path(scratch))
    return {**facts, "name": name, "revisits": {}}


def as_clip(name: str, reference: Reference, video: Path) -> Clip:
    """The frames as a clip that holds the reference as its truth."""
    import cv2

    from worldloom.catalogs.video import encode_frames

    def pictures() -> Iterator[np.ndarray]:
        for path in reference.pictures:
            yield cv2.cvtColor(_read_image(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    first = next(pictures())
    count = len(reference.pictures)
    encode_frames(video, pictures(), Fraction(reference.fps), crf=12)
    return Clip(
        key=clip_key(digest(name), 0, 0, count - 1),
        fps=Fraction(reference.fps),
        frames=count,
        height=first.shape[0],
        width=first.shape[1],
        pts_s=np.arange(count) / reference.fps,
        provenance=Provenance("images", name, digest(name, length=64)),
        video=video,
        camera=Camera.known(reference.c2w, reference.intrinsics, reference.scale),
        depth=reference.depth,
    )


def read_walk(folder: Path) -> Reference:
    """45 first-person frames with metric poses, K and sparse depth in millimetres."""
    import cv2

    pictures = sorted((folder / "images").glob("*.png"))
    k = np.loadtxt(folder / "K.txt")
    index = {path.stem: number for number, path in enumerate(pictures)}
    maps = {
        index[path.stem]: _read_image(path, cv2.IMREAD_UNCHANGED) / 1000.0
        for path in sorted((folder / "depth").glob("*.png"))
        if path.stem in index
    }
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    return Reference(pictures, WALK_FPS, poses, intrinsics, depth=_depth(maps))


def read_kitchen(folder: Path) -> Reference:
    """110 handheld frames with poses of a depth sensor's fusion, every fourth with depth in millimetres."""
    import cv2

    pictures = sorted(folder.glob("*.color.jpg"))
    poses = np.stack([np.loadtxt(str(path).replace(".color.jpg", ".pose.txt")) for path in pictures])
    maps = {}
    for number, path in enumerate(pictures):
        depth = Path(str(path).replace(".color.jpg", ".depth.png"))
        if depth.is_file():
            millimetres = _read_image(depth, cv2.IMREAD_UNCHANGED).astype(np.float64)
            millimetres[millimetres >= 65535] = 0
            maps[number] = _seen_by_colour(millimetres / 1000.0)
    intrinsics = np.array([KITCHEN_FOCAL_PX, KITCHEN_FOCAL_PX, *KITCHEN_CENTRE_PX])
    return Reference(pictures, KITCHEN_FPS, poses, intrinsics, depth=_depth(maps))


READERS: dict[str, Callable[[Path], Reference]] = {"walk_hololens_a": read_walk, "static_redkitchen": read_kitchen}
"""Every sequence by the name of its folder."""


def _read_image(path: Path, flags: int) -> np.ndarray:
    import cv2

    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise BadInput("not_image", "cannot be read as an image", where=path)
    return np.asarray(picture)


def _seen_by_colour(z: np.ndarray) -> np.ndarray:
    """A map of the depth camera at the pixels of the colour camera: same centre and place, another focal length."""
    ratio = KITCHEN_DEPTH_FOCAL_PX / KITCHEN_FOCAL_PX
    height, width = z.shape
    columns = np.round((np.arange(width) + 0.5 - KITCHEN_CENTRE_PX[0]) * ratio + KITCHEN_CENTRE_PX[0] - 0.5)
    rows = np.round((np.arange(height) + 0.5 - KITCHEN_CENTRE_PX[1]) * ratio + KITCHEN_CENTRE_PX[1] - 0.5)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    picked = z[np.ix_(rows.clip(0, height - 1).astype(int), columns.clip(0, width - 1).astype(int))]
    return np.where(inside, picked, 0.0)


def _depth(maps: Mapping[int, np.ndarray]) -> Depth | None:
    if not maps:
        return None
    z = np.stack(list(maps.values())).astype(np.float32)
    valid = z > 0
    frames = np.array(list(maps), np.int32)
    return Depth(frames, np.where(valid, z, np.nan), valid, np.ones(len(frames), np.float32), "metric", 0.02)


def _rows_of(facts: Facts, command: str) -> Sequence[Row]:
    return [row for row in rows_from([facts], command, truth=facts["name"]) if row.key.startswith(ROWS)]
