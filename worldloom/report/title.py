"""What pages call a clip."""

from __future__ import annotations

from pathlib import PurePosixPath

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".gif")
"""What a title leaves out at the end of an address; any other ending may be part of a name."""


def title_from(key: str, kind: str, uri: str) -> str:
    """Last part of a clip's address without the ending of a video; a bare number, and what is no file's name
    (`TakeA/Shot01`, a camera of an episode), with the folder before it.

    Args:
        key: of the clip; its title where there is no address.
        kind: of its source; stands before a bare number that has no folder.
        uri: its address.
    """
    parts = [part for part in uri.replace("\\", "/").split("/") if part]
    if not parts:
        return key
    last = PurePosixPath(parts[-1])
    file = last.suffix.lower() in VIDEO_ENDINGS
    name = last.stem if file else last.name
    if file and not name.isdecimal():
        return name
    if len(parts) > 1 and ":" not in parts[-2]:
        return f"{parts[-2]}/{name}"
    return f"{kind} {name}" if name.isdecimal() else name
