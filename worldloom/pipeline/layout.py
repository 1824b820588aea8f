"""Where things lie in a working folder, on a disk or in an object store; knows nothing of what is in them."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from worldloom.catalogs.config import digest
from worldloom.catalogs.storage import FolderStore, Store, inside, open_store

TMP = "tmp"
"""Folder of unfinished files, where the working folder is a folder; whatever is in it is nobody's."""


class Layout:
    """Names of files in a working folder, and the store they lie in.

    Args:
        out: the folder, or `s3://bucket/prefix`.

    Attributes:
        out: as given.
        store: reads and writes the files.
        dataset: place of the dataset.
    """

    def __init__(self, out: Path | str) -> None:
        self.out = out
        self.store: Store = open_store(out)
        self.dataset = inside(out, "dataset")

    def part_name(self, operation: str, recipe: str) -> str:
        """A new file of results of one operation."""
        return f"annotations/{operation}/{recipe}/part-{uuid.uuid4().hex}.parquet"

    def video_name(self, recipe: str, key: str) -> str:
        """The mp4 that ingest by this recipe makes of a clip; by another one the same key may be larger or longer.

        A key that a source claims is no name of a file, see `worldloom.pipeline.parcel.STORED`.
        """
        return f"clips/{recipe}/{key[:2]}/{key}.mp4"

    def truth_name(self, recipe: str, key: str) -> str:
        """What a renderer knows about a clip that ingest has made by this recipe; never packed."""
        return f"truth/{recipe}/{key[:2]}/{key}.zip"

    def blob_name(self, operation: str, recipe: str, key: str, sha256: str) -> str:
        """A large result. Of what it is, too: the same recipe finds something else where a person has corrected what
        it builds on, and both answers stay."""
        return f"blobs/{operation}/{recipe}/{key[:2]}/{key}-{sha256[:16]}.npz"

    def shard_name(self, name: str) -> str:
        """A shard of the dataset."""
        return f"dataset/shards/{name}"

    def video(self, recipe: str, key: str) -> Path:
        """A local file to read the clip's mp4 from; in a folder it is the file itself, whether or not it is there.

        Raises:
            FileNotFoundError: it is not in the object store.
        """
        name = self.video_name(recipe, key)
        return self.store.folder / name if isinstance(self.store, FolderStore) else self.store.local(name)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder of one's own, gone afterwards; where `out` is a folder, on the same file system."""
        if isinstance(self.store, FolderStore):
            folder = self.store.folder / TMP / uuid.uuid4().hex
            folder.mkdir(parents=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="worldloom-"))
        try:
            yield folder
        finally:
            rmtree(folder, ignore_errors=True)

    def downloads(self) -> Path:
        """A lasting local folder for what sources fetch; where `out` is no folder, one of this user on this machine."""
        if isinstance(self.store, FolderStore):
            return self.store.folder / "downloads"
        mine = f"worldloom-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        return Path(tempfile.gettempdir(), mine, "downloads", digest([str(self.out)], length=16))

    def forget_drafts(self) -> None:
        """Remove what a run that was killed left unfinished."""
        if isinstance(self.store, FolderStore):
            rmtree(self.store.folder / TMP, ignore_errors=True)

    def write_json(self, name: str, values: Any) -> None:
        """Write a small JSON file that is either there as a whole or not at all."""
        self.store.write(name, json.dumps(values, indent=1, sort_keys=True).encode())
