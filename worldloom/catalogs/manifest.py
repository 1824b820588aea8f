"""Manifests: numbered, immutable, each naming every file of the dataset. Creating one is the one commit.

Its file is created under its number in one step that fails where somebody else was first (see `storage`). The highest
number is the dataset; files that no manifest names are no part of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError
from worldloom.catalogs.storage import Store, open_store

SCHEMA_VERSION = 1
_NUMBERED = re.compile(r"manifests/(\d{6,})\.json\Z", re.ASCII)
_COPY_AGAIN = "Copy the dataset anew from where it came from; worldloom verify names all that is wrong with it."
_MOST_NAMED = 5


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
        split: which split its samples belong to; part of the names of shards.
        samples: how many.
    """

    split: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
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
        notes: plain values worth keeping: digest of the job, versions, `removed` (what was taken down and never comes
            back, see `removed_list`); nothing that differs from run to run.
    """

    format: Literal["worldloom-dataset"] = "worldloom-dataset"
    schema_version: int = SCHEMA_VERSION
    number: int = Field(ge=1)
    parent: int | None = None
    operation: str = Field(default="pack", pattern=r"^[a-z]+$")
    name: str = Field(default="", pattern=r"^[^\x00-\x1f\x7f]*$")
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
    """Somebody else committed meanwhile: this number, or a takedown of what it holds."""


def numbers(dataset: Path | str) -> list[int]:
    """Numbers of all committed manifests, ascending; empty where there is no dataset yet."""
    names = open_store(dataset).names("manifests")
    committed = ((name, int(found[1])) for name in names if (found := _NUMBERED.match(name)))
    return sorted(number for name, number in committed if name == manifest_name(number))


def manifest_name(number: int) -> str:
    """Where in the dataset the manifest with this number lies."""
    return f"manifests/{number:06d}.json"


def read_manifest(dataset: Path | str, number: int) -> Manifest:
    """One manifest.

    Raises:
        BadInput: `bad_manifest`, it is damaged or written by a newer version.
    """
    where = f"{dataset}/{manifest_name(number)}"
    try:
        values = json.loads(open_store(dataset).read(manifest_name(number)))
        if isinstance(values, dict) and int(values.get("schema_version", 0)) > SCHEMA_VERSION:
            message = f"written by schema {values['schema_version']}, this worldloom reads up to {SCHEMA_VERSION}"
            raise BadInput("bad_manifest", message, where=where, remedy="Update worldloom.")
        manifest = Manifest.model_validate(values)
    except FileNotFoundError:
        raise BadInput("bad_manifest", "no such manifest", where=where) from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise BadInput("bad_manifest", f"not a manifest ({place}: {problem['msg']})", where=where) from None
    except (OSError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise BadInput("bad_manifest", f"not a manifest ({error})", where=where) from None
    if manifest.number != number:
        raise BadInput("bad_manifest", f"holds manifest {manifest.number}", where=where)
    return manifest


def latest(dataset: Path | str) -> Manifest:
    """The dataset as it is now.

    Raises:
        UsageError: there is no dataset in this place.
        BadInput: `bad_manifest`.
    """
    found = latest_or_none(dataset)
    if found is None:
        raise UsageError(f"{dataset}: no dataset here ({manifest_name(1)} was expected)")
    return found


def latest_or_none(dataset: Path | str) -> Manifest | None:
    """The dataset as it is now, or None where nothing was committed yet.

    Raises:
        BadInput: `bad_manifest`.
    """
    committed = numbers(dataset)
    return read_manifest(dataset, committed[-1]) if committed else None


def commit(dataset: Path | str, manifest: Manifest) -> Manifest:
    """Make this manifest the dataset, in one step. Every file it names is in place and on disk before.

    What was taken down before stays taken down, whoever commits: that list is carried forward here, and a catalog that
    holds any of it is refused.

    Args:
        dataset: a folder or `s3://bucket/prefix`.
        manifest: numbered one above the latest.

    Returns:
        What was committed.

    Raises:
        ManifestConflict: its number is taken, or it holds clips that were taken down; read `latest` again and decide
            anew.
        BadInput: `missing_file`, a file it names is not there or has another size; `bad_manifest`, there is none with
            the number before it; `bad_catalog`, what it holds cannot be told.
    """
    store = open_store(dataset)
    check_files(store, manifest)
    if manifest.number > 1:
        before = read_manifest(dataset, manifest.number - 1)
        if removed := union_of_removed(before, manifest):
            manifest = manifest.model_copy(update={"notes": {**manifest.notes, "removed": removed}})
    _refuse_taken_down(store, manifest)
    if not store.create(manifest_name(manifest.number), manifest.to_json().encode()):
        raise ManifestConflict(
            f"{dataset}/{manifest_name(manifest.number)}: another run committed it meanwhile and nothing of yours was "
            "lost; run the same command again to build on it"
        )
    copy_latest(dataset)
    return manifest


def _refuse_taken_down(store: Store, manifest: Manifest) -> None:
    from worldloom.catalogs.catalog import read_catalog
    from worldloom.catalogs.takedown import taken_down

    removed = removed_list(manifest)
    back = taken_down(read_catalog(local_file(store, manifest.catalog)), removed) if removed else []
    if back:
        some = ", ".join(back[:_MOST_NAMED])
        raise ManifestConflict(
            f"{store.place}/{manifest_name(manifest.number)}: {len(back)} of its clips were taken down ({some}), and a "
            "takedown stays; run the same command again to build it without them"
        )


def check_files(store: Store, manifest: Manifest) -> None:
    """Every file that a manifest names is there, by its size.

    Raises:
        BadInput: `missing_file`, naming the first that is not.
    """
    there = dict(store.listing("shards"))  # one request, where one per shard would be thousands
    for entry in (*manifest.shards, manifest.catalog):
        found = there[entry.path] if entry.path in there else store.size(entry.path)
        if found != entry.bytes:
            message = f"not there, or not of {entry.bytes} bytes"
            raise BadInput("missing_file", message, where=f"{store.place}/{entry.path}")


def missing_file(store: Store, entry: FileEntry) -> BadInput:
    """The error for a file that a manifest names and that is not there."""
    return BadInput("missing_file", "no such file", where=f"{store.place}/{entry.path}", remedy=_COPY_AGAIN)


def local_file(store: Store, entry: FileEntry) -> Path:
    """A local file with the content of a catalog, to be read at once.

    Raises:
        BadInput: `missing_file`; `bad_catalog`, it is not the one that was written. What is made from a damaged one
            would get a digest of its own, and nobody would notice any more.
    """
    try:
        path = store.local(entry.path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise missing_file(store, entry) from None
    if sha256 != entry.sha256:
        message = "its sha256 is not the one in the manifest"
        raise BadInput("bad_catalog", message, where=f"{store.place}/{entry.path}", remedy=_COPY_AGAIN)
    return path


def removed_list(manifest: Manifest) -> list[dict[str, str]]:
    """What was taken down: `{"key": ...}` for a clip, `{"sha256": ..., "uri": ...}` for all that came from a source.

    Raises:
        BadInput: `bad_manifest`, the list is none.
    """
    found = manifest.notes.get("removed", [])
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and {"key", "sha256"} & one.keys() and all(isinstance(text, str) for text in one.values())
        for one in found
    ):
        message = "notes.removed is no list of keys and digests, each a text"
        raise BadInput("bad_manifest", message, where=manifest_name(manifest.number), remedy=_COPY_AGAIN)
    return found


def union_of_removed(*manifests: Manifest) -> list[dict[str, str]]:
    """Everything that any of them says was taken down, each once, in an order of its own."""
    united = {json.dumps(one, sort_keys=True): one for manifest in manifests for one in removed_list(manifest)}
    return [united[text] for text in sorted(united)]


def copy_latest(dataset: Path | str) -> int:
    """Put a copy of the latest manifest at `manifest.json`, for readers that do not count; returns its number."""
    while True:
        manifest = latest(dataset)
        open_store(dataset).write("manifest.json", manifest.to_json().encode())
        if numbers(dataset)[-1] == manifest.number:  # else it may have replaced the copy of a newer one
            return manifest.number
