"""The camera path of a clip whose camera only turns."""

from __future__ import annotations

import numpy as np

from worldloom.annotators.annotator import Given
from worldloom.annotators.pose.tracks import Tracks
from worldloom.annotators.pose.turning import Turning, fit_turning, rotation_between, turn_angles_deg, unit_rays
from worldloom.catalogs.clip import Camera

LEAST_SHARED = 12
"""Tracks that carry the rotation from a key frame to another frame (ours)."""
STILL_DEG = 0.02
"""Below it, over the whole clip, a turning camera stands (ours; 0.15 px at a focal length of 420 px)."""


FOCAL_PRIOR = 0.35
"""Standard deviation of the logarithm of the focal length around a guess (ours: 60 degrees, half or double the f)."""


def turn_only(
    tracks: Tracks, keyframes: list[int], size: tuple[int, int], focal: float, prior: float | None, within_px: float
) -> Turning | None:
    """The camera's rotations at key frames if it did not move: its `share` says whether to believe that.

    Args:
        tracks: over all frames.
        keyframes: at least two.
        size: (width, height).
        focal: pixels, first guess.
        prior: of its logarithm; None holds it.
        within_px: tolerance, pixels of a picture 480 wide.
    """
    matches = {}
    for i in range(len(keyframes)):
        for distance in (1, 2, 3, 5, 8, 13, 21, 34):
            if i + distance < len(keyframes):
                _, a, b = tracks.shared(keyframes[i], keyframes[i + distance])
                if len(a) >= LEAST_SHARED:
                    matches[i, i + distance] = (a, b)
    tolerance = within_px * max(size) / 480
    return fit_turning(matches, len(keyframes), size, focal, focal_prior=prior, tolerance_px=tolerance, per_pair=60)


def turned_camera(
    turning: Turning, keyframes: list[int], tracks: Tracks, size: tuple[int, int], sx: float, sy: float
) -> Given:
    """Rotations of all frames: key frames as fitted, the others from the nearest key frame by their tracks."""
    length = len(tracks)
    c2w = np.full((length, 4, 4), np.nan)
    share = np.zeros(length)
    sigma = np.full(length, np.nan)
    tolerance = 1.5 * max(size) / 480 / turning.focal
    anchors = np.array(keyframes)
    for frame in range(length):
        near = int(np.abs(anchors - frame).argmin())
        if anchors[near] == frame:
            turn, share[frame] = turning.c2w[near], turning.share
        else:
            _, a, b = tracks.shared(keyframes[near], frame)
            if len(a) < LEAST_SHARED:
                continue
            rays_a, rays_b = unit_rays(a, size, turning.focal), unit_rays(b, size, turning.focal)
            rotation, fits = rotation_between(rays_a, rays_b, tolerance)
            turn, share[frame] = turning.c2w[near] @ rotation.T, fits.mean()
        c2w[frame] = np.eye(4)
        c2w[frame, :3, :3] = turn
        sigma[frame] = turning.sigma_deg[near]
    valid = np.isfinite(c2w[:, 0, 0])
    still = bool(turn_angles_deg(c2w[valid, :3, :3]).max() < STILL_DEG)
    if still:
        c2w[valid] = np.eye(4)
    width, height = size
    row = np.array([turning.focal * sx, turning.focal * sy, width / 2 * sx, height / 2 * sy])
    camera = Camera(
        c2w=c2w,
        intrinsics=np.tile(row, (length, 1)),
        scale="none",
        confidence=np.where(valid, np.clip(share, 0, 1), 0).astype(np.float32),
        valid=valid,
        translation_known=np.zeros(length, bool),
        scale_group=np.zeros(length, np.int32),
        sigma_rotation_deg=sigma.astype(np.float32),
    )
    notes = {
        "motion": "static" if still else "rotation",
        "registered": int(valid.sum()),
        "key_frames": len(keyframes),
        "turning_share": round(turning.share, 4),
        "focal_px": round(turning.focal * sx, 2),
        "focal_sigma": round(turning.focal_sigma, 4),
    }
    return Given(camera, confidence=float(min(1.0, turning.share) * valid.mean()), notes=notes)
