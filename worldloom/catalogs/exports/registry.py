"""The formats that `worldloom export` knows."""

from __future__ import annotations

from typing import Any

from worldloom.catalogs.config import load, nearest
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.exports.colmap import ColmapExport
from worldloom.catalogs.exports.format import ExportFormat
from worldloom.catalogs.exports.hydra12 import Hydra12Export
from worldloom.catalogs.exports.lerobot import LeRobotExport
from worldloom.catalogs.exports.nerfstudio import NerfstudioExport
from worldloom.catalogs.exports.plucker import PluckerExport
from worldloom.catalogs.exports.realestate10k import RealEstate10KExport
from worldloom.catalogs.exports.tum import TumExport

FORMATS: dict[str, type[ExportFormat]] = {
    kind.name: kind
    for kind in (
        ColmapExport,
        NerfstudioExport,
        TumExport,
        RealEstate10KExport,
        PluckerExport,
        Hydra12Export,
        LeRobotExport,
    )
}


def format_of(name: str, options: dict[str, Any]) -> ExportFormat:
    """A format with its options.

    Raises:
        UsageError: no such format, or an option that it does not have.
    """
    if name not in FORMATS:
        raise UsageError(f"--to: there is no format '{name}'" + nearest(name, list(FORMATS)))
    return load(FORMATS[name], options, where=name)
