"""Infinite-World's action files: a JSON list of {"move": "go forward", "view": "no-op"}, one entry per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.clip import Actions
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import read_json, write_json


def read_infinite_world(path: str | Path) -> Actions:
    """Read an action file. Entry i commands the step from frame i to i + 1, and so does the last one: a clip of T
    frames takes the first T - 1 entries and closes with 9.

    Returns:
        As many entries as the file has; motion and margins are not known.

    Raises:
        BadInput: `bad_actions` naming the entry and the nearest name, or a file that cannot be read.
    """
    value = read_json(path)
    if not isinstance(value, list) or not value:
        raise BadInput("bad_actions", "a list of {'move', 'view'} expected", where=path)
    labels = np.empty((len(value), 2), np.uint8)
    for i, entry in enumerate(value):
        for column, (group, names) in enumerate((("move", MOVES), ("view", VIEWS))):
            name = entry.get(group) if isinstance(entry, dict) else None
            if name not in names:
                message = f"entry {i} has {group} {name!r}" + nearest(str(name), names)
                raise BadInput("bad_actions", message, where=path)
            labels[i, column] = names.index(name)
    unknown = np.full((len(value), 4), np.nan)
    margins = unknown[:, :2].astype(np.float32)
    return Actions(labels[:, 0].copy(), labels[:, 1].copy(), margins, unknown, unit="none", up="camera")


def write_infinite_world(path: str | Path, actions: Actions) -> None:
    """Write the names of all entries."""
    pairs = zip(actions.move, actions.view, strict=True)
    write_json(path, [{"move": MOVES[move], "view": VIEWS[view]} for move, view in pairs])
