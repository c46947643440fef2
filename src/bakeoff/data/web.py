"""Copies of https:// files in the cache, asked again only when they have aged, and then by ETag."""

import json
import time
from pathlib import Path

from bakeoff.core.hashing import digest
from bakeoff.core.protocols import Progress
from bakeoff.data.cache import scratch
from bakeoff.data.download import check_url, download, file_name

__all__ = ["copy_of", "fresh_copy"]

FRESH_S = 3600.0


def _folder(url: str, cache: Path) -> Path:
    return cache / "web" / digest(url.encode())[:32]


def _kept(url: str, cache: Path) -> tuple[Path, dict[str, str]] | None:
    """The copy and its headers (the file of headers is written last, so both are whole)."""
    folder = _folder(url, cache)
    try:
        headers: dict[str, str] = json.loads((folder / ".headers.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    path = folder / file_name(url)
    return (path, headers) if path.is_file() else None


def fresh_copy(url: str, cache: Path) -> Path | None:
    """The copy in the cache when it is younger than an hour, else None."""
    kept = _kept(url, cache)
    if kept is None:
        return None
    age_s = time.time() - (_folder(url, cache) / ".headers.json").stat().st_mtime
    return kept[0] if 0 <= age_s < FRESH_S else None


def copy_of(url: str, cache: Path, progress: Progress) -> Path:
    """The file at the URL: the fresh copy, or fetched (again).

    Raises:
        DataError, NotFoundError, SecurityError: it cannot or must not be fetched.
    """
    check_url(url)
    fresh = fresh_copy(url, cache)
    if fresh:
        return fresh
    progress(f"fetching {file_name(url)}")
    folder = _folder(url, cache)
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(url, cache)
    with scratch(cache) as making:
        target = making / file_name(url)
        fetched = download(url, target, etag=kept[1].get("etag") if kept else None)
        if fetched.unchanged and kept:
            (folder / ".headers.json").touch()
            return kept[0]
        target.replace(folder / target.name)
        draft = making / ".headers.json"
        draft.write_text(json.dumps({"etag": fetched.etag} if fetched.etag else {}), encoding="utf-8")
        draft.replace(folder / draft.name)
    return folder / target.name
