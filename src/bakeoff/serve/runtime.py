"""A runtime: one loaded release. It says whether rows may be answered, asks the model, and gives answers.

It writes nothing: what is to be logged of its answers, a `Recorder` logs.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bakeoff.core.abilities import abilities_of
from bakeoff.core.conversation import question_text
from bakeoff.core.errors import BakeoffError, CandidateError, DataError, UsageError
from bakeoff.core.generation import Counting, Embedded, Messages, Sampling, Tool
from bakeoff.core.protocols import Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Json, Predictions
from bakeoff.data.contract_rows import Broken, RowCheck
from bakeoff.data.schema import conform
from bakeoff.serve.answer_cache import AnswerCache
from bakeoff.serve.inputs import NO_GAPS, Gaps, Inputs
from bakeoff.serve.row_path import PathAnswer, compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from bakeoff.core.generation import Piece

__all__ = ["Admitted", "Answer", "OnViolation", "Prepare", "Row", "Runtime"]

Row: TypeAlias = Mapping[str, object]
"""Columns and values as JSON has them, or as plain Python (times, decimals)."""
Prepare: TypeAlias = "Callable[[pl.DataFrame, tuple[Json, ...], tuple[Column, ...]], pl.DataFrame]"
OnViolation: TypeAlias = Literal["reject", "log", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said about one row: `label` for classification, else `value` (a number or a text).

    `gaps` say which inputs the row lacked, and which of its keys nobody knows.
    """

    id: str
    label: str | None = None
    value: float | str | None = None
    probabilities: Mapping[str, float] | None = None
    release_id: str
    model_version: str
    gaps: Gaps = NO_GAPS

    def __repr__(self) -> str:
        answer = self.value if self.label is None else self.label
        sure = f" ({self.probabilities[self.label]:.3f})" if self.probabilities and self.label is not None else ""
        return f"Answer({answer!r}{sure}, id={self.id!r}{', with gaps' if self.gaps else ''})"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Rows that may be answered: their table, what each lacks, and what they violate of the contract.

    `before` are rows that came before them, for models that look at those; they are answered already.
    """

    rows: Sequence[Row]
    table: "pl.DataFrame"
    gaps: Sequence[Gaps]
    broken: Sequence[Broken]
    before: "pl.DataFrame | None" = None

    @classmethod
    def joined(cls, parts: "Sequence[Admitted]") -> "Admitted":
        """The rows of several calls, to be answered at once."""
        if len(parts) == 1:
            return parts[0]
        import polars as pl

        rows = [row for part in parts for row in part.rows]
        broken: list[Broken] = []
        first = 0
        for part in parts:
            broken += [replace(each, row=each.row + first) for each in part.broken]
            first += len(part.rows)
        gaps = [each for part in parts for each in part.gaps]
        return cls(rows, pl.concat([part.table for part in parts]), gaps, broken)


class Runtime:
    """A release with its model; safe to call from many threads.

    Args:
        release, model: what it is.
        prepare: applies the release's preparation steps to a table with these columns.
        inputs: looks at the names and values of rows.
        check: holds rows against the released contract; None where that is not wanted.
        on_violation: whether rows that violate an error rule are refused.
        cache: the answers that are kept for rows that come again; for models that would answer the same again.
    """

    def __init__(
        self,
        release: Release,
        model: Model,
        *,
        prepare: Prepare,
        inputs: Inputs,
        check: RowCheck | None = None,
        on_violation: OnViolation = "reject",
        cache: int = 0,
    ) -> None:
        self.release, self.model, self.inputs = release, model, inputs
        self._prepare, self._check = prepare, check
        self._on_violation: OnViolation = on_violation
        looks_back = abilities_of(model).rows_before
        self.rows_before = looks_back() if looks_back else 0
        """How many rows before a row the model looks at; such a model is asked for each call by itself."""
        self._cache = AnswerCache[Answer](cache) if cache and not self.rows_before else None
        self.row_path = None if cache else compiled(release, model, inputs, check)
        """How rows are answered without a table; None where they need one."""

    def with_release(self, release: Release) -> "Runtime":
        """The same in another role: with the model, what was measured of it, and the answers that it knows."""
        other = copy(self)
        other.release = release
        return other

    def admitted(
        self, rows: Sequence[Row], broken: Callable[[Sequence[Broken]], None], before: Sequence[Row] = ()
    ) -> Admitted:
        """The rows as the model's table, if all of them may be answered; `broken` hears of violations first.

        `before` are rows that were answered before them, of which a model that looks back sees the last.

        Raises:
            DataError: a row does not fit the model's inputs.
            ContractError: a row violates an error rule of the released contract, and such calls are refused.
        """
        rows = [self.inputs.renamed(row) for row in rows]
        gaps = self.inputs.of_rows(rows)
        violations = self.violations(rows, broken)
        table = conform(rows, self.model.signature.inputs)
        return Admitted(rows, table, self.inputs.with_values(gaps, table), violations, self._earlier(before))

    def _earlier(self, before: Sequence[Row]) -> "pl.DataFrame | None":
        near = before[-self.rows_before :] if self.rows_before else ()
        return conform([self.inputs.renamed(row) for row in near], self.model.signature.inputs) if near else None

    def violations(self, rows: Sequence[Row], broken: Callable[[Sequence[Broken]], None]) -> list[Broken]:
        """What the rows violate of the released contract; refused when that is the project's wish."""
        violations = self._check(rows) if self._check is not None else []
        if violations:
            broken(violations)
            errors = [each for each in violations if each.rule.severity == "error"]
            if errors and self._on_violation == "reject":
                raise RowCheck.error(errors)
        return violations

    def answers(self, admitted: Admitted, ids: Callable[[], str]) -> list[Answer]:
        """Ask the model.

        Raises:
            CandidateError: it failed, or answered with holes, NaN or infinity.
        """
        if self._cache is None:
            return self._answers(self._predicted(admitted.table, admitted.before), admitted.gaps, ids)
        rows, gaps = admitted.table.rows(), admitted.gaps
        answers = self._cache.get(rows)
        missing = [at for at, answer in enumerate(answers) if answer is None]
        if missing:
            computed = self._answers(self._predicted(admitted.table[missing]), [gaps[at] for at in missing], ids)
            self._cache.put([rows[at] for at in missing], computed)
            for at, answer in zip(missing, computed, strict=True):
                answers[at] = answer
        new = frozenset(missing)
        return [
            answer if at in new else replace(answer, id=ids(), gaps=gaps[at])
            for at, answer in enumerate(answers)
            if answer is not None
        ]

    def _predicted(self, table: "pl.DataFrame", before: "pl.DataFrame | None" = None) -> Predictions:
        whole = table if before is None else before.vstack(table)
        try:
            predictions = self.model.predict(self._prepare(whole, self.release.steps, self.model.signature.inputs))
        except BakeoffError:
            raise
        except Exception as error:
            raise self._failure(table.height, "rows", error) from error
        self._require_whole(predictions, whole.height)
        return predictions if before is None else predictions.take(np.arange(len(before), whole.height))

    def path_answers(self, answer: PathAnswer, ids: Callable[[], str]) -> list[Answer] | None:
        """Answers by the row path; None where the model answered with holes, which the table's way tells."""
        try:
            self._require_whole(answer.predictions, len(answer.gaps))
        except CandidateError:
            return None
        return self._answers(answer.predictions, answer.gaps, ids)

    def _failure(self, count: int, things: str, error: Exception) -> CandidateError:
        version, kind = self.release.model_version, type(error).__name__
        return CandidateError(f"model {version} failed on {count} {things}: {kind}: {error}")

    def _require_whole(self, predictions: Predictions, rows: int) -> None:
        """A model that answers with holes must not be believed."""
        version = self.release.model_version
        if len(predictions) != rows:
            raise CandidateError(f"model {version}: expected {rows} predictions, received {len(predictions)}")
        numbers = predictions.probabilities_nk if predictions.probabilities_nk is not None else predictions.values_n
        if numbers.dtype.kind == "f" and not np.logical_and.reduce(np.isfinite(numbers), axis=None):
            raise CandidateError(f"model {version}: expected finite predictions, received NaN or infinity")

    def _answers(self, predictions: Predictions, gaps: Sequence[Gaps], ids: Callable[[], str]) -> list[Answer]:
        release_id, model_version, classes = self.release.release_id, self.release.model_version, predictions.classes
        values: list[Any] = predictions.values_n.tolist()
        if self.model.signature.task != "classification":
            return [
                Answer(id=ids(), value=value, release_id=release_id, model_version=model_version, gaps=gap)
                for value, gap in zip(values, gaps, strict=True)
            ]
        shares_nk = predictions.probabilities_nk
        shares = [None] * len(values) if shares_nk is None else shares_nk.tolist()
        return [
            Answer(
                id=ids(),
                label=str(value),
                probabilities=None if share_k is None else dict(zip(classes, share_k, strict=True)),
                release_id=release_id,
                model_version=model_version,
                gaps=gap,
            )
            for value, share_k, gap in zip(values, shares, gaps, strict=True)
        ]

    # --- conversing and embedding -----------------------------------------------------------------

    def row_of(self, messages: Messages) -> Row:
        """The conversation as a row of the dataset: as the text that training knows conversations by."""
        text = next((column.name for column in self.model.signature.inputs if column.kind == "text"), None)
        return {} if text is None else {text: question_text(messages)}

    @property
    def chat(self) -> "Callable[[Messages, Sampling], Iterator[Piece]]":
        """Answers conversations piece by piece.

        Raises:
            DataError: the model does not converse.
        """
        chat = abilities_of(self.model).chat
        if chat is None:
            task = self.model.signature.task
            raise DataError(f"expected a model that converses, found one for {task}; ask it by POST /predict")
        return chat

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """How many tokens a conversation has.

        Raises:
            UsageError: the model does not count them. DataError: its chat template refuses the conversation.
        """
        if not isinstance(self.model, Counting):
            raise UsageError(
                f"expected a model that counts tokens before it is asked, found {self.release.model_version} of family "
                f"{self.release.family!r}, which does not; the usage of an answer tells them"
            )
        return self.model.prompt_tokens(messages, tools)

    def embedded(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts by the model's encoder.

        Raises:
            UsageError: it has none. CandidateError: the encoder failed.
        """
        embedder = abilities_of(self.model).embedder
        encoder = embedder and embedder()
        version = self.release.model_version
        if encoder is None:
            raise UsageError(
                f"expected a release with an encoder, found {version} of family {self.release.family!r}, which has "
                "none; release a candidate of family embedding or encoder, or ask this one by POST /predict"
            )
        try:
            embedded = encoder.embed(texts)
        except BakeoffError:
            raise
        except Exception as error:
            raise self._failure(len(texts), "texts", error) from error
        if len(embedded.vectors_nd) != len(texts) or not np.isfinite(embedded.vectors_nd).all():
            raise CandidateError(f"model {version}: expected {len(texts)} finite vectors, received others")
        return embedded
