"""Markdown of a card: text of others stays text, in whatever cell or line it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", "`": "'", **{sign: f"\\{sign}" for sign in "\\|[]!*~"}})

_EDGE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Underscores that would begin or end emphasis; those inside words do not."""


def table(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table; cells are text and carry no markup."""
    rows = [[cell(one) for one in heads], ["---"] * len(heads), *([cell(value) for value in line] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cell(value: Any) -> str:
    """Text of others that stays inside its cell and carries no markup: no links, pictures, tags or entities."""
    return _EDGE.sub(r"\_", " ".join(str(value).split()).translate(_ESCAPED))


def code(value: Any) -> str:
    """Text of others as code on one line, in which nothing but a backtick is markup."""
    text = " ".join(str(value).split()).replace("`", "'")
    return f"`{text}`"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)
