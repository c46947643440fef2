"""Write a project's data contract from its present data, and hold the present data against it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.config.file import Loaded
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Schema

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.data.contract_check import ContractCheck

__all__ = ["CONTRACT", "Held", "WrittenContract", "check_contract", "write_contract"]

CONTRACT = "contract.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenContract:
    """A contract file that was written, and whether the project file names it."""

    path: Path
    text: str
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How the present data stands to the contract."""

    path: Path
    rows: int
    rules: int
    checked: "ContractCheck"


def write_contract(loaded: Loaded, cache: Path, progress: Progress, *, force: bool = False) -> WrittenContract:
    """Write the contract beside the project file, inferred from all rows that the sources hold now.

    Raises:
        UsageError: there is one that somebody edited, and `force` is not set.
    """
    from bakeoff.data.contract import parse
    from bakeoff.data.contract_infer import draft, is_unedited

    path = _path(loaded)
    if not force and path.exists() and not is_unedited(path.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(
            f"{str(path)!r} was edited since bakeoff wrote it, and would be written over: say --force to do so, "
            "or move it away"
        )
    table, schema = _rows(loaded, cache, progress)
    text = draft(table, schema, name=loaded.config.project.name)
    parse(text, file=path.name)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return WrittenContract(path=path, text=text, named=loaded.config.data.contract is not None)


def check_contract(loaded: Loaded, cache: Path, progress: Progress) -> Held:
    """Hold the rows that the sources hold now against the contract.

    Raises:
        ConfigError: there is no contract, or it is wrong.
    """
    from bakeoff.data.contract import load
    from bakeoff.data.contract_check import check

    path = _path(loaded)
    contract = load(path)
    table, _ = _rows(loaded, cache, progress)
    return Held(path=path, rows=table.height, rules=contract.rules, checked=check(table, contract))


def _path(loaded: Loaded) -> Path:
    return loaded.folder / (loaded.config.data.contract or CONTRACT)


def _rows(loaded: Loaded, cache: Path, progress: Progress) -> "tuple[pl.DataFrame, Schema]":
    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer
    from bakeoff.data.target import name_classes
    from bakeoff.loop.sources import resolved

    data = loaded.config.data
    files = resolved(data, folder=loaded.folder, cache=cache, progress=progress)
    reading, task = read(data, files), loaded.config.project.task
    named = name_classes(reading.table, data, task, reading.formats)
    return named.table, infer(named.table, data, task, named.formats).schema
