"""A person made of parts: what they look like, standing at rest."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.synth.geometry import Patch
from worldloom.synth.materials.fabrics import cloth, leather, plaid, printed, stripes
from worldloom.synth.materials.noise import Colour, Material, Sheet, fractal, modulate, plain, vary
from worldloom.synth.shapes import ball, loft

PARTS = (
    "pelvis",
    "torso",
    "head",
    "left_thigh",
    "left_shin",
    "left_foot",
    "right_thigh",
    "right_shin",
    "right_foot",
    "left_arm",
    "left_forearm",
    "left_hand",
    "right_arm",
    "right_forearm",
    "right_hand",
)
"""Rigid parts; each hangs at its joint with the limb along -z. A body faces +x, its left is +y."""

SKIN: list[Colour] = [
    (0.94, 0.76, 0.64),
    (0.87, 0.66, 0.51),
    (0.72, 0.50, 0.36),
    (0.52, 0.35, 0.25),
    (0.40, 0.27, 0.20),
]
HAIR: list[Colour] = [
    (0.12, 0.09, 0.07),
    (0.30, 0.19, 0.11),
    (0.62, 0.44, 0.22),
    (0.52, 0.24, 0.12),
    (0.62, 0.60, 0.58),
]
TOPS: list[Colour] = [
    (0.78, 0.18, 0.16),
    (0.16, 0.36, 0.66),
    (0.93, 0.74, 0.20),
    (0.20, 0.52, 0.34),
    (0.88, 0.86, 0.80),
    (0.55, 0.25, 0.50),
    (0.90, 0.48, 0.20),
    (0.25, 0.55, 0.62),
]
TROUSERS: list[Colour] = [
    (0.20, 0.27, 0.42),
    (0.16, 0.16, 0.18),
    (0.55, 0.46, 0.34),
    (0.33, 0.36, 0.26),
    (0.42, 0.42, 0.46),
]

HIP, KNEE, ANKLE = 0.52, 0.285, 0.045
"""Heights of the joints as shares of the body's height; the soles are at 0."""
SHOULDER, NECK = 0.815, 0.86
UPPER_ARM, FOREARM = 0.172, 0.146
HIP_HALF, SHOULDER_HALF = 0.052, 0.118


@dataclass(frozen=True)
class Body:
    """Parts at rest.

    Attributes:
        height_m: of the person.
        patches: surfaces, in the frame of their part.
        part: for each patch, index into `PARTS`.
        skirt: wears a skirt, so that the legs swing less.
    """

    height_m: float
    patches: list[Patch]
    part: list[int]
    skirt: bool


