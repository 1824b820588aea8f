"""The dataset as Croissant 1.0 (JSON-LD), so that search engines and loaders of others find their way in.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

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
_TYPES = {pa.string(): "sc:Text", pa.float64(): "sc:Float", pa.int32(): "sc:Integer", pa.int64(): "sc:Integer"}
_PARQUET = "application/x-parquet"


def croissant(manifest: Manifest, schema: pa.Schema, description: str, licences: list[str]) -> str:
    """The text of `croissant.json`: every file with its digest, and the flat columns of the catalog as records.

    Args:
        manifest: of the dataset.
        schema: of its catalog.
        description: one sentence.
        licences: of the sources.
    """
    catalog_id = manifest.catalog.path
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"clips/{column.name}",
            "name": column.name,
            "dataType": _TYPES[column.type],
            "source": {"fileObject": {"@id": catalog_id}, "extract": {"column": column.name}},
        }
        for column in schema
        if column.type in _TYPES
    ]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest.name or "worldloom-dataset",
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": f"{manifest.number}.0.0",
        "license": licences or ["unknown"],
        "distribution": [
            _file(manifest.catalog, _PARQUET, "A row per clip: labels, scores, provenance, and where it lies."),
            *(_file(shard, "application/x-tar", f"WebDataset shard of '{shard.split}'.") for shard in manifest.shards),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "clips",
                "name": "clips",
                "description": "One record per clip; its video and arrays lie in the shard named.",
                "key": {"@id": "clips/key"},
                "field": fields,
            }
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


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
