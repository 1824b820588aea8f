"""docs/dataset.md runs as it is written: every block, in order, and what it prints has the columns that it shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.catalogs.edited import KEYS, build, clip
from worldloom.catalogs.card import write_card
from worldloom.catalogs.clip import Annotation, Clip, Event

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dataset.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of the page and what it shows as printed."""

    language: str
    code: str
    shown: str


def blocks() -> list[Block]:
    """Code that is run, each with the text block that follows it at once."""
    page = PAGE.read_text()
    found = list(BLOCK.finditer(page))
    made = []
    for number, match in enumerate(found):
        if match[1] in ("python", "sql", "sh"):
            after = found[number + 1] if number + 1 < len(found) else None
            follows = (
                after is not None and after[1] == "text" and not PAGE.read_text()[match.end() : after.start()].strip()
            )
            made.append(Block(match[1], match[2], after[2] if after is not None and follows else ""))
    return made


def labelled(number: int, scene: str, **values: Any) -> Clip:
    """A slow clip with a subject that is gone for 3.5 s, revisits, and no depth."""
    made = clip(number, **values)
    made.fps = Fraction(2)
    made.events = [Event(4, 2, 9, "left_view", "left_view", "left", "left"), Event(7, None, 2, None, "occluded")]
    assert made.revisits is not None
    made.revisits.density = 0.25 + 0.05 * number
    made.annotations |= {
        name: Annotation("ok", name, "1", confidence=0.9) for name in ("actions", "revisits", "subjects")
    }
    made.attributes = {"scene": scene}
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("page")
    plan = [
        ("train", [labelled(0, "park"), labelled(1, "hall", source=0, parents=[KEYS[0]]), labelled(2, "park")]),
        ("train", [labelled(3, "street")]),
        ("test", [labelled(4, "hall"), labelled(5, "hall", source=4, parents=[KEYS[4]])]),
    ]
    write_card(build(place / "runs" / "demo" / "dataset", plan, name="demo"))
    with contextlib.chdir(place):
        yield place


def columns_shown(box: str) -> list[str]:
    """Names in the head of a table as DuckDB draws it."""
    head = next(line for line in box.splitlines() if line.startswith("│"))
    return [name.strip() for name in head.strip("│").split("│")]


def test_the_page_runs_as_written(folder: Path) -> None:
    for package in ("webdataset", "torch", "mlcroissant", "duckdb", "av"):
        pytest.importorskip(package)
    names: dict[str, Any] = {"__name__": "page"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    asked = 0
    for block in blocks():
        if block.language == "sh":
            done = subprocess.run(["bash", "-ec", block.code], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{block.code}\n{done.stdout}{done.stderr}"
        elif block.language == "sql":
            found = names["connection"].sql(block.code)
            asked += 1
            assert len(found.fetchall()) > 0, f"no rows: {block.code}"
            assert columns_shown(block.shown) == found.columns, block.code
        else:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.code, str(PAGE), "exec"), names)
            assert bool(printed.getvalue().strip()) == bool(block.shown.strip()), block.code
            assert words(printed.getvalue()) == words(block.shown)
    assert asked >= 10, "what a researcher asks"
    assert names["connection"].sql(blocks_of("sql")[-1].code).fetchall() == [(0, 0)], (
        "the splits of the example are sound"
    )


def words(printed: str) -> list[str]:
    """What does not depend on the dataset: names, not numbers and not keys."""
    plain = re.sub(r"\b[a-z2-7]{26}\b|shards/\S+", "", printed)
    return [word for word in re.findall(r"[a-z][a-z_]+", plain) if word not in ("train", "test", "absent", "ok")]


def blocks_of(language: str) -> list[Block]:
    return [block for block in blocks() if block.language == language]


def test_every_question_shows_what_came_of_it() -> None:
    assert all(block.shown for block in blocks_of("sql"))
    assert len(blocks_of("sql")) == len(re.findall(r"^\*\*\d+\. ", PAGE.read_text(), re.MULTILINE)) == 11
