"""From a plan's actions to the camera's path: speeds with soft changes, and poses by the midpoint rule."""

from __future__ import annotations

import numpy as np

from worldloom.catalogs.actions import command_motion, integrate_midpoint
from worldloom.synth.plan import WorldPlan

UP = np.array([0.0, 0.0, 1.0])
"""Against gravity; rendered worlds have z up and metres."""


def commanded_motion(plan: WorldPlan) -> np.ndarray:
    """(T, 4) motion per step (right, forward m/s; yaw right, pitch up deg/s); the last row is zero.

    Speeds change over `plan.ramp_s` by half a cosine, so a camera has no jerk and its truth has short uncertain
    stretches, as a person's has.
    """
    motion = np.zeros((plan.frames, 4))
    first = 0
    for segment in plan.camera:
        speed = command_motion(segment.move, segment.view, segment.speed_m_s, segment.turn_deg_s)
        motion[first : first + segment.frames] = speed
        first += segment.frames
    width = round(plan.ramp_s * plan.fps)
    if width > 1 and plan.frames > 1:
        kernel = np.hanning(width + 2)[1:-1]
        kernel /= kernel.sum()
        before = (len(kernel) - 1) // 2
        padded = np.pad(motion[:-1], ((before, len(kernel) - 1 - before), (0, 0)), mode="edge")
        motion[:-1] = np.stack([np.convolve(padded[:, k], kernel[::-1], mode="valid") for k in range(4)], -1)
    return motion


def start_pose(plan: WorldPlan) -> np.ndarray:
    """(4, 4) camera to world at frame 0, without roll."""
    heading, pitch = np.radians(plan.heading_deg), np.radians(plan.pitch_deg)
    forward = np.array([np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], -1)
    pose[:3, 3] = plan.position
    return pose


def camera_path(plan: WorldPlan) -> tuple[np.ndarray, np.ndarray]:
    """Poses (T, 4, 4) and the motion (T, 4) they come from."""
    motion = commanded_motion(plan)
    return integrate_midpoint(motion, plan.fps, start_pose(plan), UP), motion
