"""Proofs of `camera_proof.py` on real footage: RealEstate10K, EgoDex with its hands, and a walk with measured depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worldloom.annotators.epipolar import Matches, match_frames, path_error
from worldloom.catalogs.cameras import invert_poses, pixel_centres, project, unproject
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.formats.egodex import read_egodex_csv, read_egodex_hands_csv
from worldloom.catalogs.formats.re10k import read_re10k
from worldloom.catalogs.formats.trajectory import GL_TO_CV
from worldloom.catalogs.video import Frames

Paths = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By conversion: c2w (T, 4, 4) and fx fy cx cy."""


SCALE, STEP, LEAST_PX = 0.25, 2, 1.0
"""Of the flow at the hands: size of its picture, frames between, and what counts as a motion."""


@dataclass(frozen=True)
class Figures:
    """A line of a table: which file, which conversion, and figures by name."""

    file: str
    conversion: str
    figures: Mapping[str, float]


def re10k(data: Path, out: Path | None) -> list[Figures]:
    """Six clips of 16 frames with row i for frame i; epipolar error over pairs four frames apart."""
    rows = []
    for video in sorted((data / "re10k" / "videos").glob("*.mp4")):
        trajectory = read_re10k(data / "re10k" / "pose_files" / f"{video.stem}.txt")
        with Frames(video) as frames:
            k = trajectory.pixel_intrinsics(frames.width, frames.height)
            assert k is not None
            pairs = [(a, a + 4) for a in range(0, len(frames) - 4, 2)]
            matches = match_frames(lambda i, frames=frames: frames[i], pairs)
            rows += _epipolar(video.stem, matches, {"ours": (trajectory.c2w, k[0]), **_mistakes(trajectory.c2w, k[0])})
    return rows


def egodex(data: Path, out: Path | None) -> list[Figures]:
    """One episode: epipolar error (whatever moves included), and whether the picture moves at the joints as they do."""
    folder = data / "egodex" / "add_remove_lid"
    trajectory = read_egodex_csv(folder / "0_camera_trajectory.csv")
    hands = read_egodex_hands_csv(folder / "0_hand_poses.csv", trajectory)
    with Frames(folder / "0.mp4") as frames:
        k = trajectory.pixel_intrinsics(frames.width, frames.height)
        assert k is not None
        ours = (trajectory.c2w, k[0])
        pairs = [(a, a + 20) for a in range(0, len(frames) - 20, 8)]
        matches = match_frames(lambda i: frames[i], pairs)
        rows = _epipolar("add_remove_lid", matches, {"ours": ours, **_mistakes(*ours)})
        flows = _flows(frames, SCALE, STEP)
        shown = [5, 41, 77]
        pictures = frames[shown]
    small = k[0] * SCALE
    on_hands = {
        "ours": (hands.joints, small),
        "camera axes of OpenGL": (hands.joints * np.array([1, -1, -1], np.float32), small),
        "mirrored (left for right)": (hands.joints * np.array([-1, 1, 1], np.float32), small),
        "30 % longer focal length": (hands.joints, small * np.array([1.3, 1.3, 1, 1])),
        "a second later": (np.roll(hands.joints, 30, axis=0), small),
    }
    for name, (joints, intrinsics) in on_hands.items():
        rows.append(Figures("hands against flow", name, _moves_with(flows, joints, intrinsics, STEP)))
    if out is not None:
        _draw_hands(out / "egodex-hands.png", pictures, shown, hands, k[0])
    return rows


