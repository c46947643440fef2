"""Resolve a project's settings to things that work: contenders, stores, compute, scratch folders."""

import importlib
import importlib.util
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from bakeoff.core import plugins
from bakeoff.core.config import Config, Loaded
from bakeoff.core.errors import BakeoffError, ConfigError, NotFoundError, Problem
from bakeoff.core.hashing import digest_file, digest_sources
from bakeoff.core.protocols import BlobStore, Clock, Compute, EventLog, Family, RecordStore
from bakeoff.evaluate.verdict import check_gates
from bakeoff.loop.stage import Contender
from bakeoff.train.params import check_params

__all__ = ["combiners", "compute", "contenders", "family_of", "new_id", "open_blobs", "open_events", "open_records"]

COMBINERS = ("blend", "cascade")


class _Opener(Protocol):
    def __call__(self, url: str, *, folder: Path, clock: Clock) -> Any: ...


def new_id() -> str:
    """A random id in the form of MLflow's run ids: 32 hex digits."""
    return secrets.token_hex(16)


def open_records(loaded: Loaded, clock: Clock) -> RecordStore:
    """The project's records."""
    return cast("RecordStore", _open("records", loaded.config.store.records, loaded.folder, clock))


def open_blobs(loaded: Loaded, clock: Clock) -> BlobStore:
    """The project's blobs."""
    return cast("BlobStore", _open("blobs", loaded.config.store.blobs, loaded.folder, clock))


def open_events(loaded: Loaded, clock: Clock) -> EventLog:
    """The project's event log."""
    return cast("EventLog", _open("events", loaded.config.store.events, loaded.folder, clock))


def _open(what: str, url: str, folder: Path, clock: Clock) -> Any:
    scheme = url.partition(":")[0].partition("+")[0]
    opener: _Opener = plugins.load("bakeoff.stores", f"{what}+{scheme}")
    return opener(url, folder=folder, clock=clock)


def compute(config: Config, *, jobs: int) -> Compute:
    """The project's compute backend; by default as many workers as there are jobs and cores."""
    backend: Callable[..., Compute] = plugins.load("bakeoff.compute", config.compute.backend.partition(":")[0])
    return backend(workers=config.compute.workers, threads=config.compute.threads, jobs=jobs)


def contenders(loaded: Loaded) -> tuple[Contender, ...]:
    """The project's candidates, checked; all that is wrong with them, gates and steps is reported together.

    Raises:
        ConfigError: unknown families, parameters, gates, metrics or preparation steps.
    """
    problems = [
        *_caught(lambda: _check_steps(loaded)),
        *_caught(lambda: check_gates(loaded.config.decide, loaded.config.project.task)),
    ]
    found: list[Contender] = []
    for name in loaded.config.candidates:
        try:
            found.append(_contender(loaded, name))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def _contender(loaded: Loaded, name: str) -> Contender:
    candidate, task = loaded.config.candidates[name], loaded.config.project.task
    family_name, key = candidate.family or name, f"candidates.{name}"
    known = plugins.names("bakeoff.families")
    if family_name not in known:
        hint = plugins.suggestion(family_name, known) or "Name a family with the key 'family'."
        expected = f"one of the families {', '.join(known)}"
        raise ConfigError((Problem(file=loaded.file, key=key, expected=expected, found=repr(family_name), hint=hint),))
    family = cast("Family", plugins.load("bakeoff.families", family_name)())
    if task not in family.tasks:
        found = f"{family_name!r}, which is for {', '.join(sorted(family.tasks))}"
        raise ConfigError((Problem(file=loaded.file, key=key, expected=f"a family for {task}", found=found),))
    params = check_params(family, candidate.params, file=loaded.file, key=key)
    return _ready(name, family_name, family, params)


def _ready(name: str, family_name: str, family: Family, params: Any) -> Contender:
    return Contender(
        name=name,
        family_name=family_name,
        requires=family.requires,
        reference=f"{type(family).__module__}:{type(family).__qualname__}",
        params=params,
        code=_code(type(family).__module__),
    )


def combiners() -> dict[str, Contender]:
    """The families that make one model of several, as contenders whose parameters are not known yet."""
    return {name: _ready(name, name, plugins.load("bakeoff.families", name)(), {}) for name in COMBINERS}


def _check_steps(loaded: Loaded) -> None:
    from bakeoff.prepare.steps import Preparation

    Preparation(loaded.config.prepare.specs, file=loaded.file)


def _caught(check: Callable[[], None]) -> tuple[Problem, ...]:
    try:
        check()
    except ConfigError as error:
        return error.problems
    return ()


def _code(module: str) -> str:
    """Hash of a family's source: of its package's folder, or of its file when it stands alone."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return "unknown"
    file = Path(spec.origin)
    return digest_sources(file.parent) if (file.parent / "__init__.py").exists() else digest_file(file)


def family_of(reference: str) -> Family:
    """The family that stands at "module:Class".

    Raises:
        NotFoundError: it cannot be imported (any more).
    """
    module, _, name = reference.partition(":")
    try:
        return cast("Family", getattr(importlib.import_module(module), name)())
    except (ImportError, AttributeError) as error:
        if isinstance(error, BakeoffError):
            raise
        raise NotFoundError(
            f"expected the family {reference!r} to be importable, found: {error}; install the package that holds it"
        ) from error
