"""A dataset's card in Croissant, the format that dataset hubs and search engines read.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), JSON-LD. It names
each Parquet file with its SHA-256, the columns of a document, the sources with their licences, and
what was decided about the documents. Checked with mlcroissant in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from towpath.data.documents import Documents
from towpath.data.verdicts import DROPPED, TRAIN, VALIDATION

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_FIELDS = {
    "id": ("sc:Text", "128-bit hash of the source and the place in it."),
    "text": ("sc:Text", "The document."),
    "source": ("sc:Text", "Name of the source."),
    "domain": ("sc:Text", "prose, chat or code."),
    "url": ("sc:URL", "Address, where the source has one."),
    "path": ("sc:Text", "File below the source's folder."),
    "byte_offset": ("sc:Integer", "Where the document starts in the file."),
    "licence": ("sc:Text", 'SPDX identifier, or "unknown".'),
    "date": ("sc:Text", "ISO 8601, when the source tells it."),
}


def croissant(artifact: Artifact, *, version: str = "1.0.0") -> dict[str, Any]:
    """The card of the documents ``artifact`` as JSON-LD; files are named relative to its folder."""
    documents = Documents(artifact)
    splits = [split for split in (TRAIN, VALIDATION) if documents.sources(split)]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": artifact.name,
        "identifier": artifact.id,
        "version": version,
        "description": _description(documents),
        "license": sorted(artifact.licences) or ["unknown"],
        "distribution": [*_files(artifact), *(_file_set(split) for split in splits)],
        "recordSet": [_record_set(split) for split in splits],
    }


def _description(documents: Documents) -> str:
    rows = []
    reasons = documents.reasons()
    for name, facts in documents.waterfall().items():
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in reasons[name].items())
        rows.append(
            f"{name}: {facts['kept']:,} of {facts['read']:,} documents, licences "
            f"{', '.join(facts['licences']) or 'none'}; dropped: {dropped or 'none'}."
        )
    return "Documents cleaned and deduplicated with towpath. " + " ".join(rows)


def _files(artifact: Artifact) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{facts['size_bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": facts["sha256"],
        }
        for name, facts in _parquet(artifact).items()
    ]


def _parquet(artifact: Artifact) -> Mapping[str, Any]:
    return {
        name: facts
        for name, facts in artifact.files.items()
        if name.endswith(".parquet") and name.split("/")[0] in (TRAIN, VALIDATION, DROPPED)
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "description": f"The documents of the split {split}.",
        "encodingFormat": "application/x-parquet",
        "includes": f"{split}/*/*.parquet",
    }


def _record_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"The documents of the split {split}.",
        "key": {"@id": f"{split}/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{name}",
                "name": name,
                "description": description,
                "dataType": kind,
                "source": {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": name}},
            }
            for name, (kind, description) in _FIELDS.items()
        ],
    }
