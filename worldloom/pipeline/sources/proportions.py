"""Whether a camera file is about the pictures beside it: intrinsics carry over a change of scale, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worldloom.catalogs.errors import BadInput

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

TOLERANCE = 0.02
"""Of width over height: an odd row or column lost on the way is no other picture (ours)."""


def require_proportions(size: tuple[int, int] | None, info: VideoInfo, where: str, remedy: str = "") -> None:
    """Refuse pictures of another shape than the cameras are about.

    Args:
        size: width and height that the intrinsics belong to; None where the file says nothing.
        info: of the footage.
        where: the camera file, for messages.
        remedy: what a person can do.

    Raises:
        BadInput: `bad_poses`.
    """
    if size is None:
        return
    if abs(size[0] * info.height / (size[1] * info.width) - 1) > TOLERANCE:
        message = f"its cameras are of pictures of {size[0]} x {size[1]}, and these have {info.width} x {info.height}"
        raise BadInput("bad_poses", message, where=where, remedy=remedy)
