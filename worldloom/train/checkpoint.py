"""Checkpoints as folders that are there whole or not at all.

A checkpoint is written under another name, its files and itself are synced, and then it gets its name in one step.
`state.json` holds the sha256 of every other file and of itself, so that a torn one is noticed and the one before is
taken. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.storage import sync_to_disk

FORMAT = 1
STATE = "state.json"
_NAMED = re.compile(r"step-(\d{8,})\Z")

Writer = Callable[[Path], None]
"""Writes one or more files into the folder it is given."""


def checkpoint_name(step: int) -> str:
    """`step-00000100`."""
    return f"step-{step:08d}"


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a run by name, oldest first, whole or torn."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), entry) for entry in folder.iterdir() if (match := _NAMED.match(entry.name))]
    return [entry for _, entry in sorted(found)]


def write_checkpoint(folder: Path, step: int, write: Writer, state: Mapping[str, Any], keep: int) -> Path:
    """Write one checkpoint, in one step as seen from outside, and remove the oldest beyond `keep`.

    Args:
        folder: of all checkpoints of the run; made if it is missing.
        step: how many steps are done.
        write: puts every file but `state.json` in place.
        state: plain values for `state.json`.
        keep: how many checkpoints stay, this one included.

    Returns:
        Its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear_partial(folder)
    target = folder / checkpoint_name(step)
    partial = folder / f".{target.name}.partial"
    partial.mkdir()
    write(partial)
    values = {
        "format": FORMAT,
        "step": step,
        **state,
        "files": {entry.name: _sha256(entry) for entry in sorted(partial.iterdir())},
    }
    values["digest"] = digest(values, length=64)
    (partial / STATE).write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    for entry in partial.iterdir():
        sync_to_disk(entry)
    sync_to_disk(partial)
    if target.exists():  # a torn one of that name, which was passed over on resuming
        target.rename(partial.with_name(f".{target.name}.torn"))
    partial.rename(target)
    sync_to_disk(folder)
    _clear_partial(folder)
    for old in [one for one in checkpoints(folder) if one != target][: -keep + 1 or None]:
        _remove(old)
    return target


def read_state(checkpoint: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint, after every file was found to be as it was written.

    Raises:
        BadInput: `torn_checkpoint`, naming the file; `newer_checkpoint`.
    """
    path = checkpoint / STATE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files, own = dict(values["files"]), values.pop("digest")
        whole = own == digest(values, length=64)
    except FileNotFoundError:
        raise BadInput("torn_checkpoint", "is missing", where=path) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise BadInput("torn_checkpoint", "is damaged", where=path) from None
    if not whole:
        raise BadInput("torn_checkpoint", "is damaged", where=path)
    if values["format"] > FORMAT:
        raise BadInput("newer_checkpoint", "was written by a newer worldloom", where=path, remedy="Update worldloom.")
    for name, sha256 in files.items():
        file = checkpoint / Path(name).name
        if not file.is_file():
            raise BadInput("torn_checkpoint", "is missing", where=file)
        if _sha256(file) != sha256:
            raise BadInput("torn_checkpoint", "differs from what was written", where=file)
    return values


def newest_whole(folder: Path, warn: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that is whole, with its state; None where there is none.

    Args:
        folder: of all checkpoints of a run.
        warn: told about each torn one that is passed over.
    """
    for checkpoint in reversed(checkpoints(folder)):
        try:
            return checkpoint, read_state(checkpoint)
        except BadInput as error:
            if error.reason != "torn_checkpoint":
                raise
            warn(f"{error}; this checkpoint is passed over for the one before")
    return None


def _remove(checkpoint: Path) -> None:
    """A checkpoint disappears whole as well."""
    aside = checkpoint.with_name(f".{checkpoint.name}.old")
    checkpoint.rename(aside)
    shutil.rmtree(aside)


def _clear_partial(folder: Path) -> None:
    """What a killed run left behind."""
    for entry in folder.iterdir():
        if entry.name.startswith(".step-"):
            shutil.rmtree(entry)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
