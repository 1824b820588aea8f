"""HM-World: what lies beside the two clips of a sample: masks, check.json, character.json, caption.txt.

check.json is {"cond_check": {actor: {character: [{"frame": 0, "inFrame": true}, ...]}}, "tgt_check": {...}}. The
schema of character.json is not published, so it is kept as it stands.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import read_json, read_text, write_json

Part = Literal["cond", "tgt"]
PARTS: tuple[Part, Part] = ("cond", "tgt")

MAX_TEXT = 1000
MAX_FRAMES = 100_000
MAX_CHARACTERS = 64
"""Of one sample (ours; released samples have 1 to 3)."""


@dataclass(frozen=True)
class Check:
    """What check.json says about one clip.

    Attributes:
        actors: names of the actors.
        characters: names of the characters, in the same order.
        in_frame: (characters, T) bool, by frame number.
    """

    actors: list[str]
    characters: list[str]
    in_frame: np.ndarray


def read_check(path: str | Path, part: Part) -> Check:
    """Who is in the picture when.

    Raises:
        BadInput: `bad_check`, naming actor, character and entry; or a file that cannot be read.
    """
    value = read_json(path)
    actors = value.get(f"{part}_check") if isinstance(value, dict) else None
    if not isinstance(actors, dict):
        raise BadInput("bad_check", f"a mapping with '{part}_check' expected", where=path)
    found: list[tuple[str, str, dict[int, bool]]] = []
    for actor, characters in actors.items():
        if not isinstance(characters, dict):
            raise BadInput("bad_check", f"{part}_check.{actor[:60]} is no mapping of characters", where=path)
        for character, entries in characters.items():
            found.append((actor, character, _entries(entries, f"{part}_check.{actor[:60]}.{character[:60]}", path)))
            if len(found) > MAX_CHARACTERS:
                raise BadInput("bad_check", f"more than {MAX_CHARACTERS} characters", where=path)
    numbers = sorted({number for _, _, by_frame in found for number in by_frame})
    first = numbers[0] if numbers else 0
    in_frame = np.zeros((len(found), numbers[-1] - first + 1 if numbers else 0), bool)
    for row, (_, _, by_frame) in zip(in_frame, found, strict=True):
        for number, inside in by_frame.items():
            row[number - first] = inside
    return Check([one[0] for one in found], [one[1] for one in found], in_frame)


def _entries(entries: Any, name: str, path: str | Path) -> dict[int, bool]:
    if not isinstance(entries, list):
        raise BadInput("bad_check", f"{name} is no list of frames", where=path)
    by_frame: dict[int, bool] = {}
    for i, entry in enumerate(entries):
        frame = entry.get("frame") if isinstance(entry, dict) else None
        inside = entry.get("inFrame") if isinstance(entry, dict) else None
        if not isinstance(frame, int) or isinstance(frame, bool) or not isinstance(inside, bool):
            raise BadInput("bad_check", f'{name} entry {i} is not {{"frame": 0, "inFrame": true}}', where=path)
        if not 0 <= frame < MAX_FRAMES or frame in by_frame:
            raise BadInput(
                "bad_check", f"{name} entry {i}: frame {str(frame)[:20]} is there twice or no frame", where=path
            )
        by_frame[frame] = inside
    return by_frame


def write_check(path: str | Path, checks: dict[Part, Check]) -> None:
    """Write what `read_check` reads."""
    value: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    for part, check in checks.items():
        actors = value.setdefault(f"{part}_check", {})
        for actor, character, row in zip(check.actors, check.characters, check.in_frame, strict=True):
            entries = [{"frame": i, "inFrame": bool(inside)} for i, inside in enumerate(row)]
            actors.setdefault(actor, {})[character] = entries
    write_json(path, value)


def red_mask(rgb: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a mask's picture is red, after the authors' rule (H of 180 at most 10 or from 160 on, S and V
    from 100 on)."""
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    return np.asarray(((hue <= 10) | (hue >= 160)) & (saturation >= 100) & (value >= 100))


def character_text(path: str | Path) -> str:
    """character.json in one line, cut to a length that fits into a catalog; what is wrong with it, where it is no JSON.

    Nobody has published what is in it, so nothing about it ends a sample.
    """
    try:
        return json.dumps(read_json(path), ensure_ascii=False, separators=(",", ":"))[:MAX_TEXT]
    except BadInput as error:
        return f"unreadable: {error.message}"[:MAX_TEXT]


def read_captions(path: str | Path) -> dict[str, str]:
    """Captions by what stands before the first tab (or blank after `.mp4`), `\\` as `/`, without its ending.

    The form of the released file is not published; this is the authors' own of an earlier one: `<path>.mp4`, a tab,
    the text. Other lines are left out.
    """
    captions: dict[str, str] = {}
    for line in read_text(path).splitlines():
        found = re.match(r"\s*(\S.*?)(?:\.mp4\s+|\t+)(\S.*)", line)
        if found:
            captions[found[1].replace("\\", "/").removesuffix(".mp4").strip("/")] = found[2].strip()
    return captions