def _face(skin: Colour, hair: Colour) -> Material:
    """The unrolled head: hair behind and on top, a face around u = 0.75 (where +x is)."""

    def paint(sheet: Sheet) -> np.ndarray:
        picture = modulate(plain(sheet, skin), fractal(sheet, 0.1, 0.8), 0.04)
        height, width = sheet.height, sheet.width

        def at(u: float, v: float) -> tuple[int, int]:
            return int(u * width), int(v * height)

        def blob(u: float, v: float, ru: float, rv: float, colour: Colour) -> None:
            cv2.ellipse(picture, at(u, v), (max(1, int(ru * width)), max(1, int(rv * height))), 0, 0, 360, colour, -1)

        warm = (min(1.0, skin[0] * 1.02), skin[1] * 0.82, skin[2] * 0.78)
        for side in (-1, 1):
            blob(0.75 + side * 0.075, 0.64, 0.035, 0.05, warm)
            blob(0.75 + side * 0.052, 0.50, 0.026, 0.028, (0.95, 0.94, 0.92))
            blob(0.75 + side * 0.050, 0.50, 0.013, 0.026, (0.16, 0.12, 0.10))
            brow = (hair[0] * 0.8, hair[1] * 0.8, hair[2] * 0.8)
            cv2.line(picture, at(0.75 + side * 0.025, 0.435), at(0.75 + side * 0.08, 0.43), brow, max(1, height // 36))
        blob(0.75, 0.72, 0.036, 0.018, (skin[0] * 0.75, skin[1] * 0.45, skin[2] * 0.42))
        edge = 0.36 + 0.02 * fractal(sheet, 0.03, 0.9)[0]
        u = np.arange(width) / width
        off = np.minimum(np.abs(u - 0.75), 1 - np.abs(u - 0.75))
        line = np.where(off < 0.115, edge, np.where(off < 0.17, 0.62, 0.80))
        rows = np.arange(height)[:, None] / height
        strands = np.asarray(hair, np.float32) * (1 + 0.25 * fractal(sheet, 0.05, 0.9))[..., None]
        return np.clip(np.where((rows < line)[..., None], strands, picture), 0.02, 1.0)

    return paint


def _top(rng: np.random.Generator, colour: Colour) -> Material:
    other = TOPS[int(rng.integers(len(TOPS)))]
    choice = int(rng.integers(4))
    if choice == 0:
        return stripes([colour, colour, other, (0.9, 0.88, 0.82)], 0.05, upright=False)
    if choice == 1:
        return plaid([colour, other, vary(rng, colour, 0.4)], 0.06)
    if choice == 2:
        return printed(colour, [other, (0.92, 0.9, 0.85)], 0.018, 700)
    return cloth(colour, 0.10)


def make_body(rng: np.random.Generator, height_m: float) -> Body:
    """A person in clothes drawn from `rng`."""
    h, broad = height_m, 0.94 + 0.16 * rng.random()
    skin, hair = SKIN[int(rng.integers(len(SKIN)))], HAIR[int(rng.integers(len(HAIR)))]
    shirt = _top(rng, TOPS[int(rng.integers(len(TOPS)))])
    skirt = bool(rng.random() < 0.3)
    legs = cloth(TROUSERS[int(rng.integers(len(TROUSERS)))], 0.12)
    bare, shoe = cloth(skin, 0.03), leather(vary(rng, (0.28, 0.18, 0.13), 0.6))
    sleeve = shirt if rng.random() < 0.6 else bare
    patches: list[Patch] = []
    part: list[int] = []

    def add(name: str, *items: Patch) -> None:
        patches.extend(items)
        part.extend([PARTS.index(name)] * len(items))

    def limb(top: float, bottom: float, length: float, material: Material) -> Patch:
        rings = [(0.022 * h, 0.3 * top, 0.3 * top), (0.012 * h, 0.8 * top, 0.8 * top), (-0.01 * h, top, top)]
        rings += [(-0.4 * length, (0.45 * top + 0.55 * bottom) * 1.04, (0.45 * top + 0.55 * bottom) * 1.04)]
        rings += [
            (-length, bottom, bottom),
            (-length - 0.6 * bottom, 0.6 * bottom, 0.6 * bottom),
            (-length - 0.9 * bottom, 0, 0),
        ]
        return loft(rings, material, 12)

    hips = [
        (0.02, 0.060, 0.084),
        (0.0, 0.068, 0.094),
        (-0.03, 0.070, 0.098),
        (-0.06, 0.055, 0.080),
        (-0.08, 0.02, 0.03),
    ]
    thin = 0.85 if skirt else 1.0
    add("pelvis", loft([(z * h, x * h * broad * thin, y * h * broad * thin) for z, x, y in hips], legs, 16, 2.4))
    chest = [
        (0.355, 0.022, 0.026),
        (0.338, 0.034, 0.050),
        (0.318, 0.050, 0.098),
        (0.295, 0.060, 0.116),
        (0.25, 0.068, 0.114),
        (0.17, 0.066, 0.104),
        (0.09, 0.060, 0.092),
        (0.03, 0.071, 0.099),
        (-0.02, 0.081, 0.109),
        (-0.045, 0.083, 0.111),
        (-0.046, 0.070, 0.098),
    ]
    add("torso", loft([(z * h, x * h * broad, y * h * broad) for z, x, y in chest], shirt, 18, 2.3))
    add("torso", loft([(0.40 * h, 0.030 * h, 0.030 * h), (0.33 * h, 0.036 * h, 0.036 * h)], bare, 10))
    if skirt:
        cut = [
            (0.06, 0.068, 0.095),
            (0.0, 0.084, 0.110),
            (-0.05, 0.092, 0.116),
            (-0.14, 0.106, 0.125),
            (-0.235, 0.128, 0.142),
        ]
        add(
            "pelvis",
            loft(
                [(z * h, x * h * broad, y * h * broad) for z, x, y in cut],
                _top(rng, TOPS[int(rng.integers(len(TOPS)))]),
                18,
            ),
        )
    add("head", *_head(rng, h, skin, hair))
    for side in ("left", "right"):
        add(f"{side}_thigh", limb(0.056 * h * broad, 0.037 * h, (HIP - KNEE) * h, bare if skirt else legs))
        add(f"{side}_shin", limb(0.037 * h, 0.024 * h, (KNEE - ANKLE) * h, bare if skirt else legs))
        add(f"{side}_foot", ball((0.078 * h, 0.027 * h, 0.024 * h), (0.036 * h, 0, -0.021 * h), shoe, 12, 2.8))
        add(f"{side}_arm", limb(0.032 * h * broad, 0.024 * h, UPPER_ARM * h, shirt))
        add(f"{side}_forearm", limb(0.025 * h, 0.017 * h, FOREARM * h, sleeve))
        add(f"{side}_hand", ball((0.014 * h, 0.022 * h, 0.046 * h), (0, 0, -0.042 * h), bare, 10))
    if rng.random() < 0.35:
        bag = cloth(TOPS[int(rng.integers(len(TOPS)))], 0.12)
        add("torso", ball((0.055 * h, 0.085 * h, 0.12 * h), (-0.105 * h, 0, 0.2 * h), bag, 14, 3.5))
    return Body(h, patches, part, skirt)


def _head(rng: np.random.Generator, h: float, skin: Colour, hair: Colour) -> list[Patch]:
    skull = [
        (0.130, 0.0, 0.0),
        (0.127, 0.025, 0.021),
        (0.115, 0.045, 0.037),
        (0.090, 0.056, 0.045),
        (0.060, 0.057, 0.046),
        (0.030, 0.052, 0.042),
        (0.010, 0.043, 0.033),
        (0.0, 0.030, 0.022),
        (-0.006, 0.0, 0.0),
    ]
    patches = [loft([(z * h, x * h, y * h, 0.006 * h) for z, x, y in skull], _face(skin, hair), 18, detail=1.6)]
    patches.append(ball((0.010 * h, 0.008 * h, 0.011 * h), (0.064 * h, 0, 0.052 * h), cloth(skin, 0.02), 8))
    locks = cloth(hair, 0.25)
    style = rng.random()
    if style < 0.3:  # long hair
        fall = [
            (0.128, 0.03, 0.03),
            (0.10, 0.056, 0.052),
            (0.05, 0.050, 0.056),
            (-0.03, 0.035, 0.056),
            (-0.07, 0.02, 0.04),
        ]
        patches.append(loft([(z * h, x * h, y * h, -0.018 * h) for z, x, y in fall], locks, 14))
    elif style < 0.5:  # a bun
        patches.append(ball((0.026 * h,) * 3, (-0.062 * h, 0, 0.105 * h), locks, 10))
    elif style < 0.75:  # a hat
        felt = cloth(vary(rng, TOPS[int(rng.integers(len(TOPS)))], 0.3), 0.06)
        rings = [
            (0.155, 0.0, 0.0),
            (0.150, 0.042, 0.036),
            (0.108, 0.062, 0.052),
            (0.106, 0.105, 0.092),
            (0.100, 0.105, 0.092),
            (0.099, 0.05, 0.05),
        ]
        patches.append(loft([(z * h, x * h, y * h) for z, x, y in rings], felt, 18))
    return patches
