"""Rows of somebody's list, one at a time: CSV, JSON lines or Parquet, each row with its place for messages."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import UsageError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

_LONGEST_LINE = 1 << 20
_MOST_COLUMNS = 512
_BATCH_ROWS = 1024
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?")
_EXACT = 2**53
"""Whole numbers beyond it are names rather than counts, and a float would change them."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        place: of it, e.g. `line 7`.
        values: by column; of a text file, what looks like a number or `true` is one.
        problem: why it cannot be read; empty where it can.
    """

    place: str
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def read_rows(path: Path, name: str) -> Iterator[Row]:
    """Rows in order; memory does not grow with their number.

    Args:
        path: a local file.
        name: of the file, for its ending and for messages.

    Raises:
        UsageError: it is none of these kinds, or damaged as a whole.
    """
    ending = Path(name).suffix.lower()
    if ending == ".parquet":
        return _parquet_rows(path, name)
    if ending in (".jsonl", ".ndjson"):
        return _json_rows(path, name)
    if ending in (".csv", ".tsv"):
        return _csv_rows(path, name, "\t" if ending == ".tsv" else ",")
    raise UsageError(f"{name}: a list ends in {', '.join(ENDINGS)}")


def columns_of(path: Path, name: str) -> list[str]:
    """Names of the columns, of JSON lines those of the first row that can be read.

    Raises:
        UsageError: as `read_rows`; it has no columns.
    """
    ending = Path(name).suffix.lower()
    if ending == ".parquet":
        return list(_parquet_file(path, name).schema_arrow.names)
    if ending in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _header(csv.reader(file, delimiter="\t" if ending == ".tsv" else ",", strict=True), name)
    return next((list(row.values) for row in read_rows(path, name) if not row.problem), [])


def _csv_rows(path: Path, name: str, delimiter: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = _header(reader, name)
        while True:
            place = f"line {reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(place, problem=f"cannot be read ({error})")
                continue
            if not cells:
                continue
            if len(cells) != len(header):
                yield Row(place, problem=f"has {len(cells)} columns, {len(header)} expected")
            elif any(not _is_text(cell) for cell in cells):
                yield Row(place, problem="is not UTF-8")
            else:
                yield Row(place, {key: _typed(cell) for key, cell in zip(header, cells, strict=True)})


def _header(reader: Any, name: str) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader)]
    except (StopIteration, csv.Error) as error:
        raise UsageError(f"{name}: its first line names the columns, and cannot be read ({error})") from None
    if len(set(header)) != len(header) or not all(map(_is_text, header)) or len(header) > _MOST_COLUMNS:
        problem = f"at most {_MOST_COLUMNS} columns with different names expected, in UTF-8"
        raise UsageError(f"{name} line 1: {problem}; found {str(header)[:200]}")
    return header


def _json_rows(path: Path, name: str) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            place = f"line {number}"
            if len(line) > _LONGEST_LINE:
                yield Row(place, problem=f"is longer than {_LONGEST_LINE} bytes")
                while line and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE)
                continue
            if not line.strip():
                continue
            try:
                values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is no text
            except (ValueError, RecursionError) as error:
                yield Row(place, problem=f"is no JSON ({str(error)[:100]})")
                continue
            if isinstance(values, dict) and len(values) <= _MOST_COLUMNS:
                yield Row(place, values)
            else:
                yield Row(place, problem=f"is no mapping of at most {_MOST_COLUMNS} columns to values")


def _parquet_file(path: Path, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from worldloom.catalogs.parquet_extent import extent_problem

    try:
        if problem := extent_problem(path):
            raise UsageError(f"{name}: {problem}")
        file = pq.ParquetFile(path, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{name}: no Parquet file ({str(error)[:200]})") from None
    names = file.schema_arrow.names
    if len(set(names)) != len(names) or len(names) > _MOST_COLUMNS:
        raise UsageError(f"{name}: at most {_MOST_COLUMNS} columns with different names expected")
    return file


def _parquet_rows(path: Path, name: str) -> Iterator[Row]:
    import pyarrow as pa

    file = _parquet_file(path, name)
    number = 0
    try:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            for values in batch.to_pylist():
                number += 1
                yield Row(f"row {number}", {key: _plain(value) for key, value in values.items()})
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise UsageError(f"{name}: damaged after row {number} ({str(error)[:200]})") from None


def _typed(cell: str) -> str | float | bool | None:
    """A cell of a text file: numbers and `true` as what they are; 007 stays a text."""
    text = cell.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text) and (number := float(text)) and abs(number) < _EXACT:
        return number
    return 0.0 if text in ("0", "0.0") else text or None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT:
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


def _is_text(cell: str) -> bool:
    return cell.isascii() or not re.search("[\ud800-\udfff]", cell)
