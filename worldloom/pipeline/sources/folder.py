"""A folder of videos, on a disk or in an object store: every file in it gets a row, whatever it turns out to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.storage import ObjectStore, checked_name, is_remote, open_store
from worldloom.pipeline.sources.footage import Footage, Workplace
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files


class FolderSource(Source):
    """Videos in a folder.

    Attributes:
        path: the folder, or `s3://bucket/prefix`. Hidden files are left out, links out of a folder are not followed.
        recursive: look into its folders too.
    """

    execution_keys: ClassVar[tuple[str, ...]] = ("recursive",)

    kind: Literal["folder"]
    path: Path | str
    recursive: bool = True

    @field_validator("path", mode="before")
    @classmethod
    def _a_path_or_an_address(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) and not is_remote(value) else value

    def folders(self) -> dict[str, Path]:
        """The folder, where it is one."""
        return {"path": self.path} if isinstance(self.path, Path) else {}

    def items(self) -> Iterator[SourceItem]:
        """One item per file, sorted by name within each folder; in an object store by the whole name."""
        source = self.model_dump(mode="json")
        if not isinstance(self.path, Path):
            yield from self._stored(source, self.path)
            return
        for path in walk_files(self.path, recursive=self.recursive):
            uri = path.relative_to(self.path).as_posix()
            yield plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence))

    def _stored(self, source: dict[str, Any], place: str) -> Iterator[SourceItem]:
        store = open_store(place)
        assert isinstance(store, ObjectStore)
        for name, size, version, written in sorted(store.states()):
            parts = name.split("/")
            if any(part.startswith(".") for part in parts) or (len(parts) > 1 and not self.recursive):
                continue
            if size == 0 and name.endswith("/"):  # how some programs mark a folder
                continue
            problem = None
            try:
                checked_name(name)
            except ValueError:
                problem = ("bad_name", "its name has other characters than A-Z a-z 0-9 _ . = + @ - and /; rename it")
            detail = {"written": written}
            address = f"{place.rstrip('/')}/{name}"
            stamp = digest([size, version])
            yield plainly_named(
                SourceItem(source, name, address, self.licence, problem=problem, detail=detail, stamp=stamp)
            )

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The file, from an object store a copy of it."""
        if isinstance(self.path, Path):
            return super().footage(item, workplace)
        try:
            copy = open_store(self.path).local(item.uri)
        except FileNotFoundError:
            raise BadInput("gone", "it is in the object store no more", where=item.uri) from None
        return Footage(video=copy, retrieved_at=str(item.detail["written"]))

    def check(self, where: str, fps: float | None, height: int | None, max_seconds: float) -> None:
        """Refuse what cannot work before anything runs."""
        super().check(where, fps, height, max_seconds)
        if not isinstance(self.path, Path):
            try:
                open_store(self.path)
            except UsageError as error:
                raise UsageError(f"{where}.path: {error}") from None
