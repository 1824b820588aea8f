"""The child's side of an export: everything that opens a member of a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldloom.catalogs.exports.registry import format_of
from worldloom.catalogs.sample import members_to_clip


def work(payload: dict[str, Any]) -> Any:
    """Write one clip, or finish the export.

    Args:
        payload: `format`, `options`, `folder`, and either `key` with `members` (bytes by extension), or `keys`.

    Returns:
        Notes about the clip, or a `Finished`.
    """
    chosen = format_of(payload["format"], payload["options"])
    folder = Path(payload["folder"])
    if "keys" in payload:
        return chosen.finish(folder, payload["keys"])
    return chosen.write(members_to_clip(payload["key"], payload["members"]), folder)
