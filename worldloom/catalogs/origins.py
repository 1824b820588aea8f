"""Which clips come from one place: the rule that splits keep, and the check that finds where one was broken.

A model that is tested on a video it was trained on, or on a reversal of it, is not tested. Clips belong together that
have one source file, one address, or one clip that they were derived from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}\Z")
_PATHS = ("embed", "shorts", "live", "v")
_HIDDEN_QUERY = "?..."
"""What `redact.without_secrets` leaves of a query: which of many videos it meant cannot be told any more."""


@dataclass(frozen=True)
class Leak:
    """Clips of one origin that lie in several splits.

    Attributes:
        kind: `source`, one file or address; `derived`, a clip and what was made of it.
        name: URI or digest of the source, or key of the clip.
        splits: clips by split.
    """

    kind: str
    name: str
    splits: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        where = " and ".join(f"{count} in '{split}'" for split, count in self.splits)
        what = "source" if self.kind == "source" else "clip, with what was derived from it,"
        return f"split leak: {what} {self.name} has clips in {len(self.splits)} splits ({where})"


def source_identity(uri: str) -> str | None:
    """One text for all addresses of one video; None where an address does not tell.

    A relative path tells nothing: `1.mp4` of one folder is not `1.mp4` of another, and equal files have equal digests.
    A video of YouTube is known by its id in any of the forms that its pages use (default ours).

    Args:
        uri: as a clip's provenance has it.
    """
    if "://" not in uri or uri.endswith(_HIDDEN_QUERY) or uri.startswith("file:"):
        return None
    try:
        parts = urlsplit(uri)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.").removeprefix("music.")
    except ValueError:
        return None
    if not host:
        return None
    steps = [step for step in parts.path.split("/") if step]
    if host == "youtu.be" and steps:
        found = steps[0]
    elif host in ("youtube.com", "youtube-nocookie.com"):
        asked = parse_qs(parts.query).get("v", [""])[0]
        found = asked or (steps[1] if len(steps) > 1 and steps[0] in _PATHS else "")
        if not _VIDEO_ID.match(found):
            return None
    else:
        query = f"?{parts.query}" if parts.query else ""
        return f"{host}/{'/'.join(steps)}{query}" if steps else None
    return f"youtube:{found}"


def identities(uris: pa.ChunkedArray | pa.Array) -> pa.Array:
    """`source_identity` of a column of addresses."""
    column = uris.combine_chunks() if isinstance(uris, pa.ChunkedArray) else uris
    if not pc.any(pc.match_substring(column, "://")).as_py():  # a local folder: nothing to take apart
        return pa.nulls(len(column), pa.string())
    return pa.array([None if uri is None else source_identity(uri) for uri in column.to_pylist()], pa.string())


def linked(count: int, links: Iterable[tuple[np.ndarray, pa.Array]]) -> np.ndarray:
    """Connected components of rows that share a value.

    Args:
        count: rows.
        links: pairs of row numbers (m,) and values (m,), each pair with values of its own; equal values link their
            rows, nulls and empty texts link nothing.

    Returns:
        (count,) int64, number of the component of each row, 0 to components - 1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, values, nodes = [], [], count
    for number, column in links:
        plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        known = plain.is_valid()
        if pa.types.is_string(plain.type):
            known = pc.and_(known, pc.not_equal(plain, ""))
        keep = np.asarray(pc.fill_null(known, False).to_numpy(zero_copy_only=False), bool)
        codes = plain.filter(pa.array(keep)).dictionary_encode()
        rows.append(np.asarray(number, np.int64)[keep])
        values.append(nodes + codes.indices.to_numpy().astype(np.int64))
        nodes += len(codes.dictionary)
    left, right = (np.concatenate([*parts, np.zeros(0, np.int64)]) for parts in (rows, values))
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1][:count]
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def family_links(keys: pa.ChunkedArray, parents: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Links between clips and those that they were derived from, and between clips of one parent.

    Args:
        keys: (n,) of the clips.
        parents: (n,) lists of keys.
    """
    own = keys.combine_chunks()
    lists = parents.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    rows = np.concatenate([np.arange(len(own)), np.repeat(np.arange(len(own)), lengths)])
    return rows, pa.concat_arrays([own, lists.flatten().cast(own.type)])


def split_leaks(table: pa.Table) -> list[Leak]:
    """What has clips in more than one split.

    Args:
        table: columns `key`, `split`, `source` (with `uri` and `sha256`) and `parents` of a catalog.

    Returns:
        One for each file or address, then one for each family of derived clips that no source has named already.
    """
    every = np.arange(len(table))
    source = table["source"].combine_chunks()
    uris, digests = source.field("uri"), source.field("sha256")
    splits = table["split"].combine_chunks().dictionary_encode()
    by_source = linked(len(table), [(every, digests), (every, identities(uris))])
    found = [
        Leak("source", _source_name(uris, digests, rows), _counted(splits, rows))
        for rows in _astride(by_source, splits.indices.to_numpy())
    ]
    told = np.zeros(len(table), bool)
    for rows in _astride(by_source, splits.indices.to_numpy()):
        told[rows] = True
    families = linked(len(table), [family_links(table["key"], table["parents"])])
    for rows in _astride(families, splits.indices.to_numpy()):
        if not told[rows].all():
            found.append(Leak("derived", _oldest(table, rows), _counted(splits, rows)))
    return found


def _astride(component: np.ndarray, split: np.ndarray) -> list[np.ndarray]:
    """Rows of each component that has more than one split, in the order of their first rows."""
    pairs = np.unique(np.stack([component, split]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0], minlength=1) > 1)
    rows = np.flatnonzero(np.isin(component, several))
    groups: dict[int, list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(int(component[row]), []).append(row)
    return [np.array(group) for group in groups.values()]


def _counted(splits: pa.DictionaryArray, rows: np.ndarray) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(splits.take(pa.array(rows)).to_pylist()).items()))


def _source_name(uris: pa.Array, digests: pa.Array, rows: np.ndarray) -> str:
    first = int(rows[0])
    uri, digest = uris[first].as_py() or "", digests[first].as_py() or ""
    return f"{uri} (sha256:{digest[:16]})" if uri else f"sha256:{digest}"


def _oldest(table: pa.Table, rows: np.ndarray) -> str:
    """Key of the clip with the fewest ancestors; the smallest of several."""
    some = table.select(["key", "parents"]).take(pa.array(rows)).to_pylist()
    return str(min((len(row["parents"] or ()), row["key"]) for row in some)[1])


def named_splits(leaks: Sequence[Leak], most: int = 20) -> list[str]:
    """Sentences for the person at the terminal, the first few and how many more."""
    lines = [str(leak) for leak in leaks[:most]]
    return [*lines, *([f"split leak: and {len(leaks) - most} more"] if len(leaks) > most else [])]
