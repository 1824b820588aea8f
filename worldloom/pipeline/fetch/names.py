"""What an address is called: one form of it for asking, and one without secrets for reading."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qs, urlsplit

from worldloom.pipeline.fetch.addresses import Address

_YOUTUBE = re.compile(r"(?:www\.|m\.|music\.)?youtube(?:-nocookie)?\.com")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_YOUTUBE_PATH = re.compile(r"/(?:embed|shorts|live|v)/([A-Za-z0-9_-]{11})/?")

_DIGITS = 16
"""Of a digest in a name: of a million addresses that differ only there, two are the same by a chance of 1 in 10^7."""


def youtube_id(address: Address) -> str:
    """The video that a page of YouTube is about; empty for every other address."""
    parts = urlsplit(address.url)
    found = ""
    if address.host == "youtu.be":
        found = parts.path.strip("/")
    elif _YOUTUBE.fullmatch(address.host):
        path = _YOUTUBE_PATH.fullmatch(parts.path)
        found = path[1] if path else parse_qs(parts.query).get("v", [""])[0]
    return found if _YOUTUBE_ID.fullmatch(found) else ""


def canonical(address: Address, *, pages: bool) -> Address:
    """The one form of an address; of pages, those of YouTube are known by the video and nothing else."""
    video = youtube_id(address) if pages else ""
    return Address("https", "youtu.be", 443, f"/{video}") if video else address


def shown(address: Address) -> str:
    """The name of an address: without secrets, and where something was left out, with a digest of the whole."""
    plain = address.shown
    return plain if plain == address.url else f"{plain} [{url_sha256(address.url)[:_DIGITS]}]"


def url_sha256(url: str) -> str:
    """Hex digest of a whole address, which tells nothing about it."""
    return hashlib.sha256(url.encode()).hexdigest()
