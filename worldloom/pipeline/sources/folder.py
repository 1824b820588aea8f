"""A folder of videos: every file in it gets a row, whatever it turns out to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files


class FolderSource(Source):
    """Videos in a folder.

    Attributes:
        path: the folder. Hidden files are left out, links out of it are not followed.
        recursive: look into its folders too.
    """

    kind: Literal["folder"]
    path: Path
    recursive: bool = True

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def items(self) -> Iterator[SourceItem]:
        """One item per file, sorted by name within each folder."""
        source = self.model_dump(mode="json")
        for path in walk_files(self.path, recursive=self.recursive):
            uri = path.relative_to(self.path).as_posix()
            yield plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence))
