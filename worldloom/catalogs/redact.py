"""Secrets in addresses: what stands in logs, the ledger, quarantine files and samples has none.

`https://user:password@host/a.mp4?token=abc` becomes `https://host/a.mp4?...`.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)([^\s/?#'\"<>]*@)?([^\s?#'\"<>]*)(\?[^\s#'\"<>]*)?(#[^\s'\"<>]*)?"
)
_KEY = re.compile(
    r"(?i)(?<![a-z0-9])([a-z0-9_-]{0,40}?(?:password|passwd|secret|token|api_?key|access_?key(?:_?id)?|signature|authorization))"
    r"(\"?'?\s*[=:]\s*\"?'?)(?:(?:bearer|basic)\s+)?[^\s,;&'\"]+"
)


def without_secrets(address: str) -> str:
    """Addresses without user-info, query and fragment; anything else, a file name too, as it is.

    Args:
        address: one, or a text that holds some.
    """
    if "://" not in address:
        return address
    return _ADDRESS.sub(lambda found: f"{found[1]}{found[3]}{'?...' if found[4] or found[5] else ''}", address)


def redacted(text: str) -> str:
    """What may be shown of a sentence or a trace: as `without_secrets`, and without the values of `token=` and such.

    Args:
        text: of any length.
    """
    return _KEY.sub(r"\1\2...", without_secrets(text))
