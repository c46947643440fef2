"""The folder of things that can be fetched or made again: placed whole or not at all, safe to share.

Two processes that make the same thing at once both succeed; the first rename wins.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from bakeoff.core.hashing import digest_file

__all__ = ["Digests", "place", "scratch"]


@contextmanager
def scratch(cache: Path) -> Generator[Path]:
    """An empty folder on the cache's own filesystem, removed afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=cache, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def place(target: Path, make: Callable[[Path], None], *, cache: Path) -> Path:
    """`target` (a file or a folder below `cache`), made by `make(path)` when it is not there yet."""
    if target.exists():
        return target
    with scratch(cache) as folder:
        made = folder / target.name
        make(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(target)
        except OSError:
            if not target.exists():
                raise
            if made.is_dir():
                shutil.rmtree(made)
    return target


class Digests:
    """BLAKE3 digests of local files, kept by (path, size, mtime, ctime, inode), so that each is read once."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "digests.json"
        self._cache = cache

    def _read(self) -> dict[str, list[Any]]:
        try:
            found = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return cast("dict[str, list[Any]]", found) if isinstance(found, dict) else {}

    @staticmethod
    def _stamp(path: Path) -> list[int]:
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]

    def known(self, path: Path) -> str | None:
        """The digest when the file has not changed since it was last computed, else None."""
        entry = self._read().get(str(path))
        if not entry or not path.is_file() or entry[:-1] != self._stamp(path):
            return None
        return str(entry[-1])

    def of(self, path: Path) -> str:
        """The digest, computed when it is not known."""
        found = self.known(path)
        if found is not None:
            return found
        stamp = self._stamp(path)
        digest = digest_file(path)
        # A lost race between two writers only costs a later recomputation.
        entries = {**self._read(), str(path): [*stamp, digest]}
        with scratch(self._cache) as folder:
            draft = folder / self._file.name
            draft.write_text(json.dumps(entries, indent=0), encoding="utf-8")
            draft.replace(self._file)
        return digest
