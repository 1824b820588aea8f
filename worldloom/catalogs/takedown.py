"""What a takedown reaches: the clips named, all that came from the sources named, and everything derived from those."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.redact import without_secrets

_MOST_COMPARED = 2000
_MOST_NAMED = 5
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_QUERY_LEFT_OUT = "?..."


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


def targets_of(
    table: pa.Table, named: Sequence[str], removed: Sequence[Mapping[str, str]], older: Iterable[pa.Table] = ()
) -> list[dict[str, str]]:
    """What a person names, as a list of takedowns: those that are not in the list yet.

    Args:
        table: a catalog.
        named: keys of clips, URIs of sources, or `sha256:` and the digest of a source, which need not be known.
        removed: what was taken down before; naming it again is no error.
        older: catalogs of earlier states, whose names count as well.

    Raises:
        UsageError: neither a catalog nor the list knows a name, and the nearest is named; or it is an address that
            several sources have, as far as it was kept.
    """
    known = _Known(named, removed)
    for one in (table, *older):
        known.add(one)
    found: list[dict[str, str]] = []
    for name in named:
        targets = known.targets(name)
        if targets is None:
            raise UsageError(f"{name}: no clip, source or digest of this dataset{_nearest(name, table)}")
        found += [one for one in targets if one not in found]
    return found


class _Known:
    """What catalogs and the list say about some names.

    Args:
        named: as a person writes them.
        removed: what was taken down before.
    """

    def __init__(self, named: Sequence[str], removed: Sequence[Mapping[str, str]]) -> None:
        self._meant = {
            "key": set(named),
            "uri": {*named, *map(without_secrets, named)},
            "sha256": {found[1] for name in named if (found := _DIGEST.match(name.lower()))},
        }
        self._keys: set[str] = set()
        self._uris: dict[str, str] = {}
        self._sources: dict[str, dict[str, set[str]]] = {}
        """Keys by URI and digest, which is empty where it is not known."""
        self._gone_keys = {one["key"] for one in removed if "key" in one}
        self._gone_digests = {one["sha256"] for one in removed if "sha256" in one}
        for one in removed:
            if "sha256" in one and "uri" in one:
                self._sources.setdefault(one["uri"], {}).setdefault(one["sha256"], set())

    def add(self, table: pa.Table) -> None:
        """Take in what a catalog knows."""
        every = {"key": table["key"], **{name: pc.struct_field(table["source"], name) for name in ("uri", "sha256")}}
        key, uri, digest = (_among(every[name], self._meant[name]) for name in ("key", "uri", "sha256"))
        for row in pa.table(every).filter(pc.or_(pc.or_(key, uri), digest)).to_pylist():
            self._keys.add(row["key"])
            if row["uri"] is not None:
                self._uris.setdefault(row["sha256"] or "", row["uri"])
                self._sources.setdefault(row["uri"], {}).setdefault(row["sha256"] or "", set()).add(row["key"])

    def targets(self, name: str) -> list[dict[str, str]] | None:
        """What is to be added to the list for a name; None where nothing knows it."""
        if name in self._keys or name in self._gone_keys:
            return [] if name in self._gone_keys else [{"key": name}]
        if digest := _DIGEST.match(name.lower()):
            return self._of_digest(digest[1], self._uris.get(digest[1]))
        uri = next((one for one in (name, without_secrets(name)) if one in self._sources), None)
        if uri is None:
            return None
        found = self._sources[uri]
        _refuse_several(name, uri, found)
        targets = [one for digest in sorted(filter(None, found)) for one in self._of_digest(digest, uri)]
        return targets + [{"key": key} for key in sorted(found.get("", ())) if key not in self._gone_keys]

    def _of_digest(self, digest: str, uri: str | None) -> list[dict[str, str]]:
        if digest in self._gone_digests:
            return []
        return [{"sha256": digest} | ({"uri": uri} if uri is not None else {})]


def _refuse_several(name: str, uri: str, found: Mapping[str, Collection[str]]) -> None:
    """Of an address with a query only what stands before it was kept: several sources may have it."""
    digests, keys = sorted(filter(None, found)), sorted(found.get("", ()))
    if not uri.endswith(_QUERY_LEFT_OUT) or len(digests) + len(keys) < 2:
        return
    which = [f"sha256:{digest} ({', '.join(sorted(found[digest])[:_MOST_NAMED])})" for digest in digests] + keys
    some = ", ".join(which[:_MOST_NAMED]) + (" and others" if len(which) > _MOST_NAMED else "")
    raise UsageError(
        f"{name}: {len(which)} sources have the address {uri}, and what follows the question mark is not kept, so they "
        f"cannot be told apart; name the clips by their keys, or the source by its digest: {some}"
    )


def _among(values: pa.ChunkedArray, some: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=pa.array(sorted(some), pa.string()))


def _nearest(name: str, table: pa.Table) -> str:
    """A hint at the nearest of a few names that begin alike: a dataset may know a million."""
    source = table["source"]
    columns = [table["key"], pc.struct_field(source, "uri")]
    if name.startswith("sha256:"):
        columns = [pc.binary_join_element_wise("sha256:", pc.struct_field(source, "sha256"), "")]
    known = [one for column in columns for one in column.unique().drop_null().to_pylist()]
    alike = [one for one in known if one[:4] == name[:4]] or list(known)
    hint = nearest(name, alike[:_MOST_COMPARED])
    return hint if hint.endswith("?") else ""
