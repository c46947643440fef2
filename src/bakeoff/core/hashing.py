"""Content hashes: BLAKE3 over bytes, files, canonical JSON and source code."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

__all__ = ["canonical_json", "digest", "digest_file", "digest_json", "digest_sources", "digest_tree"]
__all__ += ["tree_manifest"]


def digest(data: bytes) -> str:
    """BLAKE3 of bytes, 64 hex digits."""
    return blake3(data).hexdigest()


def digest_file(path: Path) -> str:
    """BLAKE3 of a file's content, read in pieces."""
    hasher = blake3()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def canonical_json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes.

    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tree_manifest(
    files: Mapping[str, tuple[str, int]], links: Mapping[str, str] | None = None, executable: Iterable[str] = ()
) -> bytes:
    """The manifest of a tree of blobs: relative names with id and size; where there are any, links and executables.

    The tree's id is its digest.
    """
    manifest: dict[str, Any] = {"files": {name: {"id": blob, "size": size} for name, (blob, size) in files.items()}}
    if links:
        manifest["links"] = dict(links)
    if names := sorted(executable):
        manifest["executable"] = names
    return canonical_json(manifest)


def digest_tree(folder: Path) -> str:
    """The id that a folder has as a tree of blobs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest(tree_manifest({p.relative_to(folder).as_posix(): (digest_file(p), p.stat().st_size) for p in files}))


def digest_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """BLAKE3 of the canonical JSON."""
    return digest(canonical_json(value))


def digest_sources(*folders: Path) -> str:
    """BLAKE3 over all Python files below folders (names and contents): the "code" part of a step's key."""
    hasher = blake3()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            hasher.update(path.relative_to(folder.parent).as_posix().encode() + b"\0")
            hasher.update(digest_file(path).encode())
    return hasher.hexdigest()
