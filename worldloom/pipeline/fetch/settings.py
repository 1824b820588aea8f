"""How a source fetches its files: the keys of a job, and the one function that does it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.pipeline.fetch.addresses import AddressRules

if TYPE_CHECKING:
    from worldloom.pipeline.fetch.client import Client
    from worldloom.pipeline.fetch.download import Lead
    from worldloom.pipeline.fetch.shelf import Fetched


class Fetching(Strict):
    """How files are fetched from the web.

    Attributes:
        fetcher: `direct` for addresses of files; `yt-dlp` for pages about a video, as of YouTube (extra `yt-dlp`).
        allow_http: unencrypted addresses too.
        allow_hosts: hosts, IP addresses and networks that may be asked although they are not of the open internet.
        max_mb: largest file, 10^6 bytes (default ours).
        max_seconds: wall clock per file, waits and attempts included (default ours); ingest's own deadline counts on.
        retries: attempts after the first (default ours), with growing waits between them.
        max_height: pixels, for `yt-dlp`: the best file that is no higher (default ours).
        keep_downloads: keep what was fetched, so that another run, or another clip of the same video, finds it. Without
            it nothing is gone on with either.
    """

    fetcher: Literal["direct", "yt-dlp"] = "direct"
    allow_http: bool = False
    allow_hosts: tuple[str, ...] = ()
    max_mb: float = Field(default=2000.0, gt=0, le=1e6)
    max_seconds: float = Field(default=900.0, gt=0, le=86_400)
    retries: int = Field(default=4, ge=0, le=20)
    max_height: int = Field(default=1080, ge=16, le=8192)
    keep_downloads: bool = True

    @property
    def rules(self) -> AddressRules:
        """Which addresses may be asked.

        Raises:
            UsageError: `allow_hosts` names what is neither a host nor a network.
        """
        return AddressRules.of(self.allow_http, self.allow_hosts)

    def check_fetching(self, where: str) -> None:
        """Refuse what cannot work before anything runs.

        Raises:
            UsageError: an extra is missing, or a key makes no sense.
        """
        try:
            self.rules  # noqa: B018
        except UsageError as error:
            raise UsageError(f"{where}.{error}") from None
        if self.fetcher == "yt-dlp" and find_spec("yt_dlp") is None:
            raise UsageError(f"{where}.fetcher: yt-dlp is not installed; pip install 'worldloom[yt-dlp]'")

    def fetch(self, url: str, downloads: Path, scratch: Path) -> Fetched:
        """The file of an address, here.

        Args:
            url: whole.
            downloads: folder that lasts.
            scratch: folder of this call.

        Raises:
            BadInput, Unreachable: as `Downloader.fetch`.
        """
        from worldloom.pipeline.fetch.download import Caps, Downloader

        client, caps = _client(self.rules), Caps(int(self.max_mb * 1e6), self.max_seconds, self.retries)
        downloader = Downloader(downloads if self.keep_downloads else scratch / "downloads", client, caps)
        if self.fetcher == "direct":
            return downloader.fetch(url)

        def find(deadline: float) -> Lead:
            from worldloom.pipeline.fetch.pages import find_video

            return find_video(url, client, deadline, self.max_height, caps.max_bytes)

        try:
            return downloader.fetch(url, find, key=f"yt-dlp {self.max_height} ")
        except BadInput as error:
            # The page leads where it likes; a list of addresses names the page.
            raise BadInput(error.reason, error.message, where=url, remedy=error.remedy) from None


@cache
def _client(rules: AddressRules) -> Client:
    """One for all files: it reads the machine's certificates once."""
    from worldloom.pipeline.fetch.client import Client

    return Client(rules)
