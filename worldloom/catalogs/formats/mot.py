"""MOTChallenge tracks: `gt.txt` with frame, id, left, top, width, height, confidence, class, visibility per line.

Frames count from 1. A `seqinfo.ini` beside the folder of `gt.txt` gives size, length and frame rate.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from worldloom.catalogs.clip import Subjects
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import exact, numbers, read_text

COLUMNS = "frame, id, left, top, width, height, confidence, class, visibility"
_RATE = re.compile(r"\d{1,9}([./]\d{1,9})?")
MAX_CELLS = 50_000_000
"""Subjects x frames; a table of one line must not ask for all memory."""


@dataclass(frozen=True)
class SequenceInfo:
    """What `seqinfo.ini` says of a sequence."""

    name: str
    fps: Fraction
    frames: int
    width: int
    height: int


def read_seqinfo(path: str | Path) -> SequenceInfo:
    """Read `seqinfo.ini`.

    Raises:
        BadInput: `bad_tracks`, or a file that cannot be read.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        section = parser["Sequence"]
        info = SequenceInfo(
            name=section.get("name", Path(path).parent.name),
            fps=_rate(section["frameRate"]),
            frames=int(section["seqLength"]),
            width=int(section["imWidth"]),
            height=int(section["imHeight"]),
        )
    except (configparser.Error, KeyError, ValueError, ZeroDivisionError) as error:
        message = f"[Sequence] with frameRate, seqLength, imWidth, imHeight expected ({error})"
        raise BadInput("bad_tracks", message, where=path) from None
    if info.fps <= 0 or min(info.frames, info.width, info.height) <= 0:
        raise BadInput("bad_tracks", "frame rate, length and size must be positive", where=path)
    return info


def _rate(text: str) -> Fraction:
    """`30`, `29.97` or `30000/1001`; exponents are no frame rates, and 1e999999999 takes all memory to write out."""
    if not _RATE.fullmatch(text.strip()):
        raise ValueError(f"frame rate '{text[:40]}'")
    return Fraction(text.strip())


def write_seqinfo(path: str | Path, info: SequenceInfo) -> None:
    """Write `seqinfo.ini`."""
    lines = ["[Sequence]", f"name={info.name}", "imDir=img1", f"frameRate={info.fps}", f"seqLength={info.frames}"]
    lines += [f"imWidth={info.width}", f"imHeight={info.height}", "imExt=.jpg"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_mot(path: str | Path, frames: int | None = None, label: str = "person") -> Subjects:
    """Read tracks; rows with confidence 0, which the benchmark ignores, are left out.

    Args:
        path: of `gt.txt`, or of a tracker's output (visibility -1 counts as 1).
        frames: T; the last frame of the file by default.
        label: name of every subject: classes are numbers without names.

    Returns:
        Boxes as x0 y0 x1 y1; visibility as the file states it, 0 where a subject has no row.

    Raises:
        BadInput: `bad_tracks` or `bad_poses` naming the line, or a file that cannot be read.
    """
    rows = [_row(line, i, path) for i, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]
    table = np.array([row for row in rows if row[6] != 0]).reshape(-1, 9)
    ids = np.unique(table[:, 1])
    length = frames if frames is not None else int(table[:, 0].max(initial=0))
    if len(table) and table[:, 0].max() > length:
        raise BadInput("bad_tracks", f"frame {table[:, 0].max():g}, but the sequence has {length} frames", where=path)
    if len(ids) * length > MAX_CELLS:
        raise BadInput("bad_tracks", f"{len(ids)} subjects over {length} frames are too many", where=path)
    box = np.full((len(ids), length, 4), np.nan, np.float32)
    visibility = np.zeros((len(ids), length), np.float32)
    subject, frame = np.searchsorted(ids, table[:, 1]), table[:, 0].astype(int) - 1
    cell = subject * max(length, 1) + frame
    if len(np.unique(cell)) != len(cell):
        first = np.flatnonzero(np.bincount(cell) > 1)[0]
        message = f"id {ids[first // length]:g} has two boxes in frame {first % length + 1}"
        raise BadInput("bad_tracks", message, where=path)
    box[subject, frame, :2] = table[:, 2:4]
    box[subject, frame, 2:] = table[:, 2:4] + table[:, 4:6]
    visibility[subject, frame] = np.where(table[:, 8] < 0, 1.0, np.clip(table[:, 8], 0, 1))
    return Subjects(ids.astype(np.int32), [label] * len(ids), box, visibility, ["mot"] * len(ids))


def write_mot(path: str | Path, subjects: Subjects) -> None:
    """Write all boxes, ordered by frame and id."""
    lines = []
    for frame in range(subjects.box.shape[1]):
        for s in np.argsort(subjects.id, kind="stable"):
            x0, y0, x1, y1 = subjects.box[s, frame].astype(float)
            if not np.isfinite([x0, y0, x1, y1]).all():
                continue
            values = [*map(exact, (x0, y0, x1 - x0, y1 - y0)), "1", "1", exact(subjects.visibility[s, frame])]
            lines.append(", ".join([str(frame + 1), str(int(subjects.id[s])), *values]))
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _row(line: str, i: int, path: str | Path) -> list[float]:
    """Nine numbers; a tracker's ten columns (with x, y, z of the world) count as of visibility 1."""
    fields = [word.strip() for word in line.split(",")]
    row = numbers(fields, path, i, COLUMNS)
    if len(row) not in (7, 8, 9, 10):
        raise BadInput("bad_tracks", f"line {i} has {len(row)} columns, 9 expected ({COLUMNS})", where=path)
    row = [*row, *[-1.0] * 9][:9] if len(row) < 9 else [*row[:8], row[8] if len(row) == 9 else -1.0]
    if row[0] < 1 or row[0] != int(row[0]) or row[1] != int(row[1]) or abs(row[1]) >= 2**31 or row[0] >= 2**31:
        raise BadInput(
            "bad_tracks", f"line {i} has frame {row[0]:g} and id {row[1]:g}; whole numbers from 1", where=path
        )
    if row[4] <= 0 or row[5] <= 0:
        raise BadInput("bad_tracks", f"line {i} has a box of {row[4]:g} x {row[5]:g} pixels", where=path)
    return row
