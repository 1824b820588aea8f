"""Several named byte strings as one: how results travel from a worker to the driver, and lie in part files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

RECIPE = "recipe"
"""Beside the members of a clip's record: by which recipe it was ingested."""

STORED = "stored"
"""Beside the members of a clip's record: under which name its files lie, where that is not its key."""


def pack_parcel(members: Mapping[str, bytes]) -> bytes:
    """Named byte strings as one; equal input gives equal bytes (a stored zip without times)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name])
    return buffer.getvalue()


def unpack_parcel(data: bytes) -> dict[str, bytes]:
    """The inverse of `pack_parcel`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def record_members(parcel: Mapping[str, bytes], key: str) -> tuple[dict[str, bytes], str]:
    """Members of one clip in the payload of its video, and the recipe under which its files lie."""
    prefix = f"{key}/"
    members = {name.removeprefix(prefix): data for name, data in parcel.items() if name.startswith(prefix)}
    members.pop(STORED, None)
    return members, members.pop(RECIPE).decode()


def stored_name(parcel: Mapping[str, bytes], key: str) -> str:
    """Under which name the files of one clip lie; arguments as for `record_members`."""
    return parcel.get(f"{key}/{STORED}", key.encode()).decode()
