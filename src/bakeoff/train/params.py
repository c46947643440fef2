"""Check the parameters given for a candidate against its family, before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.config.params import check
from bakeoff.core.protocols import Family
from bakeoff.core.types import Json

__all__ = ["check_params"]


def check_params(
    family: Family,
    given: Mapping[str, Json],
    *,
    file: str = "bakeoff.toml",
    key: str | None = None,
    also: Sequence[str] = (),
) -> Any:
    """The family's `params` made of what a project file gives under `key` ("candidates.NAME"); `also`: further keys.

    Raises:
        ConfigError: unknown keys (with a suggestion), wrong types or ranges; all together.
    """
    where = key or f"candidates.{family.name}"
    return check(family.params, given, owner=family.name, key=where, file=file, also=also)
