"""Are the cameras of real files converted as they were meant? Epipolar errors of our conversion and of wrong ones.

    python benchmarks/camera_proof.py [part ...] [--data ../shared/data] [--out FOLDER]

Matches are SIFT's, over all frames, whatever moves by itself included; an error is the distance of a match from its
epipolar line, root mean square of both directions, in pixels of the video; or from the stretch of that line that stands
for points in front of both cameras, which also tells there from back. With --out, pictures are drawn there: points
in one frame, and in another the lines on which the cameras say that they must lie.

Baselines are what a reader of such a file gets wrong: axes left as they are, one axis mirrored, rows taken for columns,
the direction of the matrix, another lens. Target: ours below a pixel and below every mistake; below half of every
mistake of axes in the first of Unreal's two clips. In the second the camera turns in few frames only, and straight on,
little is wrong with mirrored axes or with another lens.

Other datasets are in `camera_proof_real.py`, each with figures of its own. For a further one write a function of (data,
out) that gives rows, and name it in PARTS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from benchmarks.camera_proof_real import PARTS as REAL
from benchmarks.camera_proof_real import Figures
from worldloom.annotators.epipolar import (
    Matches,
    fundamental,
    line_error_px,
    match_frames,
    path_error,
    stretch_error_px,
)
from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.formats.hydra import INTRINSICS, read_hydra_json
from worldloom.catalogs.formats.unreal import unreal_to_opencv
from worldloom.catalogs.video import Frames

GAP = 8
"""Frames between the two of a pair."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
    for part in asked.parts or PARTS:
        print(f"\n{part}")
        names: tuple[str, ...] = ()
        for row in PARTS[part](asked.data, asked.out):
            if tuple(row.figures) != names:
                names = tuple(row.figures)
                print(f"{'file':<22} {'conversion':<36} " + "  ".join(names))
            figures = "  ".join(f"{value:{len(name)}.{_digits(value)}f}" for name, value in row.figures.items())
            print(f"{row.file:<22} {row.conversion:<36} {figures}")


def _digits(value: float) -> int:
    return 0 if float(value).is_integer() and abs(value) >= 10 else 3


def unreal(data: Path, out: Path | None) -> list[Figures]:
    """HyDRA's two released renders: 832 x 480, 77 frames, focal length 1257 px."""
    rows = []
    k = np.array(INTRINSICS)
    for number in (1, 2):
        path = data / "ue5_hydra" / f"cam{number}.json"
        ours = read_hydra_json(path).c2w
        stored = np.array([np.array(one) for one in json.loads(path.read_text())["cond_cam"].values()])
        with Frames(path.with_name(f"{number}.mp4")) as frames:
            starts = range(1, len(ours) - 1 - GAP, 4)  # frame 0 doubles frame 1, as the last doubles the one before
            matches = match_frames(lambda i, frames=frames: frames[i], [(a, a + GAP) for a in starts])
            wrong = _unreal_mistakes(stored, ours)
            rows += _table(f"ue5_hydra/{number}.mp4", matches, {"ours": (ours, k), **wrong})
            if out is not None:
                _draw(out / f"unreal-{number}.jpg", frames, (44, 52), matches, k, {"ours": ours, **_paths(wrong)})
        later = [one for one in matches if one.a >= 25]
        rows += _table(f"ue5_hydra/{number}.mp4", later, {"ours, from frame 25, person small": (ours, k)})
        for focal in (1100, 1180, 1340, 1450):
            other = np.array([focal, focal, *k[2:]])
            rows += _table(f"ue5_hydra/{number}.mp4", matches, {f"ours, but f = {focal} px": (ours, other)})
    return rows


Cameras = Mapping[str, tuple[np.ndarray, np.ndarray]]


def _unreal_mistakes(stored: np.ndarray, ours: np.ndarray) -> Cameras:
    """What else could be made of the same numbers (T, 4, 4)."""
    k = np.array(INTRINSICS)
    metres = stored.copy()
    metres[:, :3, 3] /= 100
    rows_for_columns = stored.copy()
    rows_for_columns[:, :3, :3] = stored[:, :3, :3].transpose(0, 2, 1)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    return {
        "axes left as they are": (metres, k),
        "mirrored (left for right)": (mirror @ ours @ mirror, k),
        "rows taken for columns": (unreal_to_opencv(rows_for_columns), k),
        "camera-to-world taken for inverse": (invert_poses(ours), k),
        "field of view of 90 degrees": (ours, np.array([416.0, 416.0, 416.0, 240.0])),
    }


