"""Damage with a seed: bytes in, bytes out. The same generator state gives the same damage."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutate = Callable[[bytes, np.random.Generator], bytes]

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_WORDS = (
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e999",
    b"-0",
    b"9" * 400,
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"{",
    b"]",
    b'"',
    b",",
)
_BOXES = tuple(
    b"moov trak mdia minf stbl stsd avc1 avcC stts ctts stsc stsz stco tkhd mvhd mdhd elst mdat ftyp".split()
)
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e308, float("nan"), float("inf"), 10**400, 2**63, 2**31, "", "x", "0/0", "1/0",
    "../../x",
    "/etc/passwd", "\u202e", "é" * 200, [], {}, [[]], [None], [1, 2], {"a": 1}, "s3://u:p@h/x?k=1", [[1, 2], [3]],
)  # fmt: skip


def damage_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bit flips, cuts, copies, junk, and numbers of all widths in places where lengths tend to stand."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 8]))):
        data = _BYTES[int(rng.integers(len(_BYTES)))](data, rng)
    return data


def damage_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Lines lost, doubled, swapped or cut, words replaced by hostile ones, or any damage to bytes."""
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        what = int(rng.integers(6))
        lines = data.split(b"\n")
        at = int(rng.integers(len(lines)))
        if what == 0:
            lines.pop(at)
        elif what == 1:
            lines[at:at] = [lines[int(rng.integers(len(lines)))]] * int(rng.choice([1, 2, 500]))
        elif what == 2:
            lines[at] = lines[at][: int(rng.integers(len(lines[at]) + 1))]
        elif what == 3:
            words = lines[at].split(b" ")
            words[int(rng.integers(len(words)))] = _WORDS[int(rng.integers(len(_WORDS)))]
            lines[at] = b" ".join(words)
        elif what == 4:
            lines[at] = _WORDS[int(rng.integers(len(_WORDS)))] * int(rng.choice([1, 3, 20_000]))
        data = b"\n".join(lines) if what < 5 else damage_bytes(data, rng)
    return data


def damage_json(data: bytes, rng: np.random.Generator) -> bytes:
    """A value somewhere in the tree becomes another one, or is lost, doubled, put deep inside; or any text damage."""
    if rng.random() < 0.3:
        return damage_text(data, rng)
    value = json.loads(data)
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        value = _changed(value, rng)
    return json.dumps(value, ensure_ascii=bool(rng.random() < 0.9)).encode("utf-8", "surrogatepass")


def damage_yaml(data: bytes, rng: np.random.Generator) -> bytes:
    """As JSON, which is YAML; and what only YAML has: tags, anchors, aliases that grow."""
    import yaml

    if rng.random() < 0.5:
        return damage_json(json.dumps(yaml.safe_load(data)).encode(), rng)
    tricks = (
        b"name: !!python/object/apply:os.system ['touch fuzzed']\n",
        b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
        b"d: &d [*c,*c,*c,*c,*c,*c,*c]\nvars: {e: [*d,*d,*d,*d,*d,*d]}\n",
        b"vars: &v {x: *v}\n",
        b"a: &a {x: 1, y: 2, z: 3}\n"
        + b"".join(b"%c: &%c {<<: [%s]}\n" % (at + 1, at + 1, b",".join([b"*%c" % at] * 9)) for at in range(97, 107)),
        b"? [1, 2]\n: x\n",
        b"? {a: b}\n: x\n",
        b"1: 2\n",
        b"out: !!binary aGVsbG8=\n",
        b"out: 2024-01-01\n",
        b"<<: [1]\n",
        b"ingest: " + b"[" * 3000 + b"]" * 3000 + b"\n",
        b"ingest: 0x" + b"f" * 5000 + b"\n",
        b"ingest: {fps: 1:" + b":".join([b"59"] * 100) + b"}\n",
    )
    trick = tricks[int(rng.integers(len(tricks)))]
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines) + 1))
    joined = b"\n".join([*lines[:at], trick.rstrip(b"\n"), *lines[at:]])
    return damage_text(joined, rng) if rng.random() < 0.3 else joined


