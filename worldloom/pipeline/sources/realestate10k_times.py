"""RealEstate10K by its time stamps: which whole video a txt is about, and which of its frames have a row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.fetch.addresses import Address, AddressRules, parse_address
from worldloom.pipeline.fetch.names import canonical, shown, url_sha256, youtube_id
from worldloom.pipeline.fetch.settings import Fetching
from worldloom.pipeline.sources.source import SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory

TEXT_ENDINGS = (".txt",)
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")

_FIRST_BYTES = 4096
_EVERYWHERE = AddressRules(allow_http=True)


def items_by_time(
    source: dict[str, Any], poses: Path, videos: Path | None, licence: str, download: Fetching | None
) -> Iterator[SourceItem]:
    """One item per txt, in order, then the videos that no txt is about, then all other files.

    Args:
        source: configuration as plain data.
        poses: folder of the txt files.
        videos: folder of whole videos.
        licence: as stated in the job.
        download: how a video is fetched that is not there.
    """
    texts, others = sorted_out(poses, TEXT_ENDINGS)
    there, also = sorted_out(videos, VIDEO_ENDINGS) if videos is not None else ([], [])
    mirror: dict[str, list[str]] = {}
    for name in there:
        mirror.setdefault(Path(name).stem, []).append(name)
    used = set[str]()
    for name in texts:
        text = str((poses / name).absolute())
        address = address_in(text, pages=True)
        names = [one for one in (youtube_id(address) if address is not None else "", Path(name).stem) if one]
        found = next((mirror[one] for one in names if one in mirror), [])
        used.update(found)
        path, detail, problem = "", {"video": shown(address)} if address is not None else {}, None
        if len(found) > 1:
            problem = ("ambiguous_name", f"it is not clear which of {' and '.join(sorted(found)[:3])} it is about")
        elif found:
            assert videos is not None
            path = str((videos / found[0]).absolute())
        elif address is None:
            problem = ("no_url", "its first line holds no address, and no video has its name")
        elif download is None:
            wanted, place = " or ".join(f"{one}.mp4" for one in names), videos.name if videos is not None else "videos"
            problem = ("no_video", f"there is no video {wanted} in {place}, and download is not set")
        else:
            detail |= _to_fetch(text, download)
        told: dict[str, str | float | bool] = {"clip_name": name.rpartition(".")[0]}
        item = SourceItem(source, name, path, licence, (text,), problem=problem, detail=detail, attributes=told)
        yield plainly_named(item if problem is None else replace(item, path=text, sidecars=()))
    # One folder may lie in the other, and is then walked twice.
    root, clips = os.path.realpath(poses), os.path.realpath(videos) if videos is not None else ""
    unused = {f"{clips}/{name}" for name in there if name not in used}
    unknown = {f"{root}/{name}" for name in others} | {f"{clips}/{name}" for name in also}
    unknown -= {f"{root}/{name}" for name in texts} | {f"{clips}/{name}" for name in there}
    for place in sorted(unused | unknown):
        problem = ("not_recognised", f"neither a txt in {poses.name} nor a video")
        if place in unused:
            problem = ("no_poses", f"no txt in {poses.name} is about it")
        yield plainly_named(SourceItem(source, os.path.relpath(place, root), place, licence, problem=problem))


def _to_fetch(text: str, download: Fetching) -> dict[str, str]:
    """What decides which file is fetched for a txt, without an address that may hold a secret."""
    address = address_in(text, pages=download.fetcher == "yt-dlp")
    assert address is not None
    height = {"max_height": str(download.max_height)} if download.fetcher == "yt-dlp" else {}
    return {"sha256": url_sha256(address.url), "fetcher": download.fetcher, **height}


def address_in(text: str | Path, *, pages: bool) -> Address | None:
    """The address in the first line of a txt, in its one form; None where there is none."""
    if not Path(text).is_file():  # opening a pipe waits for ever
        return None
    try:
        with Path(text).open("rb") as file:
            line = file.read(_FIRST_BYTES).partition(b"\n")[0].decode("utf-8", "replace")
        return canonical(parse_address(line, _EVERYWHERE), pages=pages)
    except (OSError, BadInput):
        return None


def row_times(trajectory: Trajectory, where: str) -> np.ndarray:
    """(n,) time of each row, seconds, ascending.

    Raises:
        BadInput: `bad_poses`, naming the first row that does not lie after the one before it.
    """
    times_s = trajectory.timestamps_s
    assert times_s is not None
    wrong = np.flatnonzero(np.diff(times_s) <= 0)
    if len(wrong):
        row = int(wrong[0]) + 1
        message = f"row {row} is at {times_s[row]:.6f} s, and the row before it at {times_s[row - 1]:.6f} s"
        raise BadInput("bad_poses", message, where=where)
    return times_s


def check_times(video: Path, times_s: np.ndarray, where: str) -> None:
    """Refuse rows that lie outside of the video.

    Raises:
        BadInput: `outside_video`.
    """
    from worldloom.catalogs.video import probe

    info = probe(video)
    start_s = info.first_pts * float(info.time_base)
    end_s, frame_s = start_s + (info.duration_s or 0.0), float(1 / info.fps)
    outside = int(np.sum((times_s < start_s - frame_s / 2) | (times_s > end_s + frame_s / 2)))
    if outside:
        message = (
            f"{outside} of {len(times_s)} rows lie outside of the video: they go from {times_s[0]:.3f} to "
            f"{times_s[-1]:.3f} s, it from {start_s:.3f} to {end_s:.3f} s"
        )
        raise BadInput("outside_video", message, where=where, remedy="Is it the video that the rows were made for?")


def sorted_out(folder: Path, endings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Files with such an ending, and all others, as paths below the folder.

    As text: a path object per file is what a driver with a million of them would remember longest.
    """
    found: list[str] = []
    others: list[str] = []
    for path in walk_files(folder):
        (found if path.suffix.lower() in endings else others).append(path.relative_to(folder).as_posix())
    return found, others
