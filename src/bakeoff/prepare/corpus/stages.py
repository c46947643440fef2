"""A chain cut into stages, and where a stage leaves what the next one reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.prepare.rows.comparison import RowComparison
from bakeoff.prepare.steps import Apply, Step

__all__ = [
    "ROW",
    "CorpusStage",
    "columns_file",
    "keys_file",
    "mask_file",
    "part_file",
    "parts_folder",
    "spill_file",
    "stages",
]

ROW = "\0row"
"""The column between stages that holds a row's number within its block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusStage:
    """Steps that look at one row at a time, then at most one that compares rows."""

    local: tuple[tuple[Step, Apply], ...]
    comparison: tuple[Step, RowComparison] | None = None


def stages(bound: Sequence[tuple[Step, Apply]]) -> tuple[CorpusStage, ...]:
    """The stages of bound steps; the last one compares nothing."""
    found: list[CorpusStage] = []
    local: list[tuple[Step, Apply]] = []
    for step, apply in bound:
        if isinstance(apply, RowComparison):
            found.append(CorpusStage(local=tuple(local), comparison=(step, apply)))
            local = []
        else:
            local.append((step, apply))
    return (*found, CorpusStage(local=tuple(local)))


def columns_file(folder: Path) -> Path:
    """An empty table with the columns of the corpus."""
    return folder / "columns.arrow"


def spill_file(folder: Path, stage: int, part: int) -> Path:
    """The rows of a block after a stage."""
    return folder / f"stage-{stage}-{part:06}.arrow"


def keys_file(folder: Path, stage: int, part: int) -> Path:
    """The keys of those rows."""
    return folder / f"stage-{stage}-{part:06}.keys"


def mask_file(folder: Path, stage: int) -> Path:
    """A byte for each row of a stage: whether its comparison keeps it."""
    return folder / f"stage-{stage}.kept"


def parts_folder(folder: Path) -> Path:
    """Where finished parts go."""
    return folder / "parts"


def part_file(folder: Path, part: int, suffix: str) -> Path:
    """A finished part."""
    return parts_folder(folder) / f"part-{part:06}{suffix}"
