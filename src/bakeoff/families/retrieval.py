# pyright: basic
# scipy.sparse comes without complete types
"""`retrieval`: the answer to the known question that is nearest, by the words and characters of both.

The classical way to answer questions, and what a language model must beat: nothing is generated, so nothing is
made up. Of several near questions, the answer is taken that is most like the answers to all of them.

Source: minimum Bayes risk over the neighbours' answers as in Kumar and Byrne, "Minimum Bayes-Risk Decoding for
Statistical Machine Translation", NAACL 2004, with token F1 as the gain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.chat.prompts import check_template, messages_of_row
from bakeoff.chat.whole import whole_answer
from bakeoff.core import narrow
from bakeoff.core.conversation import conversation_columns
from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Messages, Piece, Sampling
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.columns import complete, input_columns
from bakeoff.families.features.text import ANALYZERS, TermCounts, Vectorizer
from bakeoff.families.saved import Array
from bakeoff.metrics.texts import token_f1

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RetrievalFamily", "RetrievalModel", "RetrievalParams"]

Sparse: TypeAlias = Any

GRID = (1, 3, 5, 10)
CHUNK = 256
SHOWN_ROWS = 500
"""Validation rows (the first ones) by which the number of neighbours is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalParams:
    """Parameters of `retrieval`.

    `neighbours`: how many near questions have a say; chosen on validation rows when left out. `template`: how a row
    becomes a question, with `{column}` for its values; all inputs when left out. `min_rows`, `max_terms`: which
    terms are kept.
    """

    neighbours: Annotated[int, Field(ge=1, le=100)] | None = None
    template: str | None = None
    min_rows: Annotated[int, Field(ge=1)] = 1
    max_terms: Annotated[int, Field(ge=1)] = 500_000


@dataclass(frozen=True, kw_only=True)
class RetrievalModel:
    """A fitted `retrieval` candidate: the known questions as weighted terms (rows of a sparse matrix), and answers."""

    signature: Signature
    chosen: Mapping[str, Any]
    template: str | None
    vectorizers: tuple[Vectorizer, ...]
    data: Array
    indices: Array
    starts: Array
    answers: tuple[str, ...]

    @cached_property
    def _known(self) -> Sparse:
        """Known questions as columns (terms, questions)."""
        import scipy.sparse as sp

        width = sum(len(each.terms) for each in self.vectorizers)
        known = sp.csr_array((self.data, self.indices, self.starts), shape=(len(self.answers), width))
        return known.T.tocsr()

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = complete(table, self.signature)
        said = self.answers_to(_questions(table, self.signature, self.template), int(self.chosen["neighbours"]))
        return Predictions(values_n=np.asarray(said, dtype=object))

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """See `bakeoff.core.generation.ChatModel`; tokens are words (`bakeoff.chat.whole.token_ends`)."""
        sampling.require(frozenset(), "the family retrieval, which gives known answers,")
        (answer,) = self.answers_to([_question(messages)], int(self.chosen["neighbours"]))
        yield from whole_answer(messages, answer, sampling)

    def answers_to(self, questions: Sequence[str], neighbours: int) -> list[str]:
        """The answer to each question, with so many neighbours."""
        found: list[str] = []
        for start in range(0, len(questions), CHUNK):
            part = _weights(self.vectorizers, questions[start : start + CHUNK])
            nearness_nq = (part @ self._known).toarray()
            found += [self._agreed(row_q, neighbours) for row_q in nearness_nq]
        return found

    def _agreed(self, nearness_q: NDArray[np.float64], neighbours: int) -> str:
        """Of the nearest questions' answers, the one that is most like all of them, each weighed by its nearness."""
        # Rounded, so that sums in another order do not change who is near; the first of equals is taken.
        rounded_q = np.round(nearness_q, 9)
        near = np.argsort(-rounded_q, kind="stable")[:neighbours]
        answers = [self.answers[at] for at in near]
        weights = rounded_q[near]
        distinct = list(dict.fromkeys(answers))
        if len(distinct) == 1 or not weights.any():
            return answers[0]
        gains = [
            sum(weight * token_f1(other, each) for weight, other in zip(weights, answers, strict=True))
            for each in distinct
        ]
        return distinct[int(np.argmax(np.round(gains, 9)))]

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, RetrievalFamily.name, self)


