"""Which extras of bakeoff a project needs: by its settings, its candidates and its steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bakeoff.config.sections import Config
from bakeoff.core import plugins
from bakeoff.core.errors import NotFoundError
from bakeoff.core.families import load_family, missing_distributions
from bakeoff.data.databases import SERVER_SCHEMES

__all__ = ["JUDGE", "UNTRIED", "SettingNeed", "extras_of", "needs_of_settings", "requirements_of"]

JUDGE = "the judge"
UNTRIED = frozenset({"dev", "docs"})
"""Extras for people who work on bakeoff itself: what of them is a program has no module to import."""


@dataclass(frozen=True, slots=True)
class SettingNeed:
    """A setting that needs an extra, and the distribution of the extra without which it does not work."""

    setting: str
    extra: str
    distribution: str


def needs_of_settings(config: Config) -> Iterator[SettingNeed]:
    """What the settings of a project need beside its candidates and steps."""
    data, store = config.data, config.store
    locations = [*data.source, *(each for several in data.sources.values() for each in several)]
    if config.judge is not None:
        yield SettingNeed(JUDGE, "chat", "httpx2")
    if data.query is not None:
        yield SettingNeed("[data] query", "sql", "duckdb")
    if config.decide.json_schema is not None:
        yield SettingNeed("[decide] json_schema", "chat", "jsonschema")
    if data.holidays is not None:
        yield SettingNeed("[data] holidays", "holidays", "holidays")
    if any(_scheme(each) in SERVER_SCHEMES for each in locations):
        yield SettingNeed("a source on PostgreSQL", "postgres", "psycopg")
    if _scheme(store.records) in SERVER_SCHEMES:
        yield SettingNeed("records on PostgreSQL", "postgres", "psycopg")
    if _scheme(store.events) in SERVER_SCHEMES:
        yield SettingNeed("events on PostgreSQL", "postgres", "psycopg")
    if _scheme(store.blobs) == "s3":
        yield SettingNeed("blobs on S3", "s3", "obstore")
    if store.encryption is not None:
        yield SettingNeed("[store.encryption]", "tls", "cryptography")
    if config.compute.backend.partition(":")[0] == "ray":
        yield SettingNeed("[compute] backend", "ray", "ray")


def _scheme(location: str) -> str:
    """Of a location's URL; empty for a path."""
    return location.partition("://")[0].partition("+")[0] if "://" in location else ""


def extras_of(config: Config) -> frozenset[str]:
    """The extras with which a project runs elsewhere as it does here.

    A step is the same step only with the distributions that it has here: the extras of those that are installed.
    """
    extras = {need.extra for need in needs_of_settings(config)}
    for name, candidate in config.candidates.items():
        try:
            extra = load_family(candidate.family or name).extra
        except NotFoundError:
            continue  # a family of the team's own, which its own requirements bring
        extras |= {extra} if extra else set[str]()
    known = _distributions()
    for step in config.prepare.steps:
        try:
            needed: tuple[str, ...] = plugins.load("bakeoff.prepare", step.name).requires
        except NotFoundError:
            continue
        for distribution in needed:
            bringing = known.get(canonicalize_name(distribution), [])
            if bringing and not extras & set(bringing) and not missing_distributions([distribution]):
                extras.add(bringing[0])
    return frozenset(extras)


def _distributions() -> dict[str, list[str]]:
    """By each distribution the extras that bring it, those of the fewest first; none of what the base brings."""
    extras = {extra: [*requirements_of(extra)] for extra in metadata("bakeoff").get_all("Provides-Extra") or []}
    base = {canonicalize_name(each.name) for each in requirements_of()}
    bringing: dict[str, list[str]] = {}
    for extra, needed in sorted(extras.items(), key=lambda item: len(item[1])):
        for name in {canonicalize_name(each.name) for each in needed} - base:
            bringing.setdefault(name, []).extend([extra] if extra not in UNTRIED else [])
    return bringing


def requirements_of(extra: str = "") -> Iterator[Requirement]:
    """What the base needs here, or what an extra adds to it."""
    for line in requires("bakeoff") or []:
        each = Requirement(line)
        if each.marker is None:
            wanted = not extra
        else:
            wanted = each.marker.evaluate({"extra": extra}) and (not extra or not each.marker.evaluate({"extra": ""}))
        if wanted:
            yield each
