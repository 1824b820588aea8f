"""Data as a script that a page may load from `file://`, where it may not fetch: one line that assigns plain values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z]+\Z")
_OUTSIDE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027", "\x7f": "\\u007f"})


def write_data(path: Path, name: str, values: Any) -> Path:
    """Write `worldloomData.<name> = JSON.parse('...')`.

    A text that holds JSON, and no literal of the script's own: nothing in it can be anything but data, a key
    `__proto__` included, and browsers read it faster. The text is ASCII and has no `<`, `>`, `&` and quotes as such.

    Args:
        path: of the file; its folder is made.
        name: lower-case letters.
        values: plain data; no NaN and no infinity.
    """
    assert _NAME.match(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(name, values), encoding="ascii")
    return path


def script(name: str, values: Any) -> str:
    """The text of such a file."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    inside = text.replace("\\", "\\\\").translate(_OUTSIDE)
    return f"window.worldloomData=window.worldloomData||{{}};worldloomData.{name}=JSON.parse('{inside}');\n"


def read_data(path: Path) -> Any:
    """What `write_data` wrote; for tests and comparisons.

    Raises:
        ValueError: it is no such file.
    """
    text = path.read_text(encoding="ascii")
    found = re.fullmatch(r"[^']*JSON\.parse\('([^']*)'\);\n", text)
    if found is None:
        raise ValueError(f"{path}: not a file of data")
    return json.loads(re.sub(r"\\(u00[0-9a-f]{2}|\\)", lambda one: _unescaped(one[1]), found[1]))


def _unescaped(code: str) -> str:
    return "\\" if code == "\\" else chr(int(code[1:], 16))
