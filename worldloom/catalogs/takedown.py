"""What a takedown reaches: the clips named, all that came from the sources named, and everything derived from those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

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
    own = table.column("key").to_pylist()
    sources = table.column("source").to_pylist() if digests else []
    found = {key for key in own if key in keys}
    found |= {key for key, source in zip(own, sources, strict=False) if source and source["sha256"] in digests}
    # A parent need not be in the catalog itself: a window may have been packed without its clip.
    gone = found | keys
    derived = [
        (key, set(parents)) for key, parents in zip(own, table.column("parents").to_pylist(), strict=True) if parents
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
    keys = set(table.column("key").to_pylist())
    sources: dict[str, set[str]] = {}
    own: dict[str, list[str]] = {}
    for key, source in zip(table.column("key").to_pylist(), table.column("source").to_pylist(), strict=True):
        if source:
            sources.setdefault(source["uri"], set()).add(source["sha256"] or "")
            own.setdefault(source["uri"], []).append(key)
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
            known = [f"sha256:{digest}" for digest in digests] if name.startswith("sha256:") else [*keys, *sources]
            raise UsageError(f"{name}: no clip, source or digest of this dataset{_hint(name, known)}")
    return found


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
