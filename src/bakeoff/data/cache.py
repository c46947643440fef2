"""The folder of things that can be fetched or made again: placed whole or not at all, safe to share.

Two processes that make the same thing at once both succeed; the first rename wins.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakeoff.core.hashing import digest, digest_file, digest_tree

__all__ = ["Digests", "intact", "place", "placed", "scratch"]

SUMS = "sums"
"""Where the digests of placed things stand in a cache."""


@contextmanager
def scratch(cache: Path) -> Generator[Path]:
    """An empty folder on the cache's own filesystem, removed afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=cache, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def place(target: Path, make: Callable[[Path], None], *, cache: Path) -> Path:
    """`target` (a file or a folder below `cache`), made by `make(path)` when it is not there yet, or is damaged.

    What was placed is compared with its digest each time: a damaged copy would be as good as other content.
    """
    if target.exists():
        if intact(target, cache):
            return target
        _discard(target, cache)
    with scratch(cache) as folder:
        made = folder / target.name
        make(made)
        _keep_sum(target, _content(made), cache)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(target)
        except OSError:
            if not target.exists():
                raise
            if made.is_dir():
                shutil.rmtree(made)
    return target


def intact(target: Path, cache: Path) -> bool:
    """Whether a placed file or folder is there and what was placed; one of before, without a digest, is believed."""
    try:
        known = _sum_file(target, cache).read_text("ascii")
    except FileNotFoundError:
        return True
    except UnicodeDecodeError:
        return False
    try:
        return known == _content(target)
    except FileNotFoundError:  # another process took it away meanwhile
        return False


def placed(cache: Path) -> Iterator[Path]:
    """All that was placed in a cache and has a digest."""
    sums = cache / SUMS
    for file in sorted(sums.rglob("*.sum")):
        target = cache / file.relative_to(sums).with_suffix("")
        if target.exists():
            yield target


def _content(target: Path) -> str:
    return digest_tree(target) if target.is_dir() else digest_file(target)


def _sum_file(target: Path, cache: Path) -> Path:
    return cache / SUMS / f"{target.relative_to(cache)}.sum"


def _keep_sum(target: Path, content: str, cache: Path) -> None:
    file = _sum_file(target, cache)
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch(cache) as folder:  # all at once: half a digest would make others take a whole thing for a damaged one
        (folder / file.name).write_text(content, "ascii")
        (folder / file.name).replace(file)


def _discard(target: Path, cache: Path) -> None:
    """Take a damaged thing away; those who read it go on reading."""
    with scratch(cache) as folder, contextlib.suppress(FileNotFoundError):
        target.rename(folder / target.name)
        _sum_file(target, cache).unlink()


class Digests:
    """BLAKE3 digests of local files, kept by (path, size, mtime, ctime, inode), so that each is read once."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "digests.json"
        self._cache = cache

    def _read(self) -> dict[str, list[Any]]:
        try:
            known, _, entries = self._file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return {}
        if known != digest(entries).encode():  # damaged, or of before: all are read again
            return {}
        return json.loads(entries)

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
        known = self.known(path)
        if known is not None:
            return known
        stamp = self._stamp(path)
        content = digest_file(path)
        # A lost race between two writers only costs a later recomputation.
        entries = json.dumps({**self._read(), str(path): [*stamp, content]}, indent=0).encode()
        with scratch(self._cache) as folder:
            draft = folder / self._file.name
            draft.write_bytes(digest(entries).encode() + b"\n" + entries)
            draft.replace(self._file)
        return content
