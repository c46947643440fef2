"""Hold all that a project keeps against what was written, and its parts against each other."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.damage import Checked, Damage
from bakeoff.core.hashing import digest_tree
from bakeoff.data.cache import intact, placed
from bakeoff.loop.cache import COLLECTION as STEPS
from bakeoff.loop.references import references
from bakeoff.stores.record_check import check as check_records
from bakeoff.stores.write_ahead_log import uri_of

if TYPE_CHECKING:
    from bakeoff.core.refs import Reference
    from bakeoff.project.project import Project

__all__ = ["verify"]

AGAIN = "the next 'bakeoff run' makes it again"
PERHAPS = "the next 'bakeoff run' makes it again if data, code and settings are still the same; else restore a backup"
REPAIR = "run 'bakeoff verify --repair'"
CACHES = ("vectors.sqlite", "replies.sqlite")


def verify(project: "Project", file: Path | None, *, repair: bool) -> list[Damage]:
    """All that is damaged in records, blobs, events and caches, and what records need that is not there.

    `file` is the database of the records, where it is a file.
    """
    damages = list(check_records(file, repair=repair)) if file is not None else []
    for store in (project.blobs, project.events):
        if isinstance(store, Checked):
            damages += store.check(repair=repair)
    damages += _caches(project.folder / ".bakeoff" / "cache", repair=repair)
    if all(each.repaired for each in damages if file is not None and each.place.startswith(str(file))):
        damages += _lacking(project, {each.blob for each in damages if each.blob}, repair=repair)
    return damages


def _lacking(project: "Project", damaged: set[str], *, repair: bool) -> Iterator[Damage]:
    """What records need of blobs that are damaged or gone; a step without its blobs is forgotten, not done."""
    owners: dict[str, list[Reference]] = {}
    for reference in references(project.records):
        owners.setdefault(reference.blob, []).append(reference)
    for blob, needed in owners.items():
        if blob not in damaged and project.blobs.contains(blob):
            continue
        names = ", ".join(dict.fromkeys(reference.owner for reference in needed))
        problem = f"{'is damaged' if project.blobs.contains(blob) else 'is gone'}, and {names} needs it"
        if repair and _healed(project, blob):
            yield Damage(place=f"blob {blob}", problem=problem, remedy="taken from the cache", repaired=True, blob=blob)
            continue
        steps = [reference.step for reference in needed if reference.step is not None]
        only_steps = len(steps) == len(needed)
        if repair:
            for step in steps:
                project.records.documents.delete(STEPS, step)
        yield Damage(
            place=f"blob {blob}",
            problem=problem,
            remedy=AGAIN if only_steps else PERHAPS,
            repaired=repair and only_steps,
            blob=blob,
        )


def _healed(project: "Project", blob: str) -> bool:
    """Whether the cache had a whole copy of a model's tree, which then is stored again."""
    copy = project.folder / ".bakeoff" / "cache" / "models" / blob
    return copy.is_dir() and digest_tree(copy) == blob and project.blobs.put_tree(copy) == blob


def _caches(cache: Path, *, repair: bool) -> Iterator[Damage]:
    """Damaged copies; each is fetched or made again when it is needed."""
    if not cache.is_dir():
        return
    copies = [path for path in placed(cache) if not intact(path, cache)]
    models = cache / "models"
    copies += [path for path in models.iterdir() if digest_tree(path) != path.name] if models.is_dir() else []
    copies += [path for name in CACHES if (path := cache / name).exists() and not _sound(path)]
    for path in copies:
        remedy = REPAIR
        if repair:
            remedy = "it is made again when it is needed"
            if path.suffix == ".sqlite":
                remedy += f"; the damaged file is kept as {path.replace(path.with_suffix('.damaged'))}"
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        yield Damage(place=str(path), problem="is not what was written", remedy=remedy, repaired=repair)


def _sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(uri_of(path), uri=True)) as connection:
            return connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        return False
