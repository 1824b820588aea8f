"""What the Unreal sources find out by themselves, on rendered worlds: the order of angles, and visibility from masks.

    python benchmarks/unreal_sources.py [order] [visibility] [--worlds 10]

order: walks are stored as Context-as-Memory stores them, in each of the three orders that are in use, and the order is
found again from pictures that went through JPEG at quality 80. Baseline: one fixed order for all, right for a third.
Target: none wrong; what a walk cannot tell apart is left open.

visibility: the renderer knows what share of a person is to be seen; the sources know only masks. Baseline: boxes alone.
`flips` are frames that fall on the other side of 0.1, from which a subject counts as visible.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from worldloom.annotators.rotation_order import fit_order
from worldloom.catalogs.events import box_visibility
from worldloom.catalogs.formats.context_as_memory import ORDERS, poses_in_order
from worldloom.catalogs.formats.unreal import rotator_of_pose
from worldloom.catalogs.subject_masks import SubjectMasks, mask_visibility
from worldloom.synth.frames import Frame, Renderer
from worldloom.synth.plan import WorldPlan
from worldloom.synth.planner import plan_worlds

IN_USE = ("pitch_yaw_roll", "roll_pitch_yaw", "yaw_pitch_roll")
SETTINGS = {"width": 256, "height": 144, "frames": 49}
Z_UP_TO_OURS = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help="order, visibility; both where none is named")
    parser.add_argument("--worlds", type=int, default=10)
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    cv2.setNumThreads(1)
    for part in asked.parts or PARTS:
        PARTS[part](plan_worlds(asked.worlds, **SETTINGS))


def order(plans: list[WorldPlan]) -> None:
    print(
        f"{'world':<28} {'kind':<12} {'stored as':<16} {'found':<34} {'px':>6} {'next px':>8} "
        f"{'fov':>6} {'true':>6}  {'s':>5}"
    )
    right = wrong = open_ = 0
    for plan in plans:
        renderer = Renderer(plan)
        pictures = [_through_jpeg(frame.rgb) for frame in renderer]
        location, angles = rotator_of_pose(Z_UP_TO_OURS @ renderer.c2w)
        for name in IN_USE:
            stored = angles[:, [("pitch", "yaw", "roll").index(one) for one in name.split("_")]]
            candidates = {one: poses_in_order(location, stored, one) for one in ORDERS}
            began = time.process_time()
            fit = fit_order(lambda i, pictures=pictures: pictures[i], candidates, (plan.width, plan.height), plan.fps)
            seconds = time.process_time() - began
            sure = fit.clear or len(fit.best) == len(ORDERS)
            right += sure and name in fit.best
            wrong += sure and name not in fit.best
            open_ += not sure
            best = "all" if len(fit.best) == len(ORDERS) else ", ".join(fit.best) or "nothing matches"
            if not sure:
                best = f"unclear ({best})"
            print(
                f"{plan.name:<28} {plan.kind:<12} {name:<16} {best:<34} {fit.median_px:6.2f} {fit.second_px:8.2f} "
                f"{fit.hfov_deg:6.1f} {plan.fov_deg:6.1f}  {seconds:5.1f}"
            )
    total = len(plans) * len(IN_USE)
    print(f"found {right} of {total}, wrong {wrong}, left open {open_}; one fixed order is right for {total // 3}")


def _through_jpeg(rgb: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def visibility(plans: list[WorldPlan]) -> None:
    ways: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, WorldPlan], np.ndarray]] = {
        "boxes alone": lambda box, pixels, far, plan: box_visibility(box, plan.width, plan.height),
        "masks": lambda box, pixels, far, plan: mask_visibility(box, pixels, plan.width, plan.height, plan.fps),
        "masks with a depth pass": lambda box, pixels, far, plan: mask_visibility(
            box, pixels, plan.width, plan.height, plan.fps, far
        ),
    }
    errors: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    flips = dict.fromkeys(ways, 0)
    people = 0
    for plan in plans:
        frames = list(Renderer(plan))
        for number in range(1, len(plan.subjects) + 1):
            box, pixels, far = _seen(frames, number, plan)
            if not pixels.any():
                continue
            people += 1
            truth = np.array([frame.visibility[number - 1] for frame in frames])
            for name, way in ways.items():
                found = way(box, pixels, far, plan)
                errors[name].append(np.abs(found - truth))
                flips[name] += int(((found >= 0.1) != (truth >= 0.1)).sum())
    print(f"{people} people in {len(plans)} worlds, {SETTINGS['frames']} frames each")
    print(f"{'':<26} {'mean error':>10} {'95 %':>6} {'flips':>6}")
    for name, parts in errors.items():
        error = np.concatenate(parts)
        print(f"{name:<26} {error.mean():10.3f} {np.percentile(error, 95):6.2f} {flips[name]:6d}")


def _seen(frames: list[Frame], number: int, plan: WorldPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box, pixels and distance of one person per frame, from masks and depth."""
    masks = SubjectMasks(plan.width, plan.height)
    pixels, far = np.zeros(len(frames)), np.full(len(frames), np.nan)
    for i, frame in enumerate(frames):
        mask = frame.mask == number
        masks.add({"": mask})
        pixels[i] = mask.sum()
        far[i] = np.median(frame.depth[mask]) if mask.any() else np.nan
    return masks.subjects(plan.fps, "").box[0], pixels, far


PARTS: dict[str, Callable[[list[WorldPlan]], None]] = {"order": order, "visibility": visibility}

if __name__ == "__main__":
    main()