def hololens(data: Path, out: Path | None) -> list[Figures]:
    """A walk with measured depth: a frame carried into another one by depth and cameras, held to what is seen there."""
    folder = data / "walk_hololens_a"
    names = sorted(path.stem for path in (folder / "images").glob("*.png"))
    c2w = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    matrix = np.loadtxt(folder / "K.txt")
    k = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])
    pictures = [cv2.imread(str(folder / "images" / f"{name}.png"))[..., ::-1] for name in names]
    depths = {
        i: cv2.imread(str(folder / "depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED) / 1000.0
        for i, name in enumerate(names)
        if (folder / "depth" / f"{name}.png").exists()
    }
    matches = match_frames(lambda i: pictures[i], [(a, a + 3) for a in range(0, len(names) - 3, 3)])
    rows = _epipolar("walk_hololens_a", matches, {"ours": (c2w, k), **_mistakes(c2w, k)})
    pairs = [(a, b) for a in depths for b in depths if b == a + 3]
    still = np.tile(np.eye(4), (len(c2w), 1, 1))
    for name, path in {"ours": c2w, "no motion": still, "camera-to-world taken for inverse": invert_poses(c2w)}.items():
        carried = [_carried(pictures, depths, path, k, a, b) for a, b in pairs]
        figures = {
            "depth, median |z/z' - 1|": float(np.median(np.concatenate([one.off for one in carried]))),
            "grey levels, median": float(np.median(np.concatenate([one.grey for one in carried]))),
            "covered": float(np.mean([one.covered for one in carried])),
        }
        rows.append(Figures("depth warped, 3 frames", name, figures))
    if out is not None and pairs:
        _draw_carried(out / "hololens-warp.png", pictures, depths, c2w, k, pairs[len(pairs) // 2])
    return rows


def _mistakes(c2w: np.ndarray, k: np.ndarray) -> Paths:
    """What a reader of such a file gets wrong."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    transposed = c2w.copy()
    transposed[:, :3, :3] = c2w[:, :3, :3].transpose(0, 2, 1)
    return {
        "axes of OpenGL": (c2w @ GL_TO_CV, k),
        "mirrored (left for right)": (mirror @ c2w @ mirror, k),
        "rotation transposed": (transposed, k),
        "camera-to-world taken for inverse": (invert_poses(c2w), k),
        "twice the focal length": (c2w, k * np.array([2.0, 2.0, 1.0, 1.0])),
    }


def _epipolar(file: str, matches: Sequence[Matches], paths: Paths) -> list[Figures]:
    rows = []
    for name, (c2w, k) in paths.items():
        error = path_error(matches, c2w, k)
        figures = {"median px": error.median_px, "p90 px": error.p90_px, "matches": float(error.matches)}
        rows.append(Figures(file, name, figures))
    return rows


def _moves_with(flows: np.ndarray, joints: np.ndarray, k: np.ndarray, step: int) -> dict[str, float]:
    """How well the picture moves at each joint as the joint does, from frame to frame, where joints move at all.

    Args:
        flows: (n, h, w, 2) optical flow from frame i to i + step, pixels of the flow, for i = 0, 1, ...
        joints: (T, J, 3) in camera space.
        k: of the flow's picture.
        step: frames.
    """
    wrong, moved, inside, total = [], [], 0, 0
    for number, flow in enumerate(flows):
        start, end = (_pixels(joints[i], k) for i in (number, number + step))
        height, width = flow.shape[:2]
        kept = ((start >= 0) & (start < [width, height]) & (end >= 0) & (end < [width, height])).all(axis=1)
        inside, total = inside + int(kept.sum()), total + len(kept)
        walked = (end - start)[kept]
        seen = flow[start[kept, 1].astype(int), start[kept, 0].astype(int)]
        moving = np.linalg.norm(walked, axis=1) > LEAST_PX
        wrong.append(np.linalg.norm(seen - walked, axis=1)[moving])
        moved.append(np.linalg.norm(walked, axis=1)[moving])
    off, way = np.concatenate(wrong), np.concatenate(moved)
    return {
        "inside": inside / max(1, total),
        "median px off": float(np.median(off)) if len(off) else float("nan"),
        "median px moved": float(np.median(way)) if len(way) else float("nan"),
        "joints": float(len(off)),
    }


def _pixels(points: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(J, 2) of points in camera space; far outside where they lie behind the camera."""
    pixels = points[:, :2] / np.where(points[:, 2:] > 0, points[:, 2:], np.nan) * k[:2] + k[2:]
    return np.where(np.isfinite(pixels), pixels, -1e6)


def _flows(frames: Frames, scale: float, step: int) -> np.ndarray:
    """Optical flow (DIS) of every frame to the one `step` later, (n, h, w, 2) in pixels of the reduced picture."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    size = (round(frames.width * scale), round(frames.height * scale))
    small = [cv2.cvtColor(cv2.resize(one, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for one in frames]
    return np.stack([dis.calc(small[i], small[i + step], None) for i in range(len(small) - step)])


@dataclass(frozen=True, eq=False)
class Carried:
    """Pixels of one frame, carried into another: `off` their depth there, `grey` their brightness."""

    picture: np.ndarray
    off: np.ndarray
    grey: np.ndarray
    covered: float


def _carried(
    pictures: Sequence[np.ndarray], depths: Mapping[int, np.ndarray], c2w: np.ndarray, k: np.ndarray, a: int, b: int
) -> Carried:
    height, width = pictures[b].shape[:2]
    z = depths[a]
    scale = np.array([z.shape[1] / width, z.shape[0] / height])
    grid = pixel_centres(z.shape[1], z.shape[0]).reshape(-1, 2)
    known = z.reshape(-1) > 0
    points = unproject(grid[known] / scale, z.reshape(-1)[known], c2w[a], k)
    pixels, there = project(points, c2w[b], k)
    inside = (there > 0) & (pixels >= 0).all(axis=1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    x, y = pixels[inside].astype(int).T
    source = (grid[known][inside] / scale).astype(int)
    order = np.argsort(-there[inside])
    out = np.zeros_like(pictures[b])
    out[y[order], x[order]] = pictures[a][source[order, 1], source[order, 0]]
    measured = depths[b][(y * scale[1]).astype(int), (x * scale[0]).astype(int)]
    both = measured > 0
    off = np.abs(there[inside][both] / measured[both] - 1)
    here = pictures[b].mean(axis=2)[y, x]
    grey = np.abs(pictures[a].mean(axis=2)[source[:, 1], source[:, 0]] - here)
    return Carried(out, off, grey, float(inside.sum() / len(grid)))


def _draw_hands(path: Path, pictures: np.ndarray, shown: Sequence[int], hands: Hands, k: np.ndarray) -> None:
    drawn = []
    for picture, frame in zip(pictures, shown, strict=True):
        canvas = np.ascontiguousarray(picture[..., ::-1])
        for name, pixel in zip(hands.names, _pixels(hands.joints[frame], k), strict=True):
            colour = (40, 110, 240) if name.startswith("left") else (220, 130, 30)
            if np.abs(pixel).max() < 1e5:
                cv2.circle(canvas, tuple(int(v) for v in pixel), 9, (255, 255, 255), -1, cv2.LINE_AA)
                cv2.circle(canvas, tuple(int(v) for v in pixel), 7, colour, -1, cv2.LINE_AA)
        drawn.append(cv2.resize(canvas, (640, 360), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(path), np.hstack(drawn))


def _draw_carried(
    path: Path,
    pictures: Sequence[np.ndarray],
    depths: Mapping[int, np.ndarray],
    c2w: np.ndarray,
    k: np.ndarray,
    pair: tuple[int, int],
) -> None:
    a, b = pair
    carried = _carried(pictures, depths, c2w, k, a, b).picture
    seen = (carried > 0).any(axis=2)
    there = np.where(seen[..., None], pictures[b], 0)
    off = np.abs(carried.astype(int) - there).mean(axis=2).clip(0, 80) / 80 * 255
    heat = cv2.applyColorMap(off.astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    parts = [pictures[a], pictures[b], carried, heat]
    texts = (f"frame {a}", f"frame {b}", f"{a} carried into {b}", "difference, 0 to 80")
    labelled = []
    for part, text in zip(parts, texts, strict=True):
        canvas = np.ascontiguousarray(part[..., ::-1]).astype(np.uint8)
        cv2.rectangle(canvas, (0, 0), (210, 30), (255, 255, 255), -1)
        cv2.putText(canvas, text, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
        labelled.append(canvas)
    picture = np.vstack([np.hstack(labelled[:2]), np.hstack(labelled[2:])])
    cv2.imwrite(str(path), picture)


PARTS: dict[str, Callable[[Path, Path | None], list[Figures]]] = {
    "re10k": re10k,
    "egodex": egodex,
    "hololens": hololens,
}