class RetrievalFamily:
    """Builds `RetrievalModel`s."""

    name = "retrieval"
    tasks: frozenset[Task] = frozenset({"generation"})
    params = RetrievalParams
    requires = ("numpy", "scipy", "polars")
    extra: str | None = None
    reads_texts = True

    def fit(self, job: FitJob) -> RetrievalModel:
        """See `bakeoff.core.protocols.Family`."""
        import polars as pl

        if not len(job.train):
            raise CandidateError("expected training rows, received none; look at [split] and [prepare]")
        params: RetrievalParams = job.params
        if params.template is not None:
            check_template("retrieval", params.template, job.schema.inputs)
        given = (job.chosen or {}).get("neighbours", params.neighbours)
        if given is None:
            if not len(job.validation):
                raise CandidateError("expected validation rows to choose neighbours on, received none; see [split]")
            given = self._best(job, self._model(job, job.train, 1))
        table = pl.concat([job.train, job.validation]) if len(job.validation) else job.train
        return self._model(job, table, narrow.whole(given))

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> RetrievalModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        return saved.read(folder, self.name, RetrievalModel)[0]

    def _best(self, job: FitJob, model: RetrievalModel) -> int:
        """The number of neighbours with the highest token F1 on validation rows; the smaller one of equals."""
        held = job.validation[:SHOWN_ROWS]
        questions = _questions(held, model.signature, job.params.template)
        truth = held[job.schema.target].to_list()
        scores: list[float] = []
        for neighbours in GRID:
            said = model.answers_to(questions, neighbours)
            scores.append(float(np.mean([token_f1(str(t), s) for t, s in zip(truth, said, strict=True)])))
            job.progress(f"{neighbours} neighbours: token F1 {scores[-1]:.4f} on validation rows")
        return GRID[int(np.argmax(np.round(scores, 9)))]

    def _model(self, job: FitJob, table: "pl.DataFrame", neighbours: int) -> RetrievalModel:
        import scipy.sparse as sp

        params: RetrievalParams = job.params
        signature = Signature(task=job.task, inputs=input_columns(job))
        questions = _questions(table, signature, params.template)
        job.progress(f"reading {len(questions):,} questions")
        vectorizers: list[Vectorizer] = []
        weights: list[Sparse] = []
        for analyzer in ANALYZERS:
            counts = TermCounts.of(questions, analyzer)
            made, weight = counts.vectorizer(np.arange(len(questions)), min_rows=params.min_rows, most=params.max_terms)
            vectorizers.append(made)
            weights.append(weight)
        known: Sparse = sp.hstack(weights, format="csr")
        known.sort_indices()
        return RetrievalModel(
            signature=signature,
            chosen={"neighbours": neighbours},
            template=params.template,
            vectorizers=tuple(vectorizers),
            data=known.data,
            indices=known.indices.astype(np.int64),
            starts=known.indptr.astype(np.int64),
            answers=tuple(str(answer) for answer in table[job.schema.target].to_list()),
        )


def _questions(table: "pl.DataFrame", signature: Signature, template: str | None) -> list[str]:
    """What is asked in each row: all turns of its conversation."""
    names, conversations = [column.name for column in signature.inputs], conversation_columns(signature.inputs)
    rows = (
        messages_of_row(row, names, template=template, conversations=conversations)
        for row in table.select(names).iter_rows(named=True)
    )
    return [_question(turns) for turns in rows]


def _question(turns: Messages) -> str:
    return "\n".join(str(turn.get("content") or "") for turn in turns)


def _weights(vectorizers: Sequence[Vectorizer], questions: Sequence[str]) -> Sparse:
    import scipy.sparse as sp

    return sp.hstack([each(questions) for each in vectorizers], format="csr")
