"""The head of a card: what Hugging Face's hub reads of a dataset before a person does.

https://huggingface.co/docs/hub/datasets-cards, and for `configs` https://huggingface.co/docs/hub/datasets-manual-configuration
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from worldloom.catalogs.card_figures import CardFigures
from worldloom.catalogs.licences import is_stated, known_licence
from worldloom.catalogs.manifest import Manifest

_SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]
_MOST_PATHS = 500
"""More shards than this are named by a pattern, which also finds those of older manifests (ours)."""

_TASKS = {"captions": "text-to-video", "hands": "robotics", "depth": "depth-estimation"}
"""Tasks of the hub by the label that they need; every dataset is one of `image-to-video`."""

_LANGUAGE = re.compile(r"[a-z]{2,3}\Z")


def front_matter(manifest: Manifest, figures: CardFigures) -> str:
    """YAML between two lines of dashes; every text in it is quoted as JSON, which is YAML."""
    values: dict[str, Any] = {"pretty_name": manifest.name or "A worldloom dataset", **_licence(figures.licences)}
    if language := _language(figures):
        values["language"] = language
    values["task_categories"] = ["image-to-video", *(task for label, task in _TASKS.items() if _given(figures, label))]
    values["size_categories"] = [next((name for most, name in _SIZES if figures.clips < most), "10M<n<100M")]
    values["tags"] = ["video", "world-model", "webdataset", "worldloom", *_tags(figures)]
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in values.items())]
    return "\n".join([*lines, *_configs(manifest), "---"])


def _licence(stated: Iterable[str]) -> dict[str, Any]:
    """Licences by the hub's names where it has them all; else `other`, with the name and text of the only one."""
    names = sorted(set(stated))
    found = [known_licence(name) for name in names]
    hub = sorted({one.hub for one in found if one is not None and one.hub})
    if names and all(one is not None and one.hub for one in found):
        return {"license": hub[0] if len(hub) == 1 else hub}
    if len(names) != 1 or not is_stated(names[0]):
        return {"license": "unknown" if not any(map(is_stated, names)) else "other"} | (
            {"license_name": "several"} if len(names) > 1 else {}
        )
    plain = re.sub(r"[^a-z0-9.+-]+", "-", names[0].lower()).strip("-")[:60] or "other"
    link = {"license_link": found[0].url} if found[0] is not None and found[0].url else {}
    return {"license": "other", "license_name": plain, **link}


def _given(figures: CardFigures, label: str) -> bool:
    return label in figures.labels and figures.labels[label].status["ok"] > 0


def _language(figures: CardFigures) -> list[str]:
    """Of the captions: what the attribute `language` says, `und` (ISO 639-2: undetermined) where there is none."""
    if not _given(figures, "captions"):
        return []
    said = figures.attributes.get("language")
    known = sorted({value for value, _ in said.commonest if _LANGUAGE.match(value)}) if said else []
    return known or ["und"]


def _tags(figures: CardFigures) -> list[str]:
    """One per label that some clip has, so that datasets can be found by it."""
    names = {"pose": "camera-pose", "actions": "action-labels", "events": "exit-entry", "revisits": "revisits"}
    names |= {"depth": "depth", "hands": "hand-pose", "captions": "captions", "subjects": "tracks"}
    return [tag for label, tag in names.items() if _given(figures, label)]


def _configs(manifest: Manifest) -> list[str]:
    """Shards by split as the default configuration, and the catalog, which the hub's viewer shows as a table."""
    paths: dict[str, list[str]] = {}
    for shard in manifest.shards:
        paths.setdefault(shard.split, []).append(shard.path)
    lines = ["configs:"]
    if paths:
        lines += ["- config_name: clips", "  default: true", "  data_files:"]
        for split, found in sorted(paths.items()):
            path = json.dumps(found if len(found) <= _MOST_PATHS else f"shards/{split}-*.tar")
            # The hub takes letters, digits and underscores for the name of a split.
            lines += [f"  - split: {json.dumps(re.sub(r'[^A-Za-z0-9_]', '_', split))}", f"    path: {path}"]
    lines += ["- config_name: catalog", "  data_files:", "  - split: catalog"]
    return [*lines, f"    path: {json.dumps(manifest.catalog.path)}"]
