"""The dataset as Croissant 1.0 (JSON-LD), so that search engines and loaders of others find their way in.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html, with fields of its vocabulary for responsible AI:
https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from worldloom.catalogs.licences import is_stated, known_licence
from worldloom.catalogs.manifest import FileEntry, Manifest

_CR_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _CR_TERMS.split()},
}
_TYPES = {
    pa.string(): "sc:Text",
    pa.float64(): "sc:Float",
    pa.int32(): "sc:Integer",
    pa.int64(): "sc:Integer",
    pa.uint32(): "sc:Integer",
    pa.bool_(): "sc:Boolean",
}
_PARQUET = "application/x-parquet"
_COLLECTED = (
    "Videos of the sources named in the catalog (source.uri, source.sha256, source.licence), cut into single shots at "
    "a constant frame rate."
)
_LABELLED = (
    "Labels are computed, not written by people, unless the method says human; each clip carries method, version, "
    "status and confidence of every label."
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_JSON_PATH_WORDS = frozenset(("parent", "where", "flags"))
"""Words of the JSONPath grammar that readers use, which are no names in it."""


@dataclass(frozen=True)
class About:
    """What is said about a dataset in words.

    Attributes:
        description: one sentence.
        licences: of the sources, as they state them; empty for one that states none.
        writers: which method wrote which label.
        limitations: what somebody should know before relying on it.
    """

    description: str
    licences: Sequence[str]
    writers: Sequence[str] = ()
    limitations: Sequence[str] = ()


def croissant(manifest: Manifest, schema: pa.Schema, about: About) -> str:
    """The text of `croissant.json`: every file with its digest, the catalog as records, the videos of each split.

    Args:
        manifest: of the dataset.
        schema: of its catalog.
        about: the dataset in words.
    """
    name = manifest.name or "worldloom-dataset"
    shards = [_file(one, "application/x-tar", f"WebDataset shard of '{one.split}'.") for one in manifest.shards]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": about.description,
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": f"{manifest.number}.0.0",
        "license": _licences(about.licences),
        "citeAs": _bibtex(name, manifest),
        "keywords": ["video", "world models", "camera poses", "action labels", "webdataset"],
        "rai:dataCollection": _COLLECTED,
        "rai:dataAnnotationProtocol": [_LABELLED, *about.writers],
        "rai:dataLimitations": list(about.limitations),
        "rai:personalSensitiveInformation": ["Videos may show people; nothing was blurred and no consent was checked."],
        "distribution": [
            _file(manifest.catalog, _PARQUET, "A row per clip: labels, scores, provenance, and where it lies."),
            *shards,
            *_file_sets(manifest),
        ],
        "recordSet": [_clips(manifest.catalog.path, schema)],
    }
    if not about.limitations:
        del document["rai:dataLimitations"]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _licences(stated: Sequence[str]) -> list[str]:
    """Addresses of the licences that are known, the words of the sources for the others."""
    found = []
    for words in stated:
        known = known_licence(words)
        found.append(known.url if known is not None and known.url else words if is_stated(words) else "unknown")
    return sorted(set(found)) or ["unknown"]


def _bibtex(name: str, manifest: Manifest) -> str:
    plain = re.sub(r"[{}\\\\\"@%#$&^~]", "", name)
    key = re.sub(r"[^A-Za-z0-9]+", "", name) or "dataset"
    note = f"manifest {manifest.number}, catalog sha256 {manifest.catalog.sha256}"
    return f"@misc{{{key}, title = {{{plain}}}, howpublished = {{worldloom dataset}}, note = {{{note}}}}}"


def _file_sets(manifest: Manifest) -> list[dict[str, Any]]:
    """The videos of each split, inside its shards."""
    sets = []
    for split in sorted({shard.split for shard in manifest.shards}):
        shards = [{"@id": shard.path} for shard in manifest.shards if shard.split == split]
        sets.append(
            {
                "@type": "cr:FileSet",
                "@id": f"videos-{split}",
                "name": f"videos-{split}",
                "description": f"Videos of the split '{split}', named by the keys of their clips.",
                "containedIn": shards if len(shards) > 1 else shards[0],
                "encodingFormat": "video/mp4",
                "includes": "*.mp4",
            }
        )
    return sets


def _clips(catalog: str, schema: pa.Schema) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "clips",
        "name": "clips",
        "description": "One record per clip; its video and arrays lie in the shard named.",
        "key": {"@id": "clips/key"},
        "field": [field for column in schema if (field := _field(catalog, column)) is not None],
    }


def _field(catalog: str, column: pa.Field) -> dict[str, Any] | None:
    """A column as a field: plain ones as they are, structures as sub-fields, lists as repeated ones."""
    kind = column.type
    if not _PLAIN_NAME.match(column.name):
        return None
    plain = {"@type": "cr:Field", "@id": f"clips/{column.name}", "name": column.name}
    repeated = pa.types.is_list(kind)
    if repeated:
        plain["repeated"] = True
        kind = kind.value_type
    if pa.types.is_struct(kind):
        children = [_sub_field(catalog, column.name, child) for child in kind]
        found = [child for child in children if child is not None]
        return {**plain, "subField": found} if found else None
    if kind not in _TYPES:
        return None
    return {**plain, "dataType": _TYPES[kind], "source": _source(catalog, column.name)}


def _sub_field(catalog: str, column: str, child: pa.Field) -> dict[str, Any] | None:
    kind = child.type
    if not _PLAIN_NAME.match(child.name) or child.name in _JSON_PATH_WORDS:
        return None
    field = {"@type": "cr:Field", "@id": f"clips/{column}/{child.name}", "name": child.name}
    if pa.types.is_list(kind):
        field["repeated"] = True
        kind = kind.value_type
    if kind not in _TYPES:
        return None
    source = {**_source(catalog, column), "transform": {"jsonPath": f"$.{child.name}"}}
    return {**field, "dataType": _TYPES[kind], "source": source}


def _source(catalog: str, column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": catalog}, "extract": {"column": column}}


def _file(entry: FileEntry, encoding: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.path,
        "name": entry.path,
        "description": description,
        "contentUrl": entry.path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": encoding,
        "sha256": entry.sha256,
    }
