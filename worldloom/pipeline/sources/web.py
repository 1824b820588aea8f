"""Videos of the web: a list of addresses, one row each, whose further columns reach the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PrivateAttr, field_validator

from worldloom.catalogs.attributes import plain_attributes
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.storage import is_remote, open_store
from worldloom.pipeline.fetch.addresses import Address, AddressRules, parse_address
from worldloom.pipeline.fetch.names import canonical, shown, url_sha256
from worldloom.pipeline.fetch.settings import Fetching
from worldloom.pipeline.sources.footage import Footage, Known, Workplace
from worldloom.pipeline.sources.rows import Row, columns_of, read_rows
from worldloom.pipeline.sources.source import Source, SourceItem

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

_SITE = {
    "title": "title",
    "uploader": "uploader",
    "upload_date": "upload_date",
    "license": "site_licence",
    "extractor": "site",
    "id": "site_id",
    "webpage_url": "page",
}
"""What a page tells about its video, and the attribute that it becomes."""


class WebSource(Source, Fetching):
    """Videos by their addresses.

    Attributes:
        list: CSV (`.csv`, `.tsv`), JSON lines (`.jsonl`) or Parquet, in a folder or an object store.
        url_column: that holds the addresses.
        licence_column: that holds a licence for each row; where it is empty, the source's counts.
        caption_column: that holds a caption.
    """

    execution_keys: ClassVar[tuple[str, ...]] = (
        "url_column", "licence_column", "caption_column",  # what they say is in each item
        "allow_http", "allow_hosts", "max_mb", "max_seconds", "retries", "keep_downloads",
    )  # fmt: skip

    kind: Literal["web"]
    list: Path | str
    url_column: str = "url"
    licence_column: str | None = None
    caption_column: str | None = None

    _told: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    @field_validator("list", mode="before")
    @classmethod
    def _a_path_or_an_address(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) and not is_remote(value) else value

    def items(self) -> Iterator[SourceItem]:
        """One item per row, in order; what is no address, or one that stood there before, is an item with a problem."""
        source, rules, name = self.model_dump(mode="json"), self.rules, self._name
        first: dict[int, str] = {}
        for row in read_rows(self._local(), name):
            if row.problem:
                yield SourceItem(source, f"{name} {row.place}", problem=("bad_row", row.problem))
                continue
            item, address = self._item(source, row, rules)
            if address is not None:
                short = int(url_sha256(address.url)[:16], 16)  # a number is all that a million rows leave
                if (before := first.setdefault(short, row.place)) != row.place:
                    problem = ("duplicate_url", f"it has the address that {before} has: {item.uri}")
                    item = SourceItem(source, f"{name} {row.place}", problem=problem)
            yield item

    def _item(self, source: dict[str, Any], row: Row, rules: AddressRules) -> tuple[SourceItem, Address | None]:
        values = dict(row.values)
        url = values.pop(self.url_column, None)
        licence = values.pop(self.licence_column, None) if self.licence_column else None
        caption = values.pop(self.caption_column, None) if self.caption_column else None
        licence, caption = str(licence or "").strip() or self.licence, str(caption or "").strip()
        try:
            if url is None or isinstance(url, bool | float):
                raise BadInput("bad_url", f"the column {self.url_column} holds no address")
            address = canonical(parse_address(str(url), rules), pages=self.fetcher == "yt-dlp")
        except BadInput as error:
            uri = f"{self._name} {row.place}"
            return SourceItem(source, uri, problem=(error.reason, str(error))), None
        attributes, detail = plain_attributes(values), {"url": address.url, "sha256": url_sha256(address.url)}
        item = SourceItem(
            source, shown(address), licence=licence, caption=caption, attributes=attributes, detail=detail
        )
        return item, address

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The file of the address, fetched where it is not here yet.

        Raises:
            BadInput: it cannot be had: `gone`, `forbidden`, `withheld`, `too_large`, `address_refused`, `no_such_host`,
                `bad_certificate`, `bad_redirect`, `bad_answer`, `no_format`.
            Unreachable: it cannot be had now; the row fails, and can be tried again.
        """
        fetched = self.fetch(self._url(item), workplace.downloads / "web", workplace.scratch)
        self._told[item.uri] = fetched.told
        return Footage(video=fetched.path, sha256=fetched.sha256, retrieved_at=fetched.retrieved_at)

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """What the page says about the video, as far as the list does not."""
        told = self._told.pop(item.uri, {})
        attributes = {ours: told[name] for name, ours in _SITE.items() if name in told and ours not in item.attributes}
        return Known(attributes=attributes)

    def check(self, where: str, fps: float | None, height: int | None, max_seconds: float) -> None:
        """Refuse a list that cannot be read, or that lacks a column."""
        super().check(where, fps, height, max_seconds)
        self.check_fetching(where)
        try:
            columns = columns_of(self._local(), self._name)
        except FileNotFoundError:
            raise UsageError(f"{where}.list: no such file: {self.list}") from None
        except UsageError as error:
            raise UsageError(f"{where}.list: {error}") from None
        if PurePosixPath(self._name).suffix.lower() in (".jsonl", ".ndjson"):
            return  # every row may have columns of its own
        for key in ("url_column", "licence_column", "caption_column"):
            column = getattr(self, key)
            if column is not None and column not in columns:
                named = ", ".join(columns[:20])
                raise UsageError(
                    f"{where}.{key}: {self._name} has no column '{column}'{nearest(column, columns)} ({named})"
                )

    def _url(self, item: SourceItem) -> str:
        """The whole address of an item; where it came without its secrets, as from a quarantine file, by the list."""
        url, sha256 = str(item.detail["url"]), item.detail["sha256"]
        if url_sha256(url) == sha256:
            return url
        for one in self.items():
            if one.detail.get("sha256") == sha256:
                return str(one.detail["url"])
        raise BadInput("gone", f"its address stands in {self._name} no more", where=item.uri)

    @property
    def _name(self) -> str:
        return PurePosixPath(self.list).name

    def _local(self) -> Path:
        if isinstance(self.list, Path):
            if not self.list.is_file():
                raise FileNotFoundError(self.list)
            return self.list
        folder, _, name = self.list.rpartition("/")
        return open_store(folder).local(name)
