"""What Movie Render Queue leaves in a folder: numbered pictures, passes beside them, depth and object ids in them.

Pictures are named by the queue's own template (`{sequence_name}.{frame_number}`); a pass lies in a folder of its name,
in pictures with its name in theirs, or in layers of the picture itself (multilayer EXR).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from worldloom.catalogs.config import Strict, nearest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.cryptomatte import read_cryptomatte
from worldloom.catalogs.formats.exr import exr_info, read_exr, read_exr_rgb

PICTURES = (".png", ".exr", ".jpeg", ".jpg", ".bmp")
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")

_TOKENS = {
    "sequence": r"(?P<sequence>.+?)",
    "sequence_name": r"(?P<sequence>.+?)",
    "frame": r"(?P<frame>-?\d{1,9})",
    "frame_number": r"(?P<frame>-?\d{1,9})",
    "pass": r"(?P<pass>\w+?)",
    "render_pass": r"(?P<pass>\w+?)",
    "shot_name": r"\w+?",
    "camera_name": r"\w+?",
}
"""Words of the template and what they stand for: ours, and those of the queue's own File Name Format."""

DepthMeasure = Literal["z", "distance"]
SKY_CM = 65_504.0
"""Where a half float ends; the sky, and all beyond 655 m in a 16-bit EXR, has this value or infinity."""


class DepthPass(Strict):
    """Where depth lies and what its numbers are.

    Attributes:
        name: of the pass (`WorldDepth`, `SceneDepth`).
        measure: `z` along the optical axis, or `distance` from the camera. Which of them a material of the queue
            writes is its author's choice; the source checks it against the geometry where the camera moves.
        unit_cm: length of 1.0 in the file, centimetres.
        farthest_m: beyond it there is no depth, e.g. the sky.
        frames: of a shot that depth is kept for, spread evenly.
        height: of the kept maps at most, pixels.
    """

    name: str = "WorldDepth"
    measure: DepthMeasure = "z"
    unit_cm: float = Field(default=1.0, gt=0)
    farthest_m: float = Field(default=1000.0, gt=0)
    frames: int = Field(default=10, ge=1, le=100)
    height: int = Field(default=240, ge=16, le=1080)


class IdPass(Strict):
    """Where object ids lie and who is a subject.

    Attributes:
        name: of the pass (`ObjectId`, a stencil layer, `ActorHitProxyMask` for Cryptomatte).
        kind: `colour` (one colour per object, 8 bits), `number` (a channel of whole numbers, 0 is nobody; Custom
            Stencil), or `cryptomatte`.
        subjects: what makes a subject, to its label: a colour (`#ff0000`), a number (`3`), or a name as of a shell
            (`BP_Person*`). Without any, every colour but black, or every number but 0, is one.
        within: levels (of 255) by which a channel may differ from a colour named here.
    """

    name: str = "ObjectId"
    kind: Literal["colour", "number", "cryptomatte"] = "colour"
    subjects: dict[str, str] = Field(default_factory=dict)
    within: int = Field(default=8, ge=0, le=64)

    @field_validator("subjects")
    @classmethod
    def _readable(cls, value: dict[str, str], info: Any) -> dict[str, str]:
        kind = info.data.get("kind")
        for key in value:
            if kind == "colour" and not re.fullmatch(r"#[0-9a-fA-F]{6}", key):
                raise ValueError(f"'{key}' is no colour, write it as #ff0000")
            if kind == "number" and not re.fullmatch(r"\d{1,9}", key):
                raise ValueError(f"'{key}' is no whole number")
        if kind == "cryptomatte" and not value:
            raise ValueError("cryptomatte needs subjects: names, or patterns of names, and their labels")
        return value


@dataclass(eq=False)
class Numbered:
    """Pictures of one sequence and pass: number to file, and every file that has a number taken already."""

    files: dict[int, Path] = field(default_factory=dict)
    doubled: list[tuple[Path, Path]] = field(default_factory=list)

    def add(self, number: int, path: Path) -> None:
        """A further picture."""
        if number in self.files:
            self.doubled.append((self.files[number], path))
        else:
            self.files[number] = path

    @property
    def numbers(self) -> list[int]:
        """Ascending."""
        return sorted(self.files)

    def problem(self) -> tuple[str, str] | None:
        """Why these are no footage: a number that is there twice or missing."""
        if self.doubled:
            first, second = self.doubled[0]
            what = f"{first.name} and {second.name} have one number ({len(self.doubled)} such); keep one of them"
            return "doubled_frames", what
        numbers = self.numbers
        if gap := first_missing(numbers):
            number, count = gap
            what = f"{count} pictures are missing between {numbers[0]} and {numbers[-1]}, the first is {number}"
            return "missing_frames", f"{what}; render them again"
        return None


