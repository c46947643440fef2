"""Families by the names under which they are registered: what records, releases and jobs hold."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bakeoff.core import plugins
from bakeoff.core.closure import code_of
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import Family

__all__ = [
    "families_code",
    "install_command",
    "load_family",
    "missing_distributions",
    "registered_name",
    "require_here",
    "service_of",
    "weighs",
]

FORMER = {
    f"bakeoff.families.{place}": name
    for place, name in {
        "linear:LinearFamily": "linear",
        "boosting:BoostingFamily": "boosting",
        "embedding:EmbeddingFamily": "embedding",
        "remote:RemoteFamily": "remote",
        "retrieval:RetrievalFamily": "retrieval",
        "language.prompted:PromptedFamily": "prompted",
        "language.lora:LoraFamily": "lora",
        "language.full:FullFamily": "full",
        "language.encoder:EncoderFamily": "encoder",
        "blend:BlendFamily": "blend",
        "cascade:CascadeFamily": "cascade",
        "calibrated:CalibratedFamily": "calibrated",
        "prepared:PreparedFamily": "prepared",
    }.items()
}
"""Releases made before families were named say where the code stood."""


def load_family(name: str) -> Family:
    """The family that is registered as `name`.

    Only what is registered can be loaded: who writes a record cannot choose what is imported.

    Raises:
        NotFoundError: nothing of that name is registered.
        MissingExtraError: it is, but a module that it needs is not installed.
    """
    return plugins.load("bakeoff.families", name)()


def missing_distributions(names: Sequence[str]) -> list[str]:
    """Those of the distributions that are not installed."""
    return [name for name in names if not _installed(name)]


def _installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


def install_command(family: Family, missing: Sequence[str]) -> str:
    """What installs the distributions that a family lacks: its extra, or themselves."""
    named = f"bakeoff[{family.extra}]" if family.extra else " ".join(missing)
    return f'pip install "{named}"'


def service_of(family: Family, params: Any) -> str | None:
    """The URL of the service that a family asks about rows, with these parameters; None for one that asks none."""
    ask = getattr(family, "service", None)
    return ask(params) if ask is not None else None


def require_here(family: Family, params: Any) -> None:
    """See that a fit with these parameters can be made here, as far as the family can say so without beginning one.

    Raises:
        MissingExtraError, CandidateError: something is missing: a package, a device.
    """
    require = getattr(family, "require", None)
    if require is not None:
        require(params)


def weighs(family: Family, params: Any) -> bool:
    """Whether fits of a family, with these parameters, weigh rows by their age."""
    answer = getattr(family, "weighs", False)
    return bool(answer(params)) if callable(answer) else bool(answer)


def families_code(*names: str) -> str:
    """The hash of the code of these families, and of all that it imports; a family that is not there counts by name."""
    places = {name: plugins.module_of("bakeoff.families", name) for name in names}
    code = code_of(*(place for place in places.values() if place is not None))
    return digest_json([code, sorted(name for name, place in places.items() if place is None)])


def registered_name(name: str) -> str:
    """The name of a family that a release of before names by where its code stood ("module:Class").

    >>> registered_name("bakeoff.families.linear:LinearFamily"), registered_name("linear")
    ('linear', 'linear')
    """
    if ":" not in name:
        return name
    return FORMER.get(name) or plugins.name_of("bakeoff.families", name) or name
