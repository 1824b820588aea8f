"""worldloom weaves raw video into memory-training shards, and trains interactive video world models on them.

The public names are loaded on first use (PEP 562), so that `import worldloom` and `worldloom --help`
stay light: no torch, ray, av, cv2, pycolmap, open3d or numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from worldloom.catalogs.clip import (
        Actions,
        Annotation,
        Camera,
        Clip,
        Depth,
        Event,
        Provenance,
        Revisits,
        Subjects,
    )
    from worldloom.catalogs.dataset import ShardDataset
    from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError

_HOMES = {
    "Actions": "worldloom.catalogs.clip",
    "Annotation": "worldloom.catalogs.clip",
    "BadInput": "worldloom.catalogs.errors",
    "Camera": "worldloom.catalogs.clip",
    "Clip": "worldloom.catalogs.clip",
    "Depth": "worldloom.catalogs.clip",
    "Event": "worldloom.catalogs.clip",
    "Provenance": "worldloom.catalogs.clip",
    "Revisits": "worldloom.catalogs.clip",
    "ShardDataset": "worldloom.catalogs.dataset",
    "Subjects": "worldloom.catalogs.clip",
    "UsageError": "worldloom.catalogs.errors",
    "WorldloomError": "worldloom.catalogs.errors",
}

__all__ = [
    "Actions",
    "Annotation",
    "BadInput",
    "Camera",
    "Clip",
    "Depth",
    "Event",
    "Provenance",
    "Revisits",
    "ShardDataset",
    "Subjects",
    "UsageError",
    "WorldloomError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'worldloom' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