def first_missing(numbers: Sequence[int]) -> tuple[int, int] | None:
    """The first number that is missing between the first and the last, and how many are; None where none is.

    Args:
        numbers: ascending, different; two names of files may lie a thousand million apart, so none are made in between.
    """
    count = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    if not count:
        return None
    return next(one + 1 for one, following in pairwise(numbers) if following != one + 1), count


def name_pattern(template: str) -> re.Pattern[str]:
    """What a picture's name without its ending must look like.

    Raises:
        ValueError: an unknown word in braces, or no {frame}.
    """
    parts = re.split(r"\{(\w+)\}", template)
    pattern, seen = "", set[str]()
    for i, part in enumerate(parts):
        if i % 2 == 0:
            pattern += re.escape(part)
            continue
        if part not in _TOKENS:
            raise ValueError(f"unknown word '{{{part}}}'{nearest(part, sorted(_TOKENS))}")
        group = re.match(r"\(\?P<(\w+)>", _TOKENS[part])
        if group and group[1] in seen:
            pattern += rf"(?P={group[1]})"
        else:
            pattern += _TOKENS[part]
            seen |= {group[1]} if group else set()
    if "frame" not in seen:
        raise ValueError("the template needs {frame} (or {frame_number})")
    return re.compile(pattern)


def read_rgb(path: Path, layer: str | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of a picture of any of `PICTURES`.

    Raises:
        BadInput: `bad_picture`, or as `read_exr_rgb`.
    """
    import cv2

    if path.suffix.lower() == ".exr":
        return read_exr_rgb(path, layer)
    try:
        data = np.fromfile(path, np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    except (OSError, cv2.error) as error:
        raise BadInput("bad_picture", f"cannot be read ({str(error)[:100]})", where=path) from None
    if bgr is None:
        raise BadInput("bad_picture", "does not decode", where=path)
    return np.ascontiguousarray(bgr[..., ::-1])


def pass_channel(path: Path, name: str, own: Sequence[str] = ("Z", "R", "V", "Y")) -> str:
    """Full name of a pass's channel: of the layer whose name ends like the pass, else of a file that is the pass.

    Raises:
        BadInput: `exr_no_channel`.
    """
    info = exr_info(path)
    layers = info.layers()
    ends = [layer for layer in layers if layer and layer.lower().endswith(name.lower())]
    bare = [layer for layer in layers if not layer]
    for layer in [*sorted(ends, key=len), *bare]:
        for channel in own:
            if channel in layers[layer]:
                return f"{layer}.{channel}" if layer else channel
    raise BadInput(
        "exr_no_channel", f"no layer of it ends in '{name}' (layers: {', '.join(sorted(layers))[:200]})", where=path
    )


def read_depth(path: Path, rules: DepthPass, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z-depth of one frame, made smaller by picking pixels (a mean would put points between near and far).

    Args:
        path: EXR of the pass, or with the pass among its layers.
        rules: where and what it is.
        intrinsics: (4,) in pixels of the EXR's picture.

    Returns:
        z (h, w) float32 in metres and valid (h, w) bool.

    Raises:
        BadInput: as `read_exr`.
    """
    channel = pass_channel(path, rules.name)
    stored = read_exr(path, [channel])[channel].astype(np.float64)
    height, width = stored.shape
    high = min(height, rules.height)
    wide = max(1, round(width * high / height))
    rows = ((np.arange(high) + 0.5) * height / high).astype(int)
    columns = ((np.arange(wide) + 0.5) * width / wide).astype(int)
    picked = stored[np.ix_(rows, columns)]
    length = picked * rules.unit_cm / 100
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(length) & (length > 0) & (length < rules.farthest_m) & (picked < SKY_CM * 0.9999)
    if rules.measure == "distance":
        fx, fy, cx, cy = intrinsics
        u, v = np.meshgrid(columns + 0.5, rows + 0.5)
        length = length / np.sqrt(1 + ((u - cx) / fx) ** 2 + ((v - cy) / fy) ** 2)
    return np.where(valid, length, 0).astype(np.float32), valid


def read_ids(path: Path, rules: IdPass) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Masks of the subjects of one frame, by the key under which `IdPass.subjects` would name them, and their size.

    Raises:
        BadInput: as `read_exr` or `read_cryptomatte`; `bad_picture`; `too_many_subjects`.
    """
    if rules.kind == "cryptomatte":
        return read_cryptomatte(path, tuple(rules.subjects)), exr_info(path).size
    if rules.kind == "number":
        code = _id_numbers(path, rules)
        wanted = [int(one) for one in rules.subjects] or _present(code, path)
        return {str(one): code == one for one in wanted}, (code.shape[1], code.shape[0])
    rgb = read_rgb(path, None) if path.suffix.lower() != ".exr" else _id_colours(path, rules)
    size = rgb.shape[1], rgb.shape[0]
    if rules.subjects:
        colours = {key: np.array([int(key[i : i + 2], 16) for i in (1, 3, 5)]) for key in rules.subjects}
        near = {key: (np.abs(rgb.astype(np.int16) - one) <= rules.within).all(axis=-1) for key, one in colours.items()}
        return near, size
    code = rgb.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return {f"#{one:06x}": code == one for one in _present(code, path)}, size


def _id_colours(path: Path, rules: IdPass) -> np.ndarray:
    """Id colours of an EXR as they are stored, from 0 to 1, without sRGB's curve."""
    first = pass_channel(path, rules.name, ("R",))
    names = [first[:-1] + one for one in "RGB"]
    channels = read_exr(path, names)
    light = np.stack([channels[name] for name in names], axis=-1)
    return np.asarray((np.clip(np.nan_to_num(light), 0, 1) * 255 + 0.5).astype(np.uint8))


def _id_numbers(path: Path, rules: IdPass) -> np.ndarray:
    import cv2

    if path.suffix.lower() == ".exr":
        channel = pass_channel(path, rules.name)
        stored = read_exr(path, [channel])[channel]
        return np.asarray(np.rint(np.nan_to_num(stored, posinf=0, neginf=0)).astype(np.int64))
    data = np.fromfile(path, np.uint8)
    grey = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if grey is None:
        raise BadInput("bad_picture", "does not decode", where=path)
    return np.asarray((grey if grey.ndim == 2 else grey[..., 2]).astype(np.int64))


def _present(code: np.ndarray, path: Path) -> list[int]:
    from worldloom.catalogs.subject_masks import MAX_SUBJECTS

    found = [int(one) for one in np.unique(code) if one]
    if len(found) > MAX_SUBJECTS:
        what = f"{len(found)} different ids in one picture, more than {MAX_SUBJECTS}"
        raise BadInput("too_many_subjects", what, where=path, remedy="Name the subjects under ids.subjects.")
    return found


def sorted_out(
    files: Iterable[Path], template: str, passes: Sequence[str]
) -> dict[tuple[Path, str], dict[str, Numbered]]:
    """Pictures by shot (folder, sequence) and pass; the pass of the picture itself is ''.

    Args:
        files: of the source; those that do not match the template are left out.
        template: of names without their ending.
        passes: names of the passes that may lie in folders of their own or stand in names, also at the end of the
            sequence's where the template does not speak of passes; the first is the picture.
    """
    pattern = name_pattern(template)
    beauty, known = passes[0], {name.lower(): name for name in passes}
    ending = re.compile(rf"(?:(.*?)[._-])?({'|'.join(map(re.escape, passes))})", re.IGNORECASE)
    shots: dict[tuple[Path, str], dict[str, Numbered]] = {}
    for path in files:
        found = pattern.fullmatch(path.stem)
        if found is None or path.suffix.lower() not in PICTURES:
            continue
        groups = found.groupdict()
        folder, of, sequence = path.parent, groups.get("pass") or "", groups.get("sequence") or ""
        if not of and (ends := ending.fullmatch(sequence)) is not None:
            sequence, of = ends[1] or "", ends[2]
        if not of and folder.name.lower() in known:
            folder, of = folder.parent, folder.name
        of = known.get(of.lower(), of)
        name = "" if of in ("", beauty) else of
        shot = shots.setdefault((folder, sequence), {})
        shot.setdefault(name, Numbered()).add(int(groups["frame"]), path)
    return shots