def damage_tar(data: bytes, rng: np.random.Generator) -> bytes:
    """Headers changed so that their checksums hold; or any damage to bytes."""
    if rng.random() < 0.3:
        return damage_bytes(data, rng)
    blocks = bytearray(data)
    headers = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    for at in rng.choice(headers, size=min(len(headers), int(rng.choice([1, 1, 2]))), replace=False).tolist():
        header = bytearray(blocks[at : at + 512])
        what = int(rng.integers(5))
        if what == 0:
            names = (
                b"../../etc/passwd",
                b"/abs.mp4",
                b"a.pickle",
                b"pipe:.mp4",
                b"",
                b"a" * 100,
                b"\xff.json",
                b"x.json.json",
            )
            header[0:100] = names[int(rng.integers(len(names)))].ljust(100, b"\0")
        elif what == 1:
            header[156:157] = bytes([int(rng.choice(list(b"0123456789xgLKSVDNA\0")))])
        elif what == 2:
            sizes = (
                b"77777777777\0",
                b"00000000000\0",
                b"-0000000001\0",
                b"-0000001000\0",
                b"\x80" + b"\xff" * 11,
                b"8" * 12,
                b"            ",
            )
            header[124:136] = sizes[int(rng.integers(len(sizes)))]
        elif what == 3:
            header[345:500] = b"../" * 51 + b"\0\0"
        else:
            spot = int(rng.integers(512))
            header[spot] = int(rng.integers(256))
        header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
        blocks[at : at + 512] = header
    return bytes(blocks)


def damage_npz(data: bytes, rng: np.random.Generator) -> bytes:
    """Arrays of other shapes and types, headers that lie, members lost or doubled; or any damage to bytes."""
    if rng.random() < 0.1:
        return damage_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    what = int(rng.choice([0, 1, 2, 2, 2, 2, 3, 4, 5]))
    if what == 0:
        del members[name]
    elif what == 1:
        members[name] = damage_bytes(members[name], rng)
    elif what == 2:
        members[name] = _npy(rng, members[name])
    elif what == 3:
        members[name] = members[name].replace(
            b"'shape': (", b"'shape': (" + str(int(rng.choice(_NUMBERS[:12]))).encode() + b",", 1
        )
    elif what == 4:
        members["../../" + name if rng.random() < 0.5 else "extra.npy"] = members[name]
    else:
        members[name] = bytes(1 << 22) + members[name]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return damage_bytes(out.getvalue(), rng) if rng.random() < 0.1 else out.getvalue()


def damage_parquet(data: bytes, rng: np.random.Generator) -> bytes:
    """Columns of other types, without values, doubled or lost, values that lie; or any damage to bytes."""
    if rng.random() < 0.3:
        return damage_bytes(data, rng)
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    at = int(rng.integers(table.num_columns))
    name, column, rows = table.column_names[at], table.column(at), len(table)
    huge = [None, "../../../etc/passwd", "/etc/passwd", "x" * 5000][int(rng.integers(4))]
    choices: tuple[Callable[[], pa.Table], ...] = (
        lambda: table.remove_column(at),
        lambda: table.set_column(at, name, pa.nulls(rows)),
        lambda: table.set_column(at, name, pa.nulls(rows, column.type)),
        lambda: table.set_column(at, name, pa.array([huge] * rows, pa.string())),
        lambda: table.set_column(at, name, pa.array([-1] * rows, pa.int64())),
        lambda: table.set_column(at, name, pa.array([2**62] * rows, pa.int64())),
        lambda: table.set_column(
            at, name, pa.array([[{"name": "mp4", "offset": -5, "length": 2**61, "crc32": 0}]] * rows)
        ),
        lambda: table.append_column(name, column),
        lambda: table.rename_columns(["key" if i == at else one for i, one in enumerate(table.column_names)]),
        lambda: pa.concat_tables([table, table]),
        lambda: table.slice(0, 0),
        lambda: table.take(list(range(rows))[::-1]),
    )
    out = io.BytesIO()
    pq.write_table(choices[int(rng.integers(len(choices)))](), out)
    return out.getvalue()


