"""What `clean --downloads` takes: files that sources have fetched, which no clip needs once it is ingested."""

from __future__ import annotations

from collections.abc import Iterator

from worldloom.catalogs.storage import FolderStore
from worldloom.pipeline.layout import Layout

WHY = "the clips are here; another `ingest` or `--retry` fetches them again, if they are still there"


def downloads_of(layout: Layout) -> Iterator[str]:
    """Names of all files in the working folder's `downloads`: whole ones, parts, what is noted of them, and locks.

    Nobody holds the locks while the caller has that of the working folder.

    Args:
        layout: of the working folder; an object store keeps its downloads on the machines that fetch, and has none.
    """
    if isinstance(layout.store, FolderStore):
        root = layout.store.folder
        yield from (path.relative_to(root).as_posix() for path in layout.downloads().rglob("*") if path.is_file())
