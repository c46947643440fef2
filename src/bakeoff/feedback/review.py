"""The review queue: rows that people are asked to label, who has which, and how far they are.

Rows stand in the records, one document each, and move by compare-and-swap. What people answer is feedback, and stands
in the event log; the queue only says who answered.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from bakeoff.config.sections import REASONS, ReasonKind
from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import Document, DocumentChange

if TYPE_CHECKING:
    from bakeoff.core.types import Json
else:
    Json = Any  # msgspec knows no type that is made of itself

Labellers: TypeAlias = Mapping[str, Collection[str | None]]
"""Who labelled predictions, in whatever way, by their ids."""

__all__ = [
    "REASONS",
    "Reason",
    "ReasonKind",
    "ReviewBatch",
    "ReviewLease",
    "ReviewProgress",
    "ReviewQueue",
    "ReviewRow",
]

ROWS, BATCHES = "review_rows", "review_batches"
MOST_TRIES = 20


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row was asked for: which way of picking, how high it scored (higher is more of it), and in words."""

    kind: ReasonKind
    score: float | None = None
    text: str = ""


class ReviewLease(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a row to answer, and until when (milliseconds since 1970)."""

    who: str
    until_ms: int


class ReviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the queue.

    Attributes:
        batch, position: where it stands; rows are handed out in this order.
        id: of the prediction.
        endpoint, model_version: who predicted it.
        row: its inputs, as they were logged.
        answer, probabilities: what was predicted.
        reasons: why it was asked for, the first the one that it was picked by.
        rank: its place among the rows that were picked for a reason, from 0; None for one that is only drawn at random.
        random: whether it is one of the rows that were drawn at random.
        annotators: how many people should answer it.
        leases: who has it now.
        answered, skipped: who answered it, and who would not.
    """

    batch: str
    position: int
    id: str
    endpoint: str
    model_version: str
    row: Mapping[str, Json]
    answer: str | float | None = None
    probabilities: Mapping[str, float] | None = None
    reasons: tuple[Reason, ...] = ()
    rank: int | None = None
    random: bool = False
    annotators: int = 1
    leases: tuple[ReviewLease, ...] = ()
    answered: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How the row is called: BATCH/POSITION."""
        return f"{self.batch}/{self.position:06d}"

    @property
    def done(self) -> bool:
        """Whether it needs nobody more: enough people answered, or so many skipped it."""
        return len(self.answered) >= self.annotators or len(self.skipped) >= self.annotators

    def labelled_elsewhere(self, labellers: Labellers) -> bool:
        """Whether it needs nobody more because of labels that did not come by the queue."""
        return not self.done and len({*self.answered, *labellers.get(self.id, ())}) >= self.annotators

    def leased_to(self, who: str, now_ms: int) -> bool:
        """Whether somebody has it now."""
        return any(lease.who == who and lease.until_ms > now_ms for lease in self.leases)

    def free_for(self, who: str, now_ms: int) -> bool:
        """Whether somebody can have it who does not have it."""
        active = {lease.who for lease in self.leases if lease.until_ms > now_ms}
        taken = len(self.answered) + len(active)
        return not self.done and taken < self.annotators and who not in active.union(self.answered, self.skipped)


class ReviewBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were asked for together.

    Attributes:
        id: of the batch.
        endpoint: whose predictions they are.
        created_ms, created_by: when it was made, and by whom.
        rows: how many there are; `random` of them were drawn at random.
        population: the predictions that they were picked from.
        counts: rows by the reason that they were picked by.
        notes: what could not be picked by, and why.
        assignees: who may answer; nobody named: everybody.
        classes: what a row may be labelled as, for classification.
        closed: whether nobody is asked any more.
    """

    id: str
    endpoint: str
    created_ms: int
    created_by: str
    rows: int
    random: int
    population: int
    counts: Mapping[str, int] = {}
    notes: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    closed: bool = False

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff review --json` has it."""
        return msgspec.to_builtins(self)


class ReviewProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is: rows done, those that somebody has now, skipped ones, and answers by annotator.

    `elsewhere`: done rows whose labels did not come by the queue, as far as they need more than its answers.
    """

    batch: ReviewBatch
    done: int
    leased: int
    skipped: int
    by: Mapping[str, int]
    elsewhere: int = 0

    @property
    def open(self) -> int:
        """Rows that are not done."""
        return self.batch.rows - self.done

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff review status --json` has it."""
        return msgspec.to_builtins(self) | {"open": self.open}


class ReviewQueue:
    """The batches of a project and their rows; safe to use from several processes.

    Args:
        documents: where they stand.
        clock: milliseconds since the epoch.
        lease_ms: how long somebody who takes a row has it.
        labellers: who labelled the predictions of some rows, in whatever way.
    """

    def __init__(
        self,
        documents: DocumentRecords,
        clock: Clock,
        *,
        lease_ms: int,
        labellers: Callable[[Sequence[ReviewRow]], Labellers] = lambda _: {},
    ) -> None:
        self._documents, self._clock, self._lease_ms = documents, clock, lease_ms
        self._labellers = labellers

    def add(self, batch: ReviewBatch, rows: Sequence[ReviewRow]) -> None:
        """Ask for rows: all of them or none."""
        changes = [
            DocumentChange(collection=ROWS, key=row.name, body=msgspec.to_builtins(row), expected=0) for row in rows
        ]
        body = msgspec.to_builtins(batch)
        self._documents.apply([*changes, DocumentChange(collection=BATCHES, key=batch.id, body=body, expected=0)])

    def batches(self, endpoint: str | None = None) -> list[ReviewBatch]:
        """The batches of an endpoint, or all, the oldest first."""
        known = [msgspec.convert(document.body, ReviewBatch) for document in self._documents.find(BATCHES)]
        return sorted(
            (batch for batch in known if endpoint in {None, batch.endpoint}),
            key=lambda each: (each.created_ms, each.id),
        )

    def batch(self, batch_id: str, *, reaches: Callable[[str], bool] = lambda _: True) -> ReviewBatch:
        """One batch, of an endpoint that its reader may know of.

        Raises:
            NotFoundError: there is none of this id.
        """
        document = self._documents.get(BATCHES, batch_id)
        batch = None if document is None else msgspec.convert(document.body, ReviewBatch)
        if batch is None or not reaches(batch.endpoint):
            ids = [each.id for each in self.batches() if reaches(each.endpoint)]
            known = ", ".join(ids) or "there is none; 'bakeoff review pick' makes one"
            raise NotFoundError(f"expected the id of a batch ({known}), received {batch_id!r}")
        return batch

    def rows(self, batch_id: str) -> list[ReviewRow]:
        """The rows of a batch in order."""
        return [row for _, row in self._rows(batch_id)]

    def _rows(self, batch_id: str) -> Iterator[tuple[Document, ReviewRow]]:
        for document in self._documents.find(ROWS, f"{batch_id}/"):
            yield document, msgspec.convert(document.body, ReviewRow)

    def row(self, name: str) -> ReviewRow:
        """A row by its name, BATCH/POSITION.

        Raises:
            NotFoundError: there is none.
        """
        return self._row(name)[1]

    def _row(self, name: str) -> tuple[Document, ReviewRow]:
        batch_id, _, position = name.partition("/")
        key = f"{batch_id}/{int(position):06d}" if position.isascii() and position.isdigit() else name
        document = self._documents.get(ROWS, key)
        if document is None:
            raise NotFoundError(f"expected a row of the review queue (BATCH/POSITION), received {name!r}")
        return document, msgspec.convert(document.body, ReviewRow)

    def take(
        self,
        who: str,
        *,
        batch_id: str | None = None,
        endpoint: str | None = None,
        reaches: Callable[[str], bool] = lambda _: True,
    ) -> ReviewRow | None:
        """The row that somebody should answer now: the one that they have, else the next free one; None: all is done.

        `reaches` says of which endpoints they may know; batches of others are none.

        Raises:
            NotFoundError: there is no such batch. UsageError: the batch is for others.
        """
        if batch_id is not None:
            batch = self.batch(batch_id, reaches=reaches)
            if batch.assignees and who not in batch.assignees:
                raise UsageError(
                    f"expected one of {', '.join(batch.assignees)}, whom this batch is for; received {who!r}"
                )
            batches = [batch]
        else:
            known = [each for each in self.batches(endpoint) if reaches(each.endpoint)]
            batches = [each for each in known if not each.assignees or who in each.assignees]
        for batch in batches:
            if not batch.closed and (row := self._take_of(batch, who)) is not None:
                return row
        return None

    def _take_of(self, batch: ReviewBatch, who: str) -> ReviewRow | None:
        now_ms, rows = self._clock(), list(self._rows(batch.id))
        elsewhere = self._elsewhere([row for _, row in rows])
        there = [each for each in rows if each[1].name not in elsewhere]
        mine = [each for each in there if each[1].leased_to(who, now_ms)]
        for document, row in [*mine, *(each for each in there if each[1].free_for(who, now_ms))]:
            others = tuple(each for each in row.leases if each.who != who and each.until_ms > now_ms)
            until_ms = now_ms + self._lease_ms
            leased = msgspec.structs.replace(row, leases=(*others, ReviewLease(who=who, until_ms=until_ms)))
            try:
                self._write(document, leased)
            except ConflictError:  # somebody else was faster: the next one
                continue
            return leased
        if rows and all(row.done for _, row in there):
            self.close(batch.id)
        return None

    def _elsewhere(self, rows: Sequence[ReviewRow]) -> set[str]:
        """The names of those that need nobody more because of labels that did not come by the queue."""
        open_rows = [row for row in rows if not row.done]
        labellers = self._labellers(open_rows) if open_rows else {}
        return {row.name for row in open_rows if row.labelled_elsewhere(labellers)}

    def open_rows(self, batch_id: str) -> list[ReviewRow]:
        """The rows of a batch that still need somebody."""
        rows = self.rows(batch_id)
        elsewhere = self._elsewhere(rows)
        return [row for row in rows if not row.done and row.name not in elsewhere]

    def close(self, batch_id: str) -> ReviewBatch:
        """Ask nobody any more for rows of a batch."""
        batch = msgspec.structs.replace(self.batch(batch_id), closed=True)
        self._documents.put(BATCHES, batch_id, msgspec.to_builtins(batch))
        return batch

    def finish(self, name: str, who: str) -> ReviewRow:
        """Say that somebody answered a row; twice is once."""
        return self._change(name, lambda row: _without(row, who, answered=(*row.answered, who)))

    def skip(self, name: str, who: str) -> ReviewRow:
        """Say that somebody will not answer a row; it goes to others, if there are."""
        return self._change(
            name, lambda row: row if who in row.answered else _without(row, who, skipped=(*row.skipped, who))
        )

    def give_back(self, name: str, who: str) -> ReviewRow:
        """Let others have a row at once that somebody has."""
        return self._change(name, lambda row: _without(row, who))

    def _change(self, name: str, change: Callable[[ReviewRow], ReviewRow]) -> ReviewRow:
        for _ in range(MOST_TRIES):
            document, row = self._row(name)
            changed = change(row)
            if changed == row:
                return row
            try:
                self._write(document, changed)
            except ConflictError:
                continue
            return changed
        raise ConflictError(f"expected row {name} to stand still for a moment, but others change it: try again")

    def _write(self, document: Document, row: ReviewRow) -> None:
        self._documents.put(ROWS, document.key, msgspec.to_builtins(row), expected=document.revision)

    def progress(self, batch: ReviewBatch) -> ReviewProgress:
        """How far a batch is."""
        rows, now_ms = self.rows(batch.id), self._clock()
        elsewhere = self._elsewhere(rows)
        there = [row for row in rows if row.name not in elsewhere]
        by: dict[str, int] = {}
        for who in (who for row in rows for who in row.answered):
            by[who] = by.get(who, 0) + 1
        return ReviewProgress(
            batch=batch,
            done=sum(row.done for row in there) + len(elsewhere),
            leased=sum(not row.done and any(each.until_ms > now_ms for each in row.leases) for row in there),
            skipped=sum(row.done and not row.answered for row in rows),
            by=dict(sorted(by.items())),
            elsewhere=len(elsewhere),
        )


def _without(
    row: ReviewRow, who: str, *, answered: tuple[str, ...] | None = None, skipped: tuple[str, ...] | None = None
) -> ReviewRow:
    """The row without somebody's lease, and with who answered and skipped it, each once."""
    answered = tuple(dict.fromkeys(row.answered if answered is None else answered))
    skipped = tuple(dict.fromkeys(row.skipped if skipped is None else skipped))
    return msgspec.structs.replace(
        row,
        leases=tuple(lease for lease in row.leases if lease.who != who),
        answered=answered,
        skipped=tuple(each for each in skipped if each not in answered),
    )
