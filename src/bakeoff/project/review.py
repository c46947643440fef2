"""The project's review queue: what to label, who has which row, what they answered, and quality by it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError, NotFoundError
from bakeoff.core.protocols import Clock
from bakeoff.core.types import Json
from bakeoff.feedback.review import ReasonKind, ReviewBatch, ReviewProgress, ReviewQueue, ReviewRow
from bakeoff.security.audit import current_user

if TYPE_CHECKING:
    from bakeoff.actions.review import ReviewEstimate
    from bakeoff.feedback.exchange import Form, ReviewAnswer
    from bakeoff.feedback.record import Recorded
    from bakeoff.feedback.review import Labellers
    from bakeoff.project.project import Project

__all__ = ["ProjectReview", "ReviewImport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewImport:
    """Answers of a file that were taken in, and those that were not, with why."""

    accepted: int
    problems: tuple[str, ...] = ()


class ProjectReview:
    """The review queue of a project, as `project.review`.

    Rows are picked in batches, from what was predicted; who asks for one has it for some minutes (`[review]
    lease_minutes`). Answers are feedback: `who` is their source. Without `who` it is the user of the operating system.

    Example:
        >>> answers = project.predict([{"review": f"film {n}", "year": 1990 + n} for n in range(20)])
        >>> review = project.review
        >>> batch = review.pick(10, shares={"uncertain": 0.5, "random": 0.5})
        >>> batch.rows, batch.random, batch.population
        (10, 5, 20)
        >>> row = review.next(who="anna")
        >>> row.leases[0].who, row.reasons[0].kind in ("uncertain", "random")
        ('anna', True)
        >>> review.answer(row, "yes", who="anna")
        Recorded(accepted=1, unmatched=0, unusable=0)
        >>> review.skip(review.next(who="ben"), who="ben").skipped
        ('ben',)
        >>> review.give_back(review.next(who="anna"), who="anna").leases
        ()
        >>> [(each.done, each.open, each.by) for each in review.progress()]
        [(2, 8, {'anna': 1})]
        >>> while (row := review.next()) is not None:
        ...     _ = review.answer(row, "no")
        >>> estimate = review.estimate(metric="accuracy")
        >>> estimate.rows, estimate.population, 0 <= estimate.interval.value <= 1
        (9, 20, True)
        >>> review.import_answers(review.export(batch.id, everything=True)).accepted
        0
    """

    def __init__(self, project: "Project", *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._project, self._clock, self._new_id = project, clock, new_id

    def __repr__(self) -> str:
        return f"ProjectReview({', '.join(repr(each.id) for each in self._queue.batches()) or 'no batches'})"

    @property
    def _queue(self) -> ReviewQueue:
        lease_ms = round(self._project.config.review.lease_minutes * 60_000)
        return ReviewQueue(self._project.records.documents, self._clock, lease_ms=lease_ms, labellers=self._labellers)

    def _labellers(self, rows: Sequence[ReviewRow]) -> "Labellers":
        from bakeoff.feedback.join import labellers

        versions = {row.id: row.model_version for row in rows}
        return labellers(self._project.events, versions, truth_of=self._project.truth_of)

    def pick(
        self,
        budget: int | None = None,
        *,
        endpoint: str | None = None,
        shares: Mapping[ReasonKind, float] | None = None,
        annotators: int | None = None,
        assignees: Sequence[str] = (),
        since_ms: int | None = None,
        until_ms: int | None = None,
        seed: int | None = None,
        who: str | None = None,
    ) -> ReviewBatch:
        """Pick predictions to be labelled and put them into the queue; `[review]` says what is not given.

        Args:
            budget: how many rows.
            endpoint: whose predictions; the project's own by default.
            shares: how much of the budget goes to each reason: `uncertain`, `typical`, `disagreement`, `drift` and
                `random`.
            annotators: how many people should answer each row.
            assignees: who may answer; everybody by default.
            since_ms: predictions from then on, in milliseconds since 1970.
            until_ms: predictions before then.
            seed: of what is drawn; the project's by default.
            who: who asks.

        Raises:
            NotFoundError: there is nothing to pick from. UsageError: shares that are none.
        """
        from bakeoff.actions.review import Asking, pick_batch

        config = self._project.config.review
        asking = Asking(
            endpoint=endpoint or self._project.endpoint,
            budget=config.budget if budget is None else budget,
            window_rows=config.window_rows,
            shares=dict(config.shares) if shares is None else shares,
            annotators=config.annotators if annotators is None else annotators,
            assignees=tuple(assignees),
            since_ms=since_ms,
            until_ms=until_ms,
            seed=self._project.config.project.seed if seed is None else seed,
            batch_id=self._new_id()[:8],
            who=who or current_user(),
            now_ms=self._clock(),
        )
        return pick_batch(self._project, self._queue, asking)

    def batches(self, endpoint: str | None = None) -> list[ReviewBatch]:
        """All batches, the oldest first; or those of an endpoint."""
        return self._queue.batches(endpoint)

    def rows(self, batch_id: str) -> list[ReviewRow]:
        """The rows of a batch, in the order in which people are asked.

        Raises:
            NotFoundError: there is no such batch.
        """
        return self._queue.rows(self._queue.batch(batch_id).id)

    def row(self, name: str) -> ReviewRow:
        """A row by its name, BATCH/POSITION.

        Raises:
            NotFoundError: there is none.
        """
        return self._queue.row(name)

    def progress(self, batch_id: str | None = None) -> list[ReviewProgress]:
        """How far the batches are, or one of them; rows that were labelled otherwise than by the queue are done."""
        batches = self._queue.batches() if batch_id is None else [self._queue.batch(batch_id)]
        return [self._queue.progress(batch) for batch in batches]

    def next(
        self,
        *,
        who: str | None = None,
        batch_id: str | None = None,
        endpoint: str | None = None,
        reaches: Callable[[str], bool] = lambda _: True,
    ) -> ReviewRow | None:
        """The row to answer now, which nobody else gets until the lease ends; None when nothing is left.

        Args:
            who: who answers.
            batch_id: of this batch alone.
            endpoint: of predictions of this endpoint alone.
            reaches: whether who answers may know of an endpoint; batches of another one are none.

        Raises:
            NotFoundError: there is no such batch. UsageError: it is for others.
        """
        return self._queue.take(who or current_user(), batch_id=batch_id, endpoint=endpoint, reaches=reaches)

    def answer(
        self,
        row: str | ReviewRow,
        label: Json = None,
        *,
        who: str | None = None,
        rating: float | None = None,
        correction: str | None = None,
        comment: str | None = None,
    ) -> "Recorded":
        """Say what is true of a row: recorded as feedback by `who`; then the row is done by them.

        A label that means nothing to the model is told by what comes back, and leaves the row as it is. A second answer
        by the same person takes the first one's place.

        Raises:
            NotFoundError: there is no such row. DataError: there is no answer, or one of another shape.
        """
        of = self._queue.row(row) if isinstance(row, str) else row
        who = who or current_user()
        given = {"label": label, "rating": rating, "correction": correction, "comment": comment}
        item: dict[str, Json] = {"id": of.id, "source": who}
        recorded = self._project.feedback([item | {kind: value for kind, value in given.items() if value is not None}])
        if not recorded.unusable:
            self._queue.finish(of.name, who)
        return recorded

    def skip(self, row: str | ReviewRow, *, who: str | None = None) -> ReviewRow:
        """Say that a person will not answer a row."""
        return self._queue.skip(row if isinstance(row, str) else row.name, who or current_user())

    def give_back(self, row: str | ReviewRow, *, who: str | None = None) -> ReviewRow:
        """Let others have a row at once that a person has."""
        return self._queue.give_back(row if isinstance(row, str) else row.name, who or current_user())

    def close(self, batch_id: str) -> ReviewBatch:
        """Ask nobody any more for rows of a batch; its answers stay.

        Raises:
            NotFoundError: there is no such batch.
        """
        return self._queue.close(batch_id)

    def estimate(self, batch_id: str | None = None, *, metric: str | None = None) -> "ReviewEstimate":
        """The quality of all predictions that a batch was picked from, by its answers, without the bias of the picking.

        Args:
            batch_id: the batch; the last one by default.
            metric: one of predicted classes or numbers; that of the project by default.

        Raises:
            NotFoundError: there is no batch, or no answer yet. UsageError: a metric that cannot be weighed.
        """
        from bakeoff.actions.review import estimate

        batches = self._queue.batches() if batch_id is None else [self._queue.batch(batch_id)]
        if not batches:
            raise NotFoundError("expected a batch of the review queue, found none; 'bakeoff review pick' makes one")
        batch = batches[-1]
        with self._project.own_metrics():
            return estimate(self._project, batch, self._queue.rows(batch.id), metric)

    def export(self, batch_id: str, *, form: "Form" = "label-studio", everything: bool = False) -> str:
        """Rows as a file for another tool: those that are not done, or `everything`."""
        from bakeoff.feedback.exchange import exported

        queue = self._queue
        batch_id = queue.batch(batch_id).id
        return exported(queue.rows(batch_id) if everything else queue.open_rows(batch_id), form)

    def import_answers(self, text: str, *, name: str = "the file", who: str | None = None) -> ReviewImport:
        """Take in the answers of a file that another tool exported; `who` answered where the file does not say it.

        Raises:
            DataError: the file is of neither form; then nothing is taken in.
        """
        from bakeoff.feedback.exchange import answers_in

        return self._taken(answers_in(text, name=name), who or current_user())

    def _taken(self, answers: "Iterable[ReviewAnswer]", who: str) -> ReviewImport:
        accepted, problems = 0, list[str]()
        for row, label, annotator in answers:
            try:
                recorded = self.answer(row, label, who=annotator or who)
            except (NotFoundError, DataError) as error:
                problems.append(f"{row}: {error}")
                continue
            accepted += recorded.accepted
            problems += [f"{row}: {doubt.reason}" for doubt in recorded.doubts]
        return ReviewImport(accepted=accepted, problems=tuple(problems))
