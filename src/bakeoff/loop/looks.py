"""The ledger of looks: which models were held against which champion on which test rows, and what it cost.

The same model, champion and rows are one look, however often it is made. Rows count as looked at when a tenth of them
were there before, so that a few new ones do not make a test set fresh. Steps down add up over fresh rows, too:
challengers that were not shown to be as good as the same anchor are counted on whatever rows they were tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.records import Document
from bakeoff.core.types import Json
from bakeoff.evaluate.decide.looks import fresh_rows, is_worn, look_level, times_rows
from bakeoff.results.verdict import LookCount

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GATES", "LOOKS", "Look", "next_look", "record"]

LOOKS = "looks"
"""Documents, one for each project."""
GATES = "gates"
"""What candidates are held against in place of a champion when they must pass gates with a confidence."""
SKETCH = 256
"""So many of the least hashes stand for the rows of a test set."""
SHARED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A model held against a champion on test rows; `number` counts the looks at them that cost something, from 1 on.

    `spent`: it did not pass at first, and so makes the next look dearer. `attempt` counts those that tried to take the
    champion's place and were held to the same `anchor`, on any rows, in the same way.
    """

    model: str
    champion: str
    test: str
    rows: int
    number: int
    spent: bool = False
    anchor: str = ""
    attempt: int = 1

    @property
    def level(self) -> float:
        """The confidence with which it is held."""
        return look_level(max(self.number, self.attempt))

    @property
    def told(self) -> str:
        """What earlier looks cost, in words; empty for the first."""
        if self.attempt > self.number:
            earlier = f"{self.attempt - 1} earlier challenger{'s' if self.attempt > 2 else ''}"  # noqa: PLR2004
            told = f"{earlier} did not pass beside the same anchor: this one is held at {self.level:.2%} confidence"
            return f"{told}, which takes {times_rows(self.attempt):.1f} times the rows"
        if self.number == 1:
            return ""
        earlier = f"{self.number - 1} earlier look{'s' if self.number > 2 else ''} at these test rows"  # noqa: PLR2004
        told = f"{earlier} did not pass: this one is held at {self.level:.2%} confidence"
        worn = "the test set is worn out: " if is_worn(self.number) else ""
        return f"{told}; {worn}{fresh_rows(self.number, self.rows):,} fresh test rows would mend it"

    @property
    def count(self) -> LookCount:
        """What a report says of it."""
        return LookCount(
            number=self.number,
            attempt=self.attempt,
            level=self.level,
            rows=self.rows,
            worn_out=is_worn(self.number),
            fresh_rows=fresh_rows(self.number, self.rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tests:
    """The rows of a test set: how many, and the least of their hashes."""

    rows: int
    least: tuple[int, ...]

    @classmethod
    def of(cls, hashes_n: "NDArray[Any]") -> "_Tests":
        import numpy as np

        unique = np.unique(hashes_n)
        return cls(rows=len(unique), least=tuple(unique[:SKETCH].tolist()))

    @property
    def digest(self) -> str:
        return digest_json([self.rows, [str(each) for each in self.least]])

    def share_in(self, other: "_Tests") -> float:
        """About which share of these rows are among the other ones.

        Source: Beyer et al., "On Synopses for Distinct-Value Estimation", SIGMOD 2007.
        """
        ours, theirs = set(self.least), set(other.least)
        most = SKETCH if max(self.rows, other.rows) > SKETCH else self.rows + other.rows
        union = sorted(ours | theirs)[:most]
        alike = sum(each in ours and each in theirs for each in union) / max(1, len(union))
        return alike / (1 + alike) * (self.rows + other.rows) / max(1, self.rows)


def next_look(
    documents: DocumentRecords,
    project: str,
    *,
    model: str,
    champion: str,
    hashes_n: "NDArray[Any]",
    anchor: str = "",
) -> Look:
    """The look of this model at these rows beside this champion: the one that was made before, or the next one.

    With an `anchor` it is an attempt to take the champion's place, which must not be worse than that.
    """
    tests, looks = _ledger(documents.get(LOOKS, project))
    present = _Tests.of(hashes_n)
    look = Look(model=model, champion=champion, test=present.digest, rows=present.rows, number=1)
    for each in looks:
        if (each.model, each.champion, each.test) == (model, champion, look.test):
            return each if not anchor or each.anchor == anchor else _attempt(each, looks, anchor)
    near = {name for name, each in tests.items() if present.share_in(each) >= SHARED}
    others = [each for each in looks if (each.champion == GATES) == (champion == GATES)]
    number = 1 + len({(each.model, each.champion) for each in others if each.spent and each.test in near})
    return _attempt(replace(look, number=number), looks, anchor)


def _attempt(look: Look, looks: Sequence[Look], anchor: str) -> Look:
    """The look with the number of those before it that were held to the same anchor and did not pass."""
    earlier = sum(each.spent and each.anchor == anchor for each in looks) if anchor else 0
    return replace(look, anchor=anchor, attempt=1 + earlier)


def record(documents: DocumentRecords, project: str, look: Look, hashes_n: "NDArray[Any]", *, passed: bool) -> None:
    """Keep a look; one that once did not pass stays paid for."""
    look = replace(look, spent=look.spent or not passed)
    while True:
        known = documents.get(LOOKS, project)
        tests, looks = _ledger(known)
        others = [
            each for each in looks if (each.model, each.champion, each.test) != (look.model, look.champion, look.test)
        ]
        tests |= {look.test: _Tests.of(hashes_n)}
        body: dict[str, Json] = {
            "tests": {name: [each.rows, [str(one) for one in each.least]] for name, each in tests.items()},
            "looks": msgspec.to_builtins([*others, look]),
        }
        try:
            documents.put(LOOKS, project, body, expected=known.revision if known else 0)
        except ConflictError:
            continue
        return


def _ledger(known: Document | None) -> tuple[dict[str, _Tests], Sequence[Look]]:
    body: Mapping[str, Any] = {"tests": {}, "looks": []} if known is None else known.body
    tests = {
        name: _Tests(rows=rows, least=tuple(int(each) for each in least))
        for name, (rows, least) in body["tests"].items()
    }
    return tests, msgspec.convert(body["looks"], list[Look])