def _paths(cameras: Cameras) -> dict[str, np.ndarray]:
    wanted = "mirrored (left for right)"
    return {wanted: cameras[wanted][0]}


def _table(file: str, matches: list[Matches], cameras: Cameras) -> list[Figures]:
    rows = []
    for name, (c2w, k) in cameras.items():
        line, stretch = path_error(matches, c2w, k), path_error(matches, c2w, k, stretch_error_px)
        figures = {"line px": line.median_px, "stretch px": stretch.median_px, "matches": float(line.matches)}
        rows.append(Figures(file, name, figures))
    return rows


def _draw(
    path: Path,
    frames: Frames,
    pair: tuple[int, int],
    matches: list[Matches],
    intrinsics: np.ndarray,
    paths: Mapping[str, np.ndarray],
) -> None:
    """A line of pictures per path: points in the first frame; in the second their lines and where they really are."""
    one = min(matches, key=lambda m: abs(m.a - pair[0]))
    first, second = frames[one.a], frames[one.b]
    spread = _spread(one.in_a, first.shape[1], first.shape[0])
    colours = [
        tuple(int(c) for c in cv2.applyColorMap(np.uint8([[20 * i]]), cv2.COLORMAP_RAINBOW)[0, 0]) for i in range(13)
    ]
    lines = []
    for name, c2w in paths.items():
        left, right = (np.ascontiguousarray(picture[..., ::-1]) for picture in (first, second))
        f = fundamental(c2w[one.a], c2w[one.b], intrinsics, intrinsics)
        for number, i in enumerate(spread):
            colour = colours[number % len(colours)]
            a, b, c = f @ np.array([*one.in_a[i], 1.0])
            width = right.shape[1]
            ends = (
                [(0, -c / b), (width, -(a * width + c) / b)]
                if abs(b) > abs(a)
                else [(-c / a, 0), (-(b * right.shape[0] + c) / a, right.shape[0])]
            )
            cv2.line(right, *(tuple(round(x * 16) for x in end) for end in ends), colour, 1, cv2.LINE_AA, 4)
            for picture, point in ((left, one.in_a[i]), (right, one.in_b[i])):
                centre = tuple(round(x) for x in point - 0.5)
                cv2.circle(picture, centre, 6, (255, 255, 255), 2, cv2.LINE_AA)
                cv2.circle(picture, centre, 5, colour, 2, cv2.LINE_AA)
        error = float(np.median(line_error_px(one, c2w, intrinsics)))
        _write(left, f"frame {one.a}")
        _write(right, f"frame {one.b}: {name}, median error {error:.2f} px")
        lines.append(np.hstack([left, np.full((left.shape[0], 6, 3), 255, np.uint8), right]))
    gap = np.full((6, lines[0].shape[1], 3), 255, np.uint8)
    cv2.imwrite(
        str(path), np.vstack([part for line in lines for part in (line, gap)][:-1]), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )


def _spread(points: np.ndarray, width: int, height: int, columns: int = 5, rows: int = 3) -> list[int]:
    """One match from each field of a grid, the one nearest its middle, so that nobody picks the good ones."""
    kept = []
    for row in range(rows):
        for column in range(columns):
            middle = np.array([(column + 0.5) * width / columns, (row + 0.5) * height / rows])
            off = np.abs(points - middle) / [width / columns, height / rows]
            inside = np.flatnonzero(off.max(axis=1) <= 0.5)
            if len(inside):
                kept.append(int(inside[np.argmin(off[inside].max(axis=1))]))
    return kept


def _write(picture: np.ndarray, text: str) -> None:
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
    cv2.rectangle(picture, (0, 0), (wide + 20, high + 18), (255, 255, 255), -1)
    cv2.putText(picture, text, (10, high + 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)


PARTS: dict[str, Callable[[Path, Path | None], list[Figures]]] = {"unreal": unreal, **REAL}

if __name__ == "__main__":
    main()
