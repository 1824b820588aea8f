"""Where the video of a page lies, by yt-dlp: it reads pages and nothing else, and whatever it asks goes through us.

Every request of yt-dlp is made by the same client as our own, so addresses are checked, pinned and held to their
certificates; the video is fetched by our downloader. It has no configuration files, plugins, cookies of browsers,
passwords, proxies, external programs or cache. What it chooses is one file of the web: lists of segments (HLS, DASH)
are not put together.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

os.environ.setdefault("YTDLP_NO_PLUGINS", "1")  # read when its modules come in: plugins are code from anywhere

import yt_dlp
from yt_dlp.networking import Request, RequestHandler, Response
from yt_dlp.networking.common import RequestDirector
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import GeoRestrictedError, UnsupportedError, YoutubeDLError

from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.catalogs.redact import redacted
from worldloom.pipeline.fetch.addresses import join_address, parse_address
from worldloom.pipeline.fetch.client import MOST_REDIRECTS, REDIRECTS, Alarm, Answer, Client
from worldloom.pipeline.fetch.download import Lead

_MOST_PAGE_BYTES = 32_000_000
"""Of one page or script (default ours); the largest players are a tenth of that."""

_PIECE = 1 << 16
_SENT = frozenset({"user-agent", "accept", "accept-language", "referer", "origin"})
"""Headers that yt-dlp may ask to be sent along with the request for the video."""

_TOLD = ("id", "title", "uploader", "license", "upload_date", "webpage_url", "extractor", "duration", "fps")
_LONGEST_TOLD = 500

_WHY = {
    "": re.compile(r"not a bot|too many requests|rate.?limit|try again later"),
    "forbidden": re.compile(
        r"private|sign in|log ?in|members|subscri|age.restricted|your country|geo.?(block|restrict)"
    ),
    "withheld": re.compile(r"copyright|legal|court order"),
    "gone": re.compile(r"unavailable|not available|removed|deleted|terminated|no longer|not exist|not found|closed"),
}
"""What sites say about a video that cannot be had, and the reason it counts by; an empty one passes."""


def find_video(url: str, client: Client, deadline: float, max_height: int, max_bytes: int) -> Lead:
    """The file of the video that a page is about.

    Args:
        url: of the page.
        client: asks.
        deadline: time of the monotonic clock until which reading pages may take.
        max_height: pixels; the best file that is no higher.
        max_bytes: a file that says to be larger is not chosen.

    Raises:
        BadInput: `gone`, `forbidden`, `withheld`, `no_format`, `bad_answer`, and what the client refuses.
        Unreachable: it cannot be told now.
    """
    session = _Session(client, deadline)
    try:
        with _Reader(session, _options(max_height, max_bytes)) as reader:
            info = reader.extract_info(url, download=False)
    except YoutubeDLError as error:
        raise session.explained(error, url) from None
    if session.problem is not None and not info:
        raise session.problem
    if not isinstance(info, dict) or info.get("_type", "video") != "video":
        raise BadInput("bad_answer", "a list of videos, not one", where=url, remedy="List each video by itself.")
    if info.get("is_live") or not isinstance(info.get("url"), str):
        raise BadInput("no_format", "there is no file of it, only a stream", where=url)
    headers = {name: str(value) for name, value in (info.get("http_headers") or {}).items() if name.lower() in _SENT}
    return Lead(info["url"], headers, _told(info), passing=frozenset({401, 403}))


def _options(max_height: int, max_bytes: int) -> dict[str, Any]:
    """All that decides what yt-dlp does, so that nothing is left to the machine it runs on."""
    file = f"[protocol~='^https?$'][height<=?{max_height}][filesize<?{max_bytes}]"
    return {
        "format": f"bestvideo[ext=mp4]{file}/best[ext=mp4]{file}/bestvideo{file}/best{file}",
        "allowed_extractors": ["default"],
        "cachedir": False,
        "enable_file_urls": False,
        "extract_flat": "in_playlist",
        "extractor_retries": 1,
        "fixup": "never",
        "js_runtimes": {},
        "logger": _Quiet(),
        "noplaylist": True,
        "noprogress": True,
        "postprocessors": [],
        "proxy": "",
        "quiet": True,
        "remote_components": [],
        "skip_download": True,
        "usenetrc": False,
    }


class _Session:
    """What one look for a video has come upon.

    Attributes:
        problem: the first request that our own rules or the network have ended.
    """

    def __init__(self, client: Client, deadline: float) -> None:
        self.client, self.deadline = client, deadline
        self.problem: BadInput | Unreachable | None = None

    def note(self, problem: BadInput | Unreachable) -> TransportError:
        """Keep a problem, and say it to yt-dlp in its own way."""
        self.problem = self.problem or problem
        return TransportError(str(problem))

    def explained(self, error: YoutubeDLError, url: str) -> BadInput | Unreachable:
        """Why there is no video, as the job counts it."""
        causes = list(_causes(error))
        if isinstance(self.problem, BadInput):
            return self.problem
        text = redacted(re.sub(r"\x1b\[[0-9;]*m|^ERROR: ", "", str(error)))[:500]
        for cause in causes:
            if isinstance(cause, HTTPError):
                reason = {404: "gone", 410: "gone", 451: "withheld"}.get(cause.status)
                return BadInput(reason, text, where=url) if reason else Unreachable(text)
        if self.problem is not None:
            return self.problem
        for cause in causes:
            if isinstance(cause, UnsupportedError):
                return BadInput("bad_answer", f"no page that yt-dlp can read: {text}", where=url)
            if isinstance(cause, GeoRestrictedError):
                return BadInput("forbidden", text, where=url)
        if "format is not available" in text or "No video formats" in text:
            said = "no file of it fits fetcher, max_height and max_mb; what comes in segments is not put together"
            return BadInput("no_format", said, where=url)
        reason = next((reason for reason, said in _WHY.items() if said.search(text.lower())), "")
        return BadInput(reason, text, where=url) if reason else Unreachable(text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that it was made of."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        told = getattr(one, "exc_info", None) or ()
        found = [one.__cause__, one.__context__, getattr(one, "cause", None), *told[1:2]]
        left += [cause for cause in found if isinstance(cause, BaseException)]


class _Reader(yt_dlp.YoutubeDL):
    """yt-dlp with one way to the web: ours."""

    def __init__(self, session: _Session, options: dict[str, Any]) -> None:
        self._session = session
        super().__init__(options, auto_init=True)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> RequestDirector:
        """A director of requests that knows our handler only."""
        director = RequestDirector(logger=_Quiet(), verbose=False)
        director.add_handler(_CheckedRH(self._session, headers=self.params["http_headers"], cookiejar=self.cookiejar))
        return director


class _CheckedRH(RequestHandler):
    """Requests of yt-dlp, made by our client."""

    _SUPPORTED_URL_SCHEMES: ClassVar[Any] = ("http", "https")
    _SUPPORTED_PROXY_SCHEMES: ClassVar[Any] = None
    _SUPPORTED_FEATURES: ClassVar[Any] = None

    def __init__(self, session: _Session, *, headers: Any, cookiejar: Any) -> None:
        super().__init__(logger=_Quiet(), headers=headers, cookiejar=cookiejar)
        self._session = session

    def _check_extensions(self, extensions: dict[str, Any]) -> None:
        extensions.clear()  # timeouts, cookies of one request, old encryption: ours to decide

    def _send(self, request: Request) -> Response:
        session = self._session
        try:
            answer = self._followed(request)
        except (BadInput, Unreachable) as problem:
            raise session.note(problem) from None
        response = Response(_Body(answer, session), answer.address.url, dict(answer.headers), status=answer.status)
        if not 200 <= response.status < 300:
            raise HTTPError(response)
        return response

    def _followed(self, request: Request) -> Answer:
        client = self._session.client
        address = parse_address(request.url, client.rules)
        method = request.method
        body = request.data if request.data is None or isinstance(request.data, bytes) else b"".join(request.data)
        for _ in range(MOST_REDIRECTS + 1):
            if time.monotonic() > self._session.deadline:
                raise Unreachable(f"{address.shown}: its page takes too long")
            headers = {name: value for name, value in self._get_headers(request).items() if name.lower() != "cookie"}
            if cookies := self._get_cookiejar(request).get_cookie_header(address.url):
                headers["Cookie"] = cookies  # of this session alone; the jar was empty when it began
            answer = client.ask(address, method=method, headers=headers, body=body)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            answer.close()
            address = join_address(address, location, client.rules)
            if answer.status == 303 or (method == "POST" and answer.status in (301, 302)):
                method, body = ("HEAD" if method == "HEAD" else "GET"), None
        raise BadInput("bad_redirect", f"more than {MOST_REDIRECTS} redirects", where=address.shown)


class _Body(io.RawIOBase):
    """A page's body as a file, of limited size and time."""

    def __init__(self, answer: Answer, session: _Session) -> None:
        self._answer, self._session, self._left = answer, session, _MOST_PAGE_BYTES

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer at the end, all where no number is given.

        Raises:
            TransportError: it breaks off, is too large, or takes too long.
        """
        wanted = _MOST_PAGE_BYTES + 1 if size is None or size < 0 else size
        pieces: list[bytes] = []
        session = self._session
        try:
            with Alarm(session.deadline - time.monotonic(), self._answer.cut) as alarm:
                while wanted > 0 and (piece := self._answer.read(min(wanted, _PIECE))):
                    pieces.append(piece)
                    wanted -= len(piece)
                    self._left -= len(piece)
                    if self._left < 0:
                        where = self._answer.address.shown
                        raise BadInput("bad_answer", f"a page of more than {_MOST_PAGE_BYTES / 1e6:g} MB", where=where)
            if alarm.rang:
                raise Unreachable(f"{self._answer.address.shown}: its page takes too long")
        except (BadInput, Unreachable) as problem:
            raise session.note(problem) from None
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._answer.close()
        super().close()


class _Quiet:
    """Takes what yt-dlp says: addresses with their secrets among it, which belong into no log."""

    def debug(self, message: str, *_: Any, **__: Any) -> None:
        """Nothing."""

    info = warning = error = stdout = stderr = debug
    report_warning = bug_report = debug


def _told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says about the video, small and plain."""
    told: dict[str, Any] = {}
    for name in _TOLD:
        value = info.get(name)
        if isinstance(value, bool | int | float):
            told[name] = value
        elif isinstance(value, str) and value:
            told[name] = redacted(value)[:_LONGEST_TOLD]
    return told
