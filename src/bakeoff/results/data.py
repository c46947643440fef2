"""The dataset of a run: its rows, what was done to them, and what to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bakeoff.data.violation import Violation

__all__ = [
    "Change",
    "ClassRows",
    "Contamination",
    "ContractOutcome",
    "Dataset",
    "NearDuplicates",
    "Overlap",
    "Warned",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one preparation step did."""

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something about the data to look at: a leak, a constant column, a rule of the contract; `value`: how much."""

    kind: str
    told: str
    column: str | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractOutcome:
    """The data contract that the rows were held against, and its rules that gave warnings."""

    file: str
    version: str
    rules: int
    violations: tuple[Violation, ...] = ()
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Of how many test rows training rows hold the text inputs, or the answer, nearly whole or (`exact`) whole.

    `collisions`: how many have any run of 13 words in common with a training row.
    """

    rows: int
    exact: int
    collisions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """What training rows hold of `test` test rows: runs of `words` words, to at least the `share` of a text's.

    `texts` is None without text inputs, `answers` for tasks whose truth is no text.
    """

    test: int
    texts: Overlap | None = None
    answers: Overlap | None = None
    words: int
    share: float

    def notes(self) -> list[str]:
        """What a person should know of the test rows' inputs; nothing when there is nothing."""
        found = self.texts
        if found is None or not found.rows:
            return []
        told = f"train rows hold to {self.share:.0%} or more ({found.exact:,} of them whole)"
        advice = "scores may flatter; look at the step drop_near_duplicates"
        return [f"{found.rows:,} of {self.test:,} test rows have a text that {told}: {advice}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRows:
    """A class and its training rows."""

    name: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """Rows that say nearly the same: in how many groups, and what the split did with them."""

    similarity: float
    rows: int
    groups: int
    largest: int
    parted: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The dataset version and its split; counts are rows.

    With `folds` every row is a test row in each of `repeats`, and one that the released model is fitted on. `imbalance`
    is how many times as many training rows the most frequent class has as the rarest. Feedback that came until
    `feedback_until_ms` is in it.
    """

    version: str
    rows: int
    train: int
    validation: int
    test: int
    split: str
    columns: int = 0
    folds: int = 0
    repeats: int = 1
    rejected: int = 0
    from_feedback: int = 0
    feedback_until_ms: int | None = None
    prepared_rows: int = 0
    set_aside: Mapping[str, int] = field(default_factory=dict[str, int])
    files: tuple[Mapping[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    schema_notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[Warned, ...] = ()
    contract: ContractOutcome | None = None
    near_duplicates: NearDuplicates | None = None
    classes: tuple[ClassRows, ...] | None = None
    imbalance: float | None = None
    contamination: Contamination | None = None