def damage_boxes(data: bytes, rng: np.random.Generator) -> bytes:
    """Sizes, names and contents of the boxes of an mp4; or any damage to bytes."""
    if rng.random() < 0.4:
        return damage_bytes(data, rng)
    places = [at for name in _BOXES if (at := data.find(name)) >= 4]
    if not places:
        return damage_bytes(data, rng)
    at = places[int(rng.integers(len(places)))]
    changed = bytearray(data)
    what = int(rng.integers(4))
    if what == 0:
        changed[at - 4 : at] = (int(rng.choice(_NUMBERS[:12])) % 2**32).to_bytes(4, "big")
    elif what == 1:
        changed[at : at + 4] = _BOXES[int(rng.integers(len(_BOXES)))]
    elif what == 2:
        spot = at + 4 + int(rng.integers(40))
        changed[spot : spot + 4] = (int(rng.choice(_NUMBERS[:12])) % 2**32).to_bytes(4, "big")
    else:
        size = int.from_bytes(data[at - 4 : at], "big") % 4096
        del changed[at - 4 : at - 4 + size]
    return bytes(changed)


def _changed(value: Any, rng: np.random.Generator) -> Any:
    """The tree with one change at a random place."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = list(value)[int(rng.integers(len(value)))]
        what = rng.random()
        if what < 0.1:
            return {name: one for name, one in value.items() if name != key}
        if what < 0.15:
            return {**value, "surprise": value[key]}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = int(rng.integers(len(value)))
        what = rng.random()
        if what < 0.1:
            return [*value[:at], *value[at + 1 :]]
        if what < 0.2:
            return [*value, *value[at:]]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    if rng.random() < 0.05:
        for _ in range(int(rng.choice([3, 400]))):
            value = [value]
        return value
    return _VALUES[int(rng.integers(len(_VALUES)))]


def _npy(rng: np.random.Generator, data: bytes) -> bytes:
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    choices: tuple[Callable[[], np.ndarray], ...] = (
        lambda: array[:0] if array.ndim else np.zeros(0),
        lambda: array[None],
        lambda: np.concatenate([array, array]) if array.ndim else np.zeros(3),
        lambda: array.astype("U8"),
        lambda: (np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array).astype("S4"),
        lambda: np.full(array.shape, np.nan),
        lambda: np.full(array.shape, np.iinfo(np.int64).max),
        lambda: np.full(array.shape, -1, np.int8),
        lambda: array.astype(np.complex64) if array.dtype.kind in "biuf" else np.zeros(2, np.complex64),
        lambda: np.zeros(array.shape, "M8[s]"),
        lambda: np.zeros(array.shape, [("a", "f4"), ("b", "U3")]),
        lambda: array.reshape(-1),
        lambda: array.T,
        lambda: np.array(3.5),
    )
    out = io.BytesIO()
    np.lib.format.write_array(out, choices[int(rng.integers(len(choices)))](), allow_pickle=False)
    return out.getvalue()


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(0, max(1, len(data)), int(rng.choice([1, 1, 4, 64]))).tolist():
        if at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + data[at + int(rng.choice([1, 4, 64, 512, 4096])) :]


def _copy(data: bytes, rng: np.random.Generator) -> bytes:
    start, at = int(rng.integers(len(data) + 1)), int(rng.integers(len(data) + 1))
    return data[:at] + data[start : start + int(rng.choice([1, 16, 512, 8192]))] + data[at:]


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    start, at = int(rng.integers(len(data) + 1)), int(rng.integers(len(data) + 1))
    part = data[start : start + int(rng.choice([4, 64, 2048]))]
    return data[:at] + part + data[at + len(part) :]


def _junk(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.choice([1, 8, 300]))) + data[at:]


def _number(data: bytes, rng: np.random.Generator, within: int | None = None) -> bytes:
    width = int(rng.choice([1, 2, 4, 8]))
    at = int(rng.integers(max(1, min(len(data), within or len(data)))))
    value = int(rng.integers(len(_NUMBERS)))
    order: Any = "big" if rng.random() < 0.5 else "little"
    return data[:at] + (_NUMBERS[value] % 256**width).to_bytes(width, order) + data[at + width :]


def _header(data: bytes, rng: np.random.Generator) -> bytes:
    return _number(data, rng, within=256)


_BYTES: tuple[Mutate, ...] = (_flip, _truncate, _cut_out, _copy, _overwrite, _junk, _number, _header)
