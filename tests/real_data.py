"""Where the real sequences lie that tests and benchmarks use; none of them is part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(*parts: str) -> Path:
    """A file or folder of the real data; skips the test, with the reason, where it is absent."""
    root = Path(os.environ.get("WORLDLOOM_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    place = root.joinpath(*parts)
    if not place.exists():
        pytest.skip(f"real data not here: {'/'.join(parts)} (set WORLDLOOM_REAL_DATA)")
    return place
