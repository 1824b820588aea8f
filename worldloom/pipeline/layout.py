"""Where things lie in a working folder, on a disk or in an object store; knows nothing of what is in them."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

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

    def video_name(self, key: str) -> str:
        """The mp4 of an ingested clip."""
        return f"clips/{key[:2]}/{key}.mp4"

    def truth_name(self, key: str) -> str:
        """What a renderer knows about a clip; never packed."""
        return f"truth/{key[:2]}/{key}.zip"

    def blob_name(self, operation: str, recipe: str, key: str) -> str:
        """A large result."""
        return f"blobs/{operation}/{recipe}/{key[:2]}/{key}.npz"

    def shard_name(self, name: str) -> str:
        """A shard of the dataset."""
        return f"dataset/shards/{name}"

    def video(self, key: str) -> Path:
        """A local file to read the clip's mp4 from; in a folder it is the file itself, whether or not it is there.

        Raises:
            FileNotFoundError: it is not in the object store.
        """
        if isinstance(self.store, FolderStore):
            return self.store.folder / self.video_name(key)
        return self.store.local(self.video_name(key))

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

    def forget_drafts(self) -> None:
        """Remove what a run that was killed left unfinished."""
        if isinstance(self.store, FolderStore):
            rmtree(self.store.folder / TMP, ignore_errors=True)

    def write_json(self, name: str, values: Any) -> None:
        """Write a small JSON file that is either there as a whole or not at all."""
        self.store.write(name, json.dumps(values, indent=1, sort_keys=True).encode())
