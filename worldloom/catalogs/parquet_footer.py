"""The counts in the footer of a Parquet file, read here because pyarrow ends the process over some damaged ones.

`RowGroupMetaData.column()` of pyarrow 26 lets a C++ exception through that nobody can catch (found by fuzzing:
"Definition level histogram size mismatch"); opening and reading the same file raise as they should. A footer is a
Thrift structure in the compact protocol, between the pages and the last 8 bytes (parquet-format, `FileMetaData`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")
_LARGEST = 512 << 20
"""Bytes of a footer (ours); a hundred thousand row groups of twenty columns take a tenth of it."""

_DEEPEST = 32
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)

_ROW_GROUPS, _COLUMNS, _META_DATA, _NUM_VALUES, _UNCOMPRESSED = 4, 1, 3, 5, 6
"""Numbers of fields in `FileMetaData`, `RowGroup`, `ColumnChunk` and twice `ColumnMetaData`."""


class ChunkCounts(NamedTuple):
    """What the footer says of one column in one row group.

    Attributes:
        values: how many, nulls included.
        uncompressed_bytes: of its pages.
    """

    values: int
    uncompressed_bytes: int


def footer_counts(path: Path | str) -> list[list[ChunkCounts]]:
    """Counts by row group and column, in the order of the schema's leaves.

    Raises:
        ValueError: it is no such footer.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            raise ValueError("too short for a Parquet file")
        file.seek(size - _TAIL.size)
        length, magic = _TAIL.unpack(file.read(_TAIL.size))
        if magic != _MAGIC or not 0 < length <= min(_LARGEST, size - 12):
            raise ValueError("no footer of a Parquet file at its end")
        file.seek(size - _TAIL.size - length)
        reader = _Compact(file.read(length))
    try:
        return _file_meta_data(reader)
    except IndexError:
        raise ValueError("its footer ends too soon") from None


def _file_meta_data(reader: _Compact) -> list[list[ChunkCounts]]:
    groups: list[list[ChunkCounts]] = []
    for field, kind in reader.fields():
        if field == _ROW_GROUPS and kind == _LIST:
            groups = [_row_group(reader) for _ in range(reader.structs())]
        else:
            reader.skip(kind)
    return groups


def _row_group(reader: _Compact) -> list[ChunkCounts]:
    columns: list[ChunkCounts] = []
    for field, kind in reader.fields():
        if field == _COLUMNS and kind == _LIST:
            columns = [_column_chunk(reader) for _ in range(reader.structs())]
        else:
            reader.skip(kind)
    return columns


def _column_chunk(reader: _Compact) -> ChunkCounts:
    counts = ChunkCounts(-1, -1)
    for field, kind in reader.fields():
        if field == _META_DATA and kind == _STRUCT:
            found = {_NUM_VALUES: -1, _UNCOMPRESSED: -1}
            for inner, inner_kind in reader.fields():
                if inner in found and inner_kind in _INTEGERS:
                    found[inner] = reader.integer()
                else:
                    reader.skip(inner_kind)
            counts = ChunkCounts(found[_NUM_VALUES], found[_UNCOMPRESSED])
        else:
            reader.skip(kind)
    return counts


class _Compact:
    """Thrift's compact protocol, as far as it takes to walk over a structure."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a structure; its value is read or skipped before the next is asked for."""
        number = 0
        while (head := self._byte()) & 15 != _STOP:
            delta = head >> 4
            number = number + delta if delta else self.integer()
            yield number, head & 15

    def structs(self) -> int:
        """Length of a list whose elements are structures; each takes a byte at least."""
        count, kind = self._list_head()
        if kind != _STRUCT and count:
            raise ValueError("its footer has a list of something else where structures belong")
        return count

    def integer(self) -> int:
        """A whole number of any width (zigzag)."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Step over a value."""
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        if kind in _INTEGERS:
            self._varint()
        elif kind in (_BYTE, _DOUBLE):
            self._move(1 if kind == _BYTE else 8)
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind in (_LIST, _SET):
            count, inner = self._list_head()
            for _ in range(count):
                self._skip_element(inner, depth)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind not in (_TRUE, _FALSE):  # a field of these has its value in its head
            raise ValueError(f"its footer has a value of unknown kind {kind}")

    def _skip_element(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE):
            self._move(1)
        else:
            self.skip(kind, depth + 1)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        if not count:
            return
        kinds = self._byte()
        if count > len(self._data):
            raise ValueError("its footer counts more than it holds")
        for _ in range(count):
            self._skip_element(kinds >> 4, depth)
            self._skip_element(kinds & 15, depth)

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > len(self._data) - self._at:
            raise ValueError("its footer counts more than it holds")
        return count, head & 15

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number of more than 64 bits")

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _move(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("its footer ends too soon")
