"""Real sequences that come with a reference for their poses, some with depth, each as a clip that holds it as truth.

A reference is not truth: the kitchen's poses and depth come from the fusion of a depth sensor, good to about a
centimetre, and its colour focal length is not known; RealEstate10K's poses are another program's estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from worldloom.catalogs.clip import Camera, Clip, Depth, Provenance, clip_key
from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput

KITCHEN_FOCAL_PX = 510.0
"""Middle of what self-calibration finds for the colour camera, 500 to 525 px; the depth camera has 585 px."""
KITCHEN_DEPTH_FOCAL_PX = 585.0
KITCHEN_CENTRE_PX = (320.0, 240.0)
KITCHEN_FPS = 30
WALK_FPS = 10
"""Nominal: the frames carry no times; 9 cm per frame is a walk at 0.9 m/s at this rate."""


@dataclass(frozen=True)
class Kind:
    """One folder of sequences.

    Attributes:
        pattern: glob of the files that stand for one sequence each.
        read: from such a file, and the path of an mp4 that may be written, to a clip.
    """

    pattern: str
    read: Callable[[Path, Path], Clip]


def sequences(place: Path) -> list[str]:
    """Every known sequence below `place`, as the path of the file that stands for it."""
    return [
        path.relative_to(place).as_posix()
        for folder, kind in KINDS.items()
        for path in sorted((place / folder).glob(kind.pattern))
    ]


def read_sequence(place: Path, name: str, video: Path) -> Clip:
    """The sequence `name` of `sequences(place)`.

    Args:
        place: folder of the sequences.
        name: of one of them.
        video: where an mp4 is written if the sequence is one of images.
    """
    return KINDS[name.split("/")[0]].read(place / name, video)


def read_walk(k_file: Path, video: Path) -> Clip:
    """45 first-person frames with metric poses, K and sparse depth in millimetres."""
    import cv2

    folder = k_file.parent
    pictures = sorted((folder / "images").glob("*.png"))
    k = np.loadtxt(k_file)
    index = {path.stem: number for number, path in enumerate(pictures)}
    maps = {
        index[path.stem]: _read_image(path, cv2.IMREAD_UNCHANGED) / 1000.0
        for path in sorted((folder / "depth").glob("*.png"))
        if path.stem in index
    }
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    camera = Camera.known(poses, np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]))
    return _clip_of_images(pictures, WALK_FPS, camera, _depth(maps), video)


def read_kitchen(first: Path, video: Path) -> Clip:
    """110 handheld frames with poses of a depth sensor's fusion, every fourth with depth in millimetres."""
    import cv2

    pictures = sorted(first.parent.glob("*.color.jpg"))
    poses = np.stack([np.loadtxt(str(path).replace(".color.jpg", ".pose.txt")) for path in pictures])
    maps = {}
    for number, path in enumerate(pictures):
        depth = Path(str(path).replace(".color.jpg", ".depth.png"))
        if depth.is_file():
            millimetres = _read_image(depth, cv2.IMREAD_UNCHANGED).astype(np.float64)
            millimetres[millimetres >= 65535] = 0
            maps[number] = seen_by_colour(millimetres / 1000.0)
    camera = Camera.known(poses, np.array([KITCHEN_FOCAL_PX, KITCHEN_FOCAL_PX, *KITCHEN_CENTRE_PX]))
    return _clip_of_images(pictures, KITCHEN_FPS, camera, _depth(maps), video)


def read_unreal(video: Path, _: Path) -> Clip:
    """A render of Unreal Engine with the camera of every frame."""
    from worldloom.catalogs.formats.hydra import read_hydra_json

    trajectory = read_hydra_json(video.with_name(f"cam{video.stem}.json"), "cond_cam")
    return _clip_of_video(video, trajectory.camera)


def read_real_estate(video: Path, _: Path) -> Clip:
    """16 frames with the poses of RealEstate10K, in an unknown unit."""
    from worldloom.catalogs.formats.re10k import read_re10k

    trajectory = read_re10k(video.parents[1] / "pose_files" / f"{video.stem}.txt")
    return _clip_of_video(video, trajectory.camera)


KINDS = {
    "walk_hololens_a": Kind("K.txt", read_walk),
    "static_redkitchen": Kind("frame-000000.color.jpg", read_kitchen),
    "ue5_hydra": Kind("*.mp4", read_unreal),
    "re10k": Kind("videos/*.mp4", read_real_estate),
}
"""By the name of the folder."""


def seen_by_colour(z: np.ndarray) -> np.ndarray:
    """A map of the kitchen's depth camera at the pixels of its colour camera: same centre, another focal length."""
    ratio = KITCHEN_DEPTH_FOCAL_PX / KITCHEN_FOCAL_PX
    height, width = z.shape
    columns = np.round((np.arange(width) + 0.5 - KITCHEN_CENTRE_PX[0]) * ratio + KITCHEN_CENTRE_PX[0] - 0.5)
    rows = np.round((np.arange(height) + 0.5 - KITCHEN_CENTRE_PX[1]) * ratio + KITCHEN_CENTRE_PX[1] - 0.5)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    picked = z[np.ix_(rows.clip(0, height - 1).astype(int), columns.clip(0, width - 1).astype(int))]
    return np.where(inside, picked, 0.0)


def _clip_of_images(pictures: Sequence[Path], fps: int, camera: Camera, depth: Depth | None, video: Path) -> Clip:
    import cv2

    from worldloom.catalogs.video import encode_frames

    def frames() -> Iterator[np.ndarray]:
        for path in pictures:
            yield cv2.cvtColor(_read_image(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    size = next(frames()).shape
    encode_frames(video, frames(), Fraction(fps), crf=12)
    return _clip(pictures[0].parent.name, Fraction(fps), (size[1], size[0]), video, camera, depth)


def _clip_of_video(video: Path, camera_at: Callable[[int, int], Camera]) -> Clip:
    from worldloom.catalogs.video import probe

    info = probe(video)
    camera = camera_at(info.width, info.height)
    return _clip(video.name, info.fps, (info.width, info.height), video, camera, None)


def _clip(name: str, fps: Fraction, size: tuple[int, int], video: Path, camera: Camera, depth: Depth | None) -> Clip:
    sha256 = digest(name, length=64)
    return Clip(
        key=clip_key(sha256, 0, 0, len(camera) - 1),
        fps=fps,
        frames=len(camera),
        height=size[1],
        width=size[0],
        pts_s=np.arange(len(camera)) / float(fps),
        provenance=Provenance("reference", name, sha256),
        video=video,
        camera=camera,
        depth=depth,
    )


def _read_image(path: Path, flags: int) -> np.ndarray:
    import cv2

    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise BadInput("not_image", "cannot be read as an image", where=path)
    return np.asarray(picture)


def _depth(maps: Mapping[int, np.ndarray]) -> Depth | None:
    if not maps:
        return None
    z = np.stack(list(maps.values())).astype(np.float32)
    valid = z > 0
    frames = np.array(list(maps), np.int32)
    return Depth(frames, np.where(valid, z, np.nan), valid, np.ones(len(frames), np.float32), "metric", 0.02)
