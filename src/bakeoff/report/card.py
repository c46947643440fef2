"""The data card as a plain model: everything that its page and its JSON say of a dataset version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bakeoff.core.ledger import Ledger
from bakeoff.core.markup import facts, notebook, paragraph, table
from bakeoff.core.types import Json, Task
from bakeoff.data.facts import ColumnFacts
from bakeoff.report.numbers import in_a_line

__all__ = [
    "CardExample",
    "CardNearDuplicates",
    "ContractFacts",
    "DataCard",
    "Duplicates",
    "Languages",
    "Part",
    "Personal",
    "Source",
    "StepFacts",
    "from_bytes",
    "to_bytes",
    "to_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that the rows came from: the table it fills, where it was named, and the hash of its bytes."""

    table: str
    location: str
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the split: its prepared rows, their time span (ISO), and rows of the most frequent classes."""

    name: str
    rows: int
    since: str | None = None
    until: str | None = None
    classes: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExample:
    """A value before and after a step; None after: the row was set aside."""

    before: str
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What one preparation step did; steps that learn with the model (`fitted`) change no rows here."""

    step: str
    rows_in: int | None = None
    rows_out: int | None = None
    cells_changed: int | None = None
    fitted: bool = False
    examples: tuple[CardExample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNearDuplicates:
    """Texts that are nearly alike, among `looked_at` rows: clusters, rows beyond the first of each, examples."""

    looked_at: int
    clusters: int
    rows: int
    largest: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Rows that repeat another with all inputs and the target; and inputs that come with several targets."""

    exact: int
    conflicting: int
    near: CardNearDuplicates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """Personal data by kind in one column, among `looked_at` values (of many distinct ones in all)."""

    column: str
    looked_at: int
    values: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """Rows by language (ISO 639 codes) in one column, among `looked_at` texts."""

    column: str
    looked_at: int
    texts: int
    rows: Mapping[str, int]
    unsure: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFacts:
    """The contract that the rows were held against, and the warnings that it gave."""

    file: str
    version: str
    rules: int
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """All that is told of a dataset version."""

    project: str
    task: Task
    version: str
    number: int | None
    run_id: str | None
    made_ms: int
    rows: int
    prepared_rows: int
    target: str
    split: str
    columns: tuple[ColumnFacts, ...]
    parts: tuple[Part, ...]
    classes: Mapping[str, int]
    duplicates: Duplicates
    personal: tuple[Personal, ...] = ()
    languages: tuple[Languages, ...] = ()
    languages_missing: str | None = None
    steps: tuple[StepFacts, ...] = ()
    sources: tuple[Source, ...] = ()
    contract: ContractFacts | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rejected: int = 0
    from_feedback: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict[str, int])
    ledger: Ledger | None = None
    tokenizer: str | None = None
    shows_personal: bool = False

    def __repr__(self) -> str:
        return (
            f"DataCard({self.project!r}, version {self.version[:8]}: {self.rows:,} rows, {len(self.columns)} columns)"
        )

    def _repr_html_(self) -> str:
        columns = [(each.name, each.role, each.kind, each.missing, in_a_line(each)) for each in self.columns]
        return notebook(
            f"Data card of {self.project}, version {self.version[:8]}",
            f"{self.rows:,} rows, {self.prepared_rows:,} of them prepared; the target is {self.target}",
            facts((part.name, f"{part.rows:,} rows") for part in self.parts),
            *(paragraph(warning, "bad") for warning in self.warnings),
            table(("column", "role", "kind", "missing", "values"), columns),
        )

    @property
    def missing_share(self) -> float:
        """The share of cells without a value."""
        cells = sum(column.rows for column in self.columns)
        return sum(column.missing for column in self.columns) / cells if cells else 0.0


def to_json(card: DataCard) -> dict[str, Json]:
    """The card as JSON: what the page shows, number for number."""
    told: dict[str, Any] = msgspec.json.decode(to_bytes(card))
    return {**told, "ledger": card.ledger.to_json()} if card.ledger else told


def to_bytes(card: DataCard) -> bytes:
    """The card as JSON bytes, to be kept as a blob."""
    return msgspec.json.encode(card)


def from_bytes(content: bytes) -> DataCard:
    """The card that `to_bytes` gave."""
    return msgspec.json.decode(content, type=DataCard)
