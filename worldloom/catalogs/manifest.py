"""Manifests: numbered, immutable, each naming every file of the dataset. Creating one is the one commit.

A manifest is written under a temporary name and linked to its number: the link either makes the dataset or fails
because somebody else was first. The highest number is the dataset; files that no manifest names are no part of it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError
from worldloom.catalogs.storage import sync_to_disk

SCHEMA_VERSION = 1
_NUMBERED = re.compile(r"(\d{6,})\.json\Z")


class FileEntry(Strict):
    """One file of the dataset.

    Attributes:
        path: relative to the dataset's folder, with `/`.
        bytes: size.
        sha256: hex digest.
    """

    path: str = Field(pattern=r"^(shards/)?[A-Za-z0-9][A-Za-z0-9_.-]*$")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ShardEntry(FileEntry):
    """One shard.

    Attributes:
        split: which split its samples belong to.
        samples: how many.
    """

    split: str
    samples: int = Field(ge=0)


class Manifest(Strict):
    """The dataset at one moment.

    Attributes:
        format: what this file is.
        schema_version: of the manifest.
        number: from 1, without gaps.
        parent: number of the manifest this one was made from; None for the first.
        operation: what made it: `pack`, `append`, `remove`, `merge`, `rollback`.
        name: of the dataset.
        samples: over all shards.
        shards: in order of their paths.
        catalog: the Parquet catalog.
        notes: plain values worth keeping: digest of the job, versions; nothing that differs from run to run.
    """

    format: Literal["worldloom-dataset"] = "worldloom-dataset"
    schema_version: int = SCHEMA_VERSION
    number: int = Field(ge=1)
    parent: int | None = None
    operation: str = "pack"
    name: str = ""
    samples: int = Field(ge=0)
    shards: tuple[ShardEntry, ...]
    catalog: FileEntry
    notes: dict[str, Any] = Field(default_factory=dict)

    def same_contents(self, other: Manifest | None) -> bool:
        """Whether both name the same files, so that nothing new is to be committed."""
        return other is not None and (self.shards, self.catalog) == (other.shards, other.catalog)

    def to_json(self) -> str:
        """As it stands on disk; equal manifests give equal text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class ManifestConflict(WorldloomError):
    """Somebody else committed this number first."""


def numbers(dataset: Path | str) -> list[int]:
    """Numbers of all committed manifests, ascending; empty where there is no dataset yet."""
    folder = Path(dataset) / "manifests"
    if not folder.is_dir():
        return []
    return sorted(int(found[1]) for entry in folder.iterdir() if (found := _NUMBERED.match(entry.name)))


def manifest_path(dataset: Path | str, number: int) -> Path:
    """Where the manifest with this number lies."""
    return Path(dataset) / "manifests" / f"{number:06d}.json"


def read_manifest(dataset: Path | str, number: int) -> Manifest:
    """One manifest.

    Raises:
        BadInput: `bad_manifest`, it is damaged or written by a newer version.
    """
    path = manifest_path(dataset, number)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and int(values.get("schema_version", 0)) > SCHEMA_VERSION:
            message = f"written by schema {values['schema_version']}, this worldloom reads up to {SCHEMA_VERSION}"
            raise BadInput("bad_manifest", message, where=path, remedy="Update worldloom.")
        manifest = Manifest.model_validate(values)
    except FileNotFoundError:
        raise BadInput("bad_manifest", "no such manifest", where=path) from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise BadInput("bad_manifest", f"not a manifest ({place}: {problem['msg']})", where=path) from None
    except (OSError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise BadInput("bad_manifest", f"not a manifest ({error})", where=path) from None
    if manifest.number != number:
        raise BadInput("bad_manifest", f"holds manifest {manifest.number}", where=path)
    return manifest


def latest(dataset: Path | str) -> Manifest:
    """The dataset as it is now.

    Raises:
        UsageError: there is no dataset in this folder.
        BadInput: `bad_manifest`.
    """
    found = latest_or_none(dataset)
    if found is None:
        raise UsageError(f"{dataset}: no dataset here (a folder with manifests/000001.json was expected)")
    return found


def latest_or_none(dataset: Path | str) -> Manifest | None:
    """The dataset as it is now, or None where nothing was committed yet.

    Raises:
        BadInput: `bad_manifest`.
    """
    committed = numbers(dataset)
    return read_manifest(dataset, committed[-1]) if committed else None


def commit(dataset: Path | str, manifest: Manifest) -> Path:
    """Make this manifest the dataset, in one step. Every file it names is in place and on disk before.

    Raises:
        ManifestConflict: its number is taken; read `latest` again and decide anew.
        BadInput: `missing_file`, a file it names is not there or has another size.
    """
    dataset = Path(dataset)
    for entry in (*manifest.shards, manifest.catalog):
        place = dataset / entry.path
        if not place.is_file() or place.stat().st_size != entry.bytes:
            raise BadInput("missing_file", f"not there, or not of {entry.bytes} bytes", where=place)
    target = manifest_path(dataset, manifest.number)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    text = manifest.to_json()
    try:
        _write_synced(temporary, text)
        os.link(temporary, target)
    except FileExistsError:
        raise ManifestConflict(
            f"{target}: another run committed it meanwhile; run the same command again to build on it"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_to_disk(target.parent)
    copy_latest(dataset)
    return target


def copy_latest(dataset: Path | str) -> None:
    """Put a copy of the latest manifest at `manifest.json`, for readers that do not count."""
    dataset = Path(dataset)
    temporary = dataset / f".manifest.json.{os.getpid()}.partial"
    _write_synced(temporary, latest(dataset).to_json())
    temporary.replace(dataset / "manifest.json")


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
