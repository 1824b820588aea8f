"""What a takedown reaches: the clips named, all that came from the sources named, and everything derived from those."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError

_MOST_COMPARED = 2000


def taken_down(table: pa.Table, removed: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys of the clips of a catalog that a list of takedowns reaches, ascending.

    Args:
        table: a catalog.
        removed: as in `manifest.removed_list`.
    """
    keys = {one["key"] for one in removed if "key" in one}
    digests = {one["sha256"] for one in removed if "sha256" in one}
    if not keys and not digests:
        return []
    reached = _among(table["key"], keys)
    if digests:
        reached = pc.or_(reached, _among(pc.struct_field(table["source"], "sha256"), digests))
    found = set(table["key"].filter(reached).to_pylist())
    # A parent need not be in the catalog itself: a window may have been packed without its clip.
    gone = found | keys
    children = table.select(["key", "parents"]).filter(pc.greater(pc.list_value_length(table["parents"]), 0))
    derived = [
        (key, set(parents))
        for key, parents in zip(children["key"].to_pylist(), children["parents"].to_pylist(), strict=True)
    ]
    while new := {key for key, parents in derived if key not in gone and parents & gone}:
        gone |= new
        found |= new
    return sorted(found)


def targets_of(table: pa.Table, named: Sequence[str], removed: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """What a person names, as a list of takedowns.

    Args:
        table: a catalog.
        named: keys of clips, URIs of sources, or `sha256:` and the digest of a source.
        removed: what was taken down before; naming it again is no error.

    Raises:
        UsageError: neither the catalog nor the list knows it; the nearest that is known is named.
    """
    every = {"key": table["key"], **{name: pc.struct_field(table["source"], name) for name in ("uri", "sha256")}}
    meant = {
        "key": named,
        "uri": [without_secrets(name) for name in named],
        "sha256": [name.removeprefix("sha256:").lower() for name in named],
    }
    some = pc.or_(
        pc.or_(*(_among(every[name], meant[name]) for name in ("key", "uri"))), _among(every["sha256"], meant["sha256"])
    )
    keys: set[str] = set()
    sources: dict[str, set[str]] = {}
    own: dict[str, list[str]] = {}
    for row in pa.table(every).filter(some).to_pylist():
        keys.add(row["key"])
        if row["uri"] is not None:
            sources.setdefault(row["uri"], set()).add(row["sha256"] or "")
            own.setdefault(row["uri"], []).append(row["key"])
    digests = {digest: uri for uri, found in sources.items() for digest in found if digest}
    found: list[dict[str, str]] = []
    for name in named:
        uri = without_secrets(name)
        if any(name in (one.get("key"), f"sha256:{one.get('sha256')}") or uri == one.get("uri") for one in removed):
            continue
        if name in keys:
            found.append({"key": name})
        elif name.startswith("sha256:") and (digest := name.removeprefix("sha256:").lower()) in digests:
            found.append({"sha256": digest, "uri": without_secrets(digests[digest])})
        elif uri in sources and "" not in sources[uri]:
            found += [{"sha256": digest, "uri": uri} for digest in sorted(sources[uri])]
        elif uri in sources:
            found += [{"key": key} for key in sorted(own[uri])]
        else:
            by_digest = name.startswith("sha256:")
            columns = (
                [pc.binary_join_element_wise("sha256:", every["sha256"], "")]
                if by_digest
                else [every["key"], every["uri"]]
            )
            known = [one for column in columns for one in column.unique().drop_null().to_pylist()]
            raise UsageError(f"{name}: no clip, source or digest of this dataset{_hint(name, known)}")
    return found


def _among(values: pa.ChunkedArray, some: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=pa.array(sorted(some), pa.string()))


def _hint(name: str, known: Sequence[str]) -> str:
    """The nearest of a few that begin alike: a dataset may know a million names."""
    alike = [one for one in known if one[:4] == name[:4]] or list(known)
    hint = nearest(name, alike[:_MOST_COMPARED])
    return hint if hint.endswith("?") else ""


def without_secrets(uri: str) -> str:
    """An address without user, password, query and fragment; a path as it is."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
