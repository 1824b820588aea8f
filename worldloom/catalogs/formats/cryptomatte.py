"""Cryptomatte: object ids with their coverage in EXR channels, as Unreal's Object Id pass writes them.

After the Cryptomatte specification 1.2: per pixel, ranked pairs of an id (32 bits of a MurmurHash3, kept as a float)
and of the share of the pixel it covers; two pairs to a layer, `<name>00.R G B A`. The header's
`cryptomatte/<key>/name` names the layers and `.../manifest` maps names to ids, eight hexadecimal digits each.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.exr import exr_info, read_exr, write_exr

MAX_NAMES = 100_000
_KEY = re.compile(r"cryptomatte/([^/]{1,40})/name\Z")


def read_cryptomatte(path: str | Path, wanted: tuple[str, ...], least_share: float = 0.5) -> dict[str, np.ndarray]:
    """Masks of the objects whose names match.

    Args:
        path: of the EXR.
        wanted: patterns as of a shell (`BP_Person*`), case matters; an object counts under its own name.
        least_share: of a pixel that an object covers, from which the pixel is its.

    Returns:
        name -> (H, W) bool, of the names in the manifest that match, also of those that are not to be seen.

    Raises:
        BadInput: `no_cryptomatte`, there is none or it has no manifest; `bad_cryptomatte`; as `read_exr`.
    """
    info = exr_info(path)
    base, manifest = _manifest(info.text, path)
    names = {name: identity for name, identity in manifest.items() if any(fnmatchcase(name, one) for one in wanted)}
    layers = sorted(layer for layer in info.layers() if re.fullmatch(rf"{re.escape(base)}\d\d", layer))
    if not layers:
        raise BadInput("no_cryptomatte", f"its header speaks of layers '{base}00', and they are missing", where=path)
    pairs = [(f"{layer}.{who}", f"{layer}.{share}") for layer in layers for who, share in (("R", "G"), ("B", "A"))]
    pairs = [pair for pair in pairs if set(pair) <= info.channels.keys()]
    channels = read_exr(path, [name for pair in pairs for name in pair])
    covered = {name: np.zeros(info.size[::-1], np.float32) for name in names}
    for who, share in pairs:
        if info.channels[who] != "float":
            raise BadInput("bad_cryptomatte", f"ids in '{who}' are no 32-bit floats", where=path)
        ids = channels[who].view(np.uint32)
        for name, identity in names.items():
            covered[name] += np.where(ids == identity, np.nan_to_num(channels[share]), 0)
    return {name: share >= least_share for name, share in covered.items()}


def _manifest(text: Mapping[str, str], path: str | Path) -> tuple[str, dict[str, int]]:
    key = next((found[1] for name in sorted(text) if (found := _KEY.match(name))), None)
    if key is None or f"cryptomatte/{key}/manifest" not in text:
        remedy = "Render the Object Ids pass with its metadata, or give the colours of an id pass."
        raise BadInput("no_cryptomatte", "its header has no Cryptomatte with a manifest", where=path, remedy=remedy)
    try:
        value = json.loads(text[f"cryptomatte/{key}/manifest"])
        names = {str(name): int(identity, 16) for name, identity in value.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput("bad_cryptomatte", f"its manifest cannot be read ({str(error)[:100]})", where=path) from None
    if len(names) > MAX_NAMES or not all(0 <= identity < 1 << 32 for identity in names.values()):
        raise BadInput("bad_cryptomatte", "its manifest has too many names, or ids of more than 32 bits", where=path)
    return text[f"cryptomatte/{key}/name"], names


def write_cryptomatte(
    path: str | Path,
    masks: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray] | None = None,
    base: str = "ActorHitProxyMask",
    text: Mapping[str, str] | None = None,
) -> None:
    """Write masks, of which at most one covers each pixel, beside other channels and texts, as one layer."""
    height, width = next(iter(masks.values())).shape
    ids = {name: object_id(name) for name in masks}
    who, share = np.zeros((height, width), np.uint32), np.zeros((height, width), np.float32)
    for name, mask in masks.items():
        who[mask], share[mask] = ids[name], 1.0
    empty = np.zeros((height, width), np.float32)
    values = dict(zip("RGBA", (who.view(np.float32), share, empty, empty.copy()), strict=True))
    header = {
        "cryptomatte/1a2b3c4/name": base,
        "cryptomatte/1a2b3c4/hash": "MurmurHash3_32",
        "cryptomatte/1a2b3c4/conversion": "uint32_to_float32",
        "cryptomatte/1a2b3c4/manifest": json.dumps({name: f"{identity:08x}" for name, identity in ids.items()}),
    }
    channels = {**(others or {}), **{f"{base}00.{name}": value for name, value in values.items()}}
    write_exr(path, channels, {**(text or {}), **header})


def object_id(name: str) -> int:
    """The id of a name: MurmurHash3 (32 bits, seed 0) of its UTF-8, kept off the exponents of zero and infinity."""
    data = name.encode()
    mixed = 0
    for (block,) in struct.iter_unpack("<I", data[: len(data) // 4 * 4]):
        mixed = (_rotated(mixed ^ _scrambled(block), 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    mixed ^= _scrambled(int.from_bytes(data[len(data) // 4 * 4 :], "little"))
    mixed ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & 0xFFFFFFFF
    return mixed ^ (1 << 23) if (mixed >> 23) & 255 in (0, 255) else mixed


def _scrambled(block: int) -> int:
    return (_rotated((block * 0xCC9E2D51) & 0xFFFFFFFF, 15) * 0x1B873593) & 0xFFFFFFFF


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & 0xFFFFFFFF
