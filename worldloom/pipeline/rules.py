"""Conditions ready to use: what most people would not train on, each under its own reason.

They ask for figures of `quality` (see `worldloom.annotators.quality` for what each means); all thresholds are ours, set
so that the real clips this project was tested on pass, and made-up bad ones do not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One condition that a clip has to meet.

    Attributes:
        condition: over figures, as in `compose.where`.
        why: what is wrong with a clip that does not.
        needs: operations whose figures it asks for.
    """

    condition: str
    why: str
    needs: tuple[str, ...] = ("quality",)


RULES = {
    "too_dark": Rule("quality.dark < 0.6", "most of the picture is under luma 20 of 255"),
    "burnt_out": Rule("quality.burnt < 0.4", "much of the picture is over luma 250 of 255"),
    "no_contrast": Rule("quality.contrast > 0.04", "fog, a wall, a lens cap"),
    "blurred": Rule("quality.sharpness > 0.3", "out of focus, or blown up from a picture 45 lines high"),
    "static": Rule("quality.static < 0.9", "nothing moves nine tenths of the time: a still, a slide show"),
    "letterboxed": Rule("quality.borders < 0.05", "black bars or a frame around the picture"),
    "overlaid_text": Rule("quality.text < 0.004", "captions, a watermark, a clock over the moving picture"),
    "too_fast": Rule("quality.motion < 1.5", "half of the picture passes by faster than 1.5 widths per second"),
    "flickers": Rule("quality.flicker < 0.06", "its light goes up and down from frame to frame"),
    "interlaced": Rule("quality.interlaced < 0.5", "combed: two fields of different moments in one frame"),
    "has_cuts": Rule("quality.cuts = 0", "a hard cut is left inside", ("shots",)),
}
"""Every rule by the reason it drops a clip for, in the order in which they are asked."""

SETS = {
    "default": (
        "too_dark",
        "burnt_out",
        "no_contrast",
        "blurred",
        "static",
        "letterboxed",
        "overlaid_text",
        "too_fast",
    ),
    "light": ("too_dark", "burnt_out", "no_contrast", "flickers"),
    "picture": ("blurred", "letterboxed", "overlaid_text", "interlaced"),
    "motion": ("static", "too_fast"),
}  # fmt: skip
"""Several rules under one name."""


def expanded(names: tuple[str, ...]) -> dict[str, Rule]:
    """Rules by their reason, in the order of `RULES`; names of sets stand for theirs.

    Raises:
        KeyError: an unknown name.
    """
    wanted = {one for name in names for one in SETS.get(name, (name,))}
    if unknown := wanted - RULES.keys():
        raise KeyError(min(unknown))
    return {name: rule for name, rule in RULES.items() if name in wanted}
