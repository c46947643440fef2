"""A dataset version as metadata in Croissant 1.1 (docs.mlcommons.org/croissant): JSON-LD beside its rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bakeoff.core.types import Column, Json

__all__ = ["croissant"]

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
CONTEXT: dict[str, Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "format": "cr:format",
    "key": "cr:key",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "sc": "https://schema.org/",
    "source": "cr:source",
}
TYPES = {"numeric": "sc:Float", "boolean": "sc:Boolean", "datetime": "sc:DateTime"}


def croissant(
    *,
    name: str,
    version: str,
    description: str,
    licence: str,
    columns: Sequence[Column],
    file: str,
    sha256: str,
    size_bytes: int,
    created_ms: int,
    sources: Sequence[str] = (),
) -> dict[str, Json]:
    """The metadata of a dataset whose rows are in one Parquet file beside it.

    Args:
        name: of the dataset.
        version: its number and the beginning of its hash, as a semantic version with build metadata.
        description: what it is.
        licence: its name or URL; left out when it is empty.
        columns: of its rows.
        file: the name of the Parquet file.
        sha256: its hash.
        size_bytes: its size.
        created_ms: when the version was registered.
        sources: where its rows were read from.
    """
    fields: list[Json] = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{column.name}",
            "name": column.name,
            "dataType": TYPES.get(column.kind, "sc:Text"),
            "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
        }
        for column in columns
    ]
    distribution: Json = {
        "@type": "cr:FileObject",
        "@id": file,
        "name": file,
        "contentUrl": file,
        "contentSize": f"{size_bytes} B",
        "encodingFormat": "application/vnd.apache.parquet",
        "sha256": sha256,
    }
    about: dict[str, Json] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": description,
        "version": version,
        "datePublished": f"{datetime.fromtimestamp(created_ms / 1000, UTC):%Y-%m-%d}",
        "distribution": [distribution],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }
    if licence:
        about["license"] = licence
    if sources:
        about["isBasedOn"] = list(sources)
    return about
