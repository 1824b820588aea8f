"""Episodes in the layout of EgoDex's release, made from the tables of real ones: 138 float32 datasets, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.formats.egodex import INTRINSICS, read_egodex_csv, read_egodex_hands_csv
from worldloom.catalogs.formats.egodex_hdf5 import JOINTS
from worldloom.catalogs.formats.trajectory import Trajectory

SPINE = ("hip", *(f"spine{i}" for i in range(1, 8)), *(f"neck{i}" for i in range(1, 5)))
ARMS = tuple(f"{side}{part}" for side in ("left", "right") for part in ("Shoulder", "Arm", "Forearm"))
BODY = (*SPINE, *ARMS, *JOINTS)
"""The 68 joints."""

ATTRIBUTES: dict[str, Any] = {
    "task": "add_remove_lid",
    "llm_description": "Put the lid onto the jar with the left hand.",
    "llm_description2": "Take the lid off the jar with the left hand.",
    "which_llm_description": "2",
    "llm_type": "reversible",
    "llm_verbs": ["put", "take"],
    "llm_objects": ["lid", "jar"],
    "environment": "table",
    "object": "jar",
    "session_name": "session 1",
    "annotated": True,
    "annotator_version": 3,
    "extra": "None",
    "description": "put the lid on",
    "description2": "take the lid off",
    "type": "reversible",
}


def write_layout(
    path: Path,
    camera: Trajectory,
    joints: Mapping[str, np.ndarray],
    *,
    attributes: Mapping[str, Any] = ATTRIBUTES,
    confidences: bool = True,
    intrinsic: bool = True,
) -> Path:
    """One episode.

    Args:
        path: of the file to write.
        camera: its c2w stands in the file as it is.
        joints: (T, 3) in the world by name; those of the 68 that are not given are put below the camera.
        attributes: of the root.
        confidences: leave them out, as some files do.
        intrinsic: leave the numbers of the camera matrix out, (0, 3), as files of part1 do.
    """
    import h5py

    frames = len(camera)
    fx, fy, cx, cy = INTRINSICS
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    with h5py.File(path, "w") as file:
        file["camera/intrinsic"] = k if intrinsic else np.zeros((0, 3), np.float32)
        file["transforms/camera"] = camera.c2w.astype(np.float32)
        for name in BODY:
            pose = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
            pose[:, :3, 3] = joints.get(name, camera.c2w[:, :3, 3] - (0, 0.3, 0))
            file[f"transforms/{name}"] = pose
            if confidences:
                file[f"confidences/{name}"] = np.where(np.arange(frames) % 5 == 4, 0.003, 0.9).astype(np.float32)
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def from_tables(camera_csv: Path, hands_csv: Path) -> tuple[Trajectory, dict[str, np.ndarray]]:
    """Camera and joints in the world of a real episode."""
    camera = read_egodex_csv(camera_csv)
    hands = read_egodex_hands_csv(hands_csv, camera)
    world = np.einsum("tij,tkj->tki", camera.c2w[:, :3, :3], hands.joints) + camera.c2w[:, None, :3, 3]
    return camera, {name: world[:, i] for i, name in enumerate(hands.names)}
