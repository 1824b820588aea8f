"""Backdrops: what is too far away to be built, painted as a panorama of the sky and the horizon."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.materials.noise import Colour, Sheet, ellipses, fractal, modulate, tint, vary

TOP_DEG, BOTTOM_DEG = 90.0, -30.0
"""Elevations of the panorama's upper and lower edge."""


def sky_colour(
    direction: np.ndarray, zenith: Colour = (0.28, 0.50, 0.85), horizon: Colour = (0.80, 0.86, 0.92)
) -> np.ndarray:
    """(N, 3) radiance of a clear sky along (N, 3) unit vectors; the ground below is a dull green."""
    rise = direction[:, 2:] / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    share = np.clip(rise, 0, 1) ** 0.55
    above = np.asarray(horizon) ** 2 * (1 - share) + np.asarray(zenith) ** 2 * share
    return np.where(rise > 0, above, np.array([[0.16, 0.17, 0.11]], np.float32)).astype(np.float32)


def open_sky(sheet: Sheet) -> np.ndarray:
    """Blue sky with fair-weather clouds."""
    rows = np.linspace(TOP_DEG, BOTTOM_DEG, sheet.height, dtype=np.float32)
    share = (np.clip(np.sin(np.radians(rows)), 0, 1) ** 0.55)[:, None, None]
    top, low = np.array([[0.30, 0.53, 0.87], [0.83, 0.89, 0.94]], np.float32)
    picture = np.ascontiguousarray(np.broadcast_to(low * (1 - share) + top * share, (sheet.height, sheet.width, 3)))
    height = np.clip(rows / 90, 0.02, 1)[:, None]
    clouds = fractal(sheet, 6.0, 0.72, stretch=1.8) + 0.5 * fractal(sheet, 14.0, 0.5)
    clouds[:, -96:] += (clouds[:, :96][:, ::-1] - clouds[:, -96:]) * np.linspace(0, 1, 96, dtype=np.float32)
    body = np.clip((clouds - 0.35) * 1.1, 0, 1) * np.clip(1.5 - height, 0, 1)
    tint(picture, body, (0.98, 0.98, 0.98), 0.95)
    under = np.clip(np.roll(body, -10, 0) - body, 0, 1)
    tint(picture, under, (0.68, 0.72, 0.80), 0.8)
    return picture


def garden_view(sheet: Sheet) -> np.ndarray:
    """Sky above hills, trees and a lawn, as seen from a house."""
    return _horizon(open_sky(sheet), sheet, houses=0)


def town_view(sheet: Sheet) -> np.ndarray:
    """Sky above trees and distant roofs."""
    return _horizon(open_sky(sheet), sheet, houses=130)


def _row(sheet: Sheet, degrees: float) -> int:
    return int((TOP_DEG - degrees) / (TOP_DEG - BOTTOM_DEG) * sheet.height)


def _horizon(picture: np.ndarray, sheet: Sheet, houses: int) -> np.ndarray:
    rng = sheet.rng
    level, degree = _row(sheet, 0), sheet.height / (TOP_DEG - BOTTOM_DEG)
    angle = np.linspace(0, 2 * np.pi, sheet.width)
    for height, colour in ((7.0, (0.56, 0.66, 0.76)), (4.5, (0.46, 0.58, 0.58)), (2.5, (0.36, 0.50, 0.38))):
        ridge = height * (
            1 + 0.35 * sum(np.sin(k * angle + rng.random() * 6.28) / k**0.7 for k in (2, 3, 5, 8, 13)) / 2
        )
        outline = np.stack([np.arange(sheet.width), level - ridge * degree], 1)
        corner = [[sheet.width, sheet.height], [0, sheet.height]]
        cv2.fillPoly(picture, [np.concatenate([outline, corner]).astype(np.int32)], colour)
    for _ in range(houses):
        x, w = int(rng.random() * sheet.width), int((1.5 + 3 * rng.random()) * degree)
        top = level - int((2.0 + 5.0 * rng.random() ** 2) * degree)
        wall = vary(rng, (0.78, 0.70, 0.60), 0.3)
        cv2.rectangle(picture, (x, top), (x + w, level + 30), wall, -1)
        roof = np.array([[x - 3, top], [x + w // 2, top - int(1.2 * degree)], [x + w + 3, top]])
        cv2.fillPoly(picture, [roof], vary(rng, (0.58, 0.33, 0.26), 0.3))
        for k in range(2, w - 4, 9):
            cv2.rectangle(picture, (x + k, top + 6), (x + k + 4, top + 13), (0.3, 0.35, 0.42), -1)
    _far_trees(picture, sheet, level, degree)
    lawn = picture[level + int(0.6 * degree) :]
    lawn[:] = np.asarray((0.36, 0.50, 0.20), np.float32)
    part = Sheet.of(lawn, (60.0, 60.0 * lawn.shape[0] / lawn.shape[1]), rng)
    modulate(lawn, fractal(part, 3.0, 0.8, stretch=3.0), 0.10)
    ground = picture[level - int(3 * degree) :]
    modulate(ground, fractal(Sheet.of(ground, (60.0, 10.0), rng), 0.5, 0.9), 0.05)
    return np.clip(picture, 0, 1)


def _far_trees(picture: np.ndarray, sheet: Sheet, level: int, degree: float) -> None:
    """A belt of trees along the horizon: flecks of leaves, lighter towards the top of each crown."""
    rng, trees, flecks = sheet.rng, 420, 90
    x, size = rng.random(trees) * sheet.width, (0.7 + 1.9 * rng.random(trees) ** 2) * degree
    foot = level + (0.9 * rng.random(trees) - 0.3) * degree
    angle, reach = rng.random((trees, flecks)) * 6.2832, np.sqrt(rng.random((trees, flecks)))
    across = reach * np.cos(angle) * size[:, None] * (0.7 + 0.3 * rng.random((trees, 1)))
    up = reach * np.sin(angle) * size[:, None]
    centre = np.stack([x[:, None] + across, foot[:, None] - 0.9 * size[:, None] + up], -1).reshape(-1, 2)
    hue = np.repeat(rng.random(trees), flecks)
    light = 0.55 - 0.42 * (up / size[:, None]).ravel() + 0.25 * rng.random(trees * flecks)
    axes = (0.10 + 0.16 * rng.random((trees * flecks, 2))) * np.repeat(size, flecks)[:, None]
    outlines = ellipses(
        centre.astype(np.float32), axes.astype(np.float32), rng.random(trees * flecks).astype(np.float32) * 3
    )
    order = np.argsort(light)
    for part in np.array_split(order, 10):
        for warm in (0, 1):
            chosen = part[(hue[part] > 0.5) == bool(warm)]
            base = (0.36, 0.50, 0.20) if warm else (0.26, 0.44, 0.24)
            shade = vary(rng, base, 0.1)
            tone = float(light[chosen].mean()) if len(chosen) else 1.0
            colour = tuple(min(1.0, channel * (0.55 + 0.75 * tone)) for channel in shade)
            for outline in outlines[chosen]:
                cv2.fillConvexPoly(picture, outline, colour, cv2.LINE_8, 3)
