"""The card of a dataset: README.md and croissant.json, from the manifest, the catalog and a scorecard. Rebuildable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldloom.catalogs.card_figures import CardFigures, card_figures
from worldloom.catalogs.card_text import gaps, readme, summary
from worldloom.catalogs.croissant import About, croissant
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import copy_latest, latest, local_file
from worldloom.catalogs.storage import Store, open_store

_TOLD = {
    "manifest.json": re.compile(r'^ "number": (\d+)', re.MULTILINE),
    "README.md": re.compile(r" MB\)\. Manifest (\d{6,})\.$", re.MULTILINE),
    "croissant.json": re.compile(r'^ "version": "(\d+)\.', re.MULTILINE),
}
"""Where each derived file says which manifest it tells of."""
_SCORES = "scorecard.json"
_LEFT_OUT = "left_out.json"
_TEXTS = ("annotator", "measure", "truth", "unit", "n", "of", "target", "command")


def write_card(
    dataset: Path | str,
    scorecard: Path | Mapping[str, Any] | None = None,
    left_out: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """Write README.md, croissant.json and the copy of the manifest, all derived from what is committed.

    Args:
        dataset: its folder or `s3://bucket/prefix`.
        scorecard: as `worldloom scorecard` saves it (`rows` of figures), a path or its content; kept as
            `scorecard.json` beside the card, and used again when the card is rebuilt without one.
        left_out: what the run that packed did not take, `pass`, `ended`, `reason` and number of `rows`; kept likewise
            as `left_out.json`.

    Returns:
        Where the README is.

    Raises:
        UsageError: there is no dataset.
        BadInput: the manifest, catalog, scorecard or list of what was left out is damaged.
    """
    store = open_store(dataset)
    manifest = latest(dataset)
    scores = _scores(store, scorecard)
    lost = _lost(store, left_out)
    while True:
        figures = card_figures(local_file(store, manifest.catalog))
        about = About(summary(manifest, figures), sorted(figures.licences), _writers(figures), gaps(figures, scores))
        store.write("README.md", readme(manifest, figures, scores, lost).encode())
        store.write("croissant.json", croissant(manifest, figures.schema, about).encode())
        if copy_latest(dataset) == manifest.number:
            return f"{store.place}/README.md"
        manifest = latest(dataset)  # of another committer, whose card this may have replaced


def stale_copies(dataset: Path | str) -> dict[str, int]:
    """Files that are derived from the manifest and do not tell of the latest one: a run or an edit was killed there.

    Args:
        dataset: its folder or `s3://bucket/prefix`.

    Returns:
        By name, the number of the manifest that it tells of; 0 where there is no such file. A file that tells of none
        is somebody's own and left out.
    """
    store = open_store(dataset)
    number = latest(dataset).number
    found = {}
    for name, pattern in _TOLD.items():
        try:
            told = pattern.search(store.read(name).decode(errors="replace"))
        except FileNotFoundError:
            found[name] = 0
            continue
        if told is not None and int(told[1]) != number:
            found[name] = int(told[1])
    return found


def renew_card(dataset: Path | str, left_out: Sequence[Mapping[str, Any]] | None = None) -> None:
    """As `write_card`, where the card or the copy of the manifest is missing or out of date."""
    if stale_copies(dataset):
        write_card(dataset, left_out=left_out)


def _scores(store: Store, scorecard: Path | Mapping[str, Any] | None) -> list[dict[str, Any]]:
    where = f"{store.place}/{_SCORES}"
    try:
        if isinstance(scorecard, Mapping):
            values = dict(scorecard)
        elif scorecard is not None:
            where = str(scorecard)
            values = json.loads(scorecard.read_text(encoding="utf-8"))
        elif store.exists(_SCORES):
            values = json.loads(store.read(_SCORES))
        else:
            return []
        found = [dict(row) for row in values["rows"]]
        for number, row in enumerate(found):
            _check_score(number, row)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = "Save it anew with worldloom scorecard, or remove it."
        raise BadInput("bad_scorecard", f"not a scorecard ({error})", where=where, remedy=remedy) from None
    if scorecard is not None:
        store.write(_SCORES, (json.dumps(values, indent=1, sort_keys=True) + "\n").encode())
    return found


def _lost(store: Store, rows: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """What was left out, as given or as it was kept."""
    if rows is not None:
        found = [dict(row) for row in rows]
        store.write(_LEFT_OUT, (json.dumps({"rows": found}, indent=1, sort_keys=True) + "\n").encode())
        return found
    if not store.exists(_LEFT_OUT):
        return []
    try:
        found = [dict(row) for row in json.loads(store.read(_LEFT_OUT))["rows"]]
        for number, row in enumerate(found):
            for name in ("pass", "ended", "reason", "rows"):
                if not isinstance(row.get(name), str | int):
                    raise ValueError(
                        f"rows.{number}.{name} is {type(row.get(name)).__name__}, a text or number expected"
                    )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = "Remove it; the next run that packs writes it anew."
        raise BadInput(
            "bad_left_out", f"not a list ({error})", where=f"{store.place}/{_LEFT_OUT}", remedy=remedy
        ) from None
    return found


def _writers(figures: CardFigures) -> list[str]:
    """Who wrote the labels: `pose: sfm 1`."""
    return [f"{name}: {method}" for name, label in figures.labels.items() for method in sorted(label.methods)]


def _check_score(number: int, row: Mapping[str, Any]) -> None:
    """Refuse a row that is none: a scorecard comes with its dataset, from wherever that came."""
    for name, value in row.items():
        if name == "value" and (isinstance(value, bool) or not isinstance(value, int | float | None)):
            raise ValueError(f"rows.{number}.value is {type(value).__name__}, a number or null expected")
        if name in _TEXTS and not isinstance(value, str | int | float | None):
            raise ValueError(f"rows.{number}.{name} is {type(value).__name__}, a text expected")
    if abs(row.get("value") or 0) > sys.float_info.max:
        raise ValueError(f"rows.{number}.value is too large")
