"""What poses cost and how true they are: rendered clips of 5 s, one per kind of motion, 480 x 272, one thread.

    python benchmarks/pose.py [kind ...]

Baseline: plain pycolmap on the same frames in this run: its own features (SIFT), sequential matching, incremental
mapping, all with default options on one thread. Published beside it (2 cores, loaded): 163 s for 77 frames at 832x480.
Seconds are CPU seconds, decoding left out. ATE is in percent of the path; in place of it stands what else came out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pycolmap

from worldloom.annotators.annotator import Given
from worldloom.annotators.path_measures import ate
from worldloom.annotators.pose.annotator import PoseAnnotator
from worldloom.catalogs.clip import Clip
from worldloom.synth.plan import WorldPlan
from worldloom.synth.planner import plan_worlds
from worldloom.synth.render import render_world


def one_per_kind(kinds: list[str]) -> list[WorldPlan]:
    """The first plan of each kind of motion among those of the scorecard."""
    first = {plan.kind: plan for plan in reversed(plan_worlds(20))}
    return [plan for kind, plan in sorted(first.items()) if not kinds or kind in kinds]


def ours(pictures: list[np.ndarray], folder: Path, truth: Clip) -> tuple[float, str]:
    """CPU seconds, and what came out."""
    began = time.process_time()
    answer = PoseAnnotator().look(pictures, 1.0, 1.0, folder)
    seconds = time.process_time() - began
    if not isinstance(answer, Given):
        return seconds, answer.reason
    camera = answer.value
    if camera.scale == "none":
        return seconds, answer.notes["motion"]
    return seconds, _percent(camera.c2w, truth, camera.scale_group)


def plain(pictures: list[np.ndarray], folder: Path, truth: Clip) -> tuple[float, str]:
    """The same of pycolmap with its defaults."""
    for number, gray in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:04d}.png"), gray)
    database = folder / "plain.db"
    began = time.process_time()
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    pycolmap.extract_features(database, folder, camera_mode=pycolmap.CameraMode.SINGLE, extraction_options=extraction)
    pycolmap.match_sequential(database, matching_options=pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False))
    options = pycolmap.IncrementalPipelineOptions(num_threads=1, random_seed=0)
    found = pycolmap.incremental_mapping(database, folder, folder, options)
    seconds = time.process_time() - began
    if not found:
        return seconds, "no model"
    model = max(found.values(), key=lambda one: one.num_reg_images())
    c2w = np.full((len(pictures), 4, 4), np.nan)
    for image in (model.images[number] for number in model.reg_image_ids()):
        c2w[int(Path(image.name).stem)] = np.eye(4)
        c2w[int(Path(image.name).stem), :3] = image.cam_from_world().inverse().matrix()
    return seconds, _percent(c2w, truth, np.zeros(len(c2w), int))


def _percent(c2w: np.ndarray, truth: Clip, groups: np.ndarray) -> str:
    assert truth.camera is not None
    found = ate(c2w, truth.camera.c2w, groups)
    share = f" of {found.frames} frames" if found.frames < len(c2w) else ""
    return f"{found.percent:.2f} %{share}" if np.isfinite(found.percent) else f"invented path{share}"


def main() -> None:
    cv2.setNumThreads(1)
    print(f"{'kind':12}{'ours s':>8}{'plain s':>9}{'ratio':>7}  {'ours ATE':24}plain ATE")
    for plan in one_per_kind(sys.argv[1:]):
        with tempfile.TemporaryDirectory() as scratch:
            room = Path(scratch)
            truth = render_world(plan, room / "clip.mp4")
            with truth.open_frames() as frames:
                pictures = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in frames]
            (room / "ours").mkdir()
            (room / "plain").mkdir()
            seconds, found = ours(pictures, room / "ours", truth)
            baseline, found_plain = plain(pictures, room / "plain", truth)
        ratio = seconds / baseline
        print(f"{plan.kind:12}{seconds:8.1f}{baseline:9.1f}{ratio:7.2f}  {found:24}{found_plain}", flush=True)


if __name__ == "__main__":
    main()
