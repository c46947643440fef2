"""`stacked`: a second layer of stacking, which learns from what models of a first layer say of rows new to them.

What the second model learns from is what the first ones say of rows of other folds: answers to rows that they were
fitted on would be too good, and it would trust them. All of it happens within the rows of one fit, so that rows that a
run tests on are seen by neither layer.

Source: D. Wolpert (1992), "Stacked Generalization"; N. Erickson et al. (2020), "AutoGluon-Tabular", section 3.3 (the
columns beside the answers). Models of the first layer are fitted again on all rows, in place of one for each fold.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.core.deadline import Deadline, ignore_cut
from bakeoff.core.errors import CandidateError
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob, Model, ignore_held, ignore_loss
from bakeoff.core.types import Column, Predictions, Schema, Task
from bakeoff.families.features.columns import require
from bakeoff.families.wrappers.members import (
    JointFamily,
    JointModel,
    JointState,
    Member,
    chosen_of,
    fit_members,
    once_each,
    service_of_members,
)
from bakeoff.metrics.combined import spread

if TYPE_CHECKING:
    import polars as pl

__all__ = ["StackedFamily", "StackedModel", "StackedParams"]

_Floats: TypeAlias = NDArray[np.float64]

FIRST_SHARE = 0.3
"""Of the time of a fit, what the choosing of the first layer may take; then come the folds, then the second layer."""
FEWEST_FOLDS = 2
LEAST = 1e-4
"""A probability below which its logarithm does not follow it."""
PREFIX = "bakeoff:"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedParams:
    """Parameters of `stacked`.

    `members`: the first layer, tables with `name`, `family` and `params`. `second`: the second layer, such a table.
    `folds`: in so many parts the rows are dealt, each answered by first models that were fitted without it. `inputs`:
    whether the second model reads the columns, too, or the answers alone (of few rows that is better, see
    docs/benchmarks.md).
    """

    members: tuple[Member, ...] = (
        Member(name="linear", family="linear"),
        Member(name="forest", family="forest"),
        Member(name="boosting", family="boosting"),
    )
    second: Member = field(default_factory=lambda: Member(name="second", family="linear", params={"features": False}))
    folds: Annotated[int, Field(ge=FEWEST_FOLDS, le=20)] = 5
    inputs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _State(JointState):
    """All of a stacked model but its members' files; the last member is the second layer."""

    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedModel(JointModel):
    """A fitted `stacked` candidate."""

    family = "stacked"
    state: _State

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        require(table, self.signature)
        *first, second = self.models
        names = [member.name for member in self.state.members]
        answers: dict[str, _Floats] = {}
        for name, model in zip(names, first, strict=False):
            answers |= _columns(name, model.predict(table), self.state.classes)
        return second.predict(_widened(table, answers))


class StackedFamily(JointFamily[StackedModel]):
    """Builds `StackedModel`s."""

    name = "stacked"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = StackedParams
    model = StackedModel
    state = _State

    def service(self, params: StackedParams) -> str | None:
        """See `bakeoff.core.families.service_of`; that of a member or of the second layer."""
        return service_of_members((*params.members, params.second))

    def fit(self, job: FitJob) -> StackedModel:
        """See `bakeoff.core.protocols.Family`."""
        return _Fit(job).model()


class _Fit:
    """One fit: the first layer, its answers to rows of other folds, the second layer."""

    def __init__(self, job: FitJob) -> None:
        import polars as pl

        self.job, self.params = job, job.params
        names = [member.name for member in (*self.params.members, self.params.second)]
        if len(set(names)) < len(names):
            raise CandidateError(f"expected members and a second layer with names of their own, received {names!r}")
        self.rows: pl.DataFrame = pl.concat([job.train, job.validation])
        target = self.rows[job.schema.target]
        self.classes: tuple[str, ...] = () if job.task == "regression" else tuple(sorted(target.unique().to_list()))
        self._deadline, self._losses = Deadline(job), list[Loss]()

    def model(self) -> StackedModel:
        job, params = self.job, self.params
        started = time.monotonic()
        limit_s = None if job.limit_s is None else FIRST_SHARE * job.limit_s
        first_job = replace(job, limit_s=limit_s, on_loss=self._losses.append, on_held=ignore_held)
        first = fit_members(first_job, params.members, fewest=1)
        folds = self._folds(time.monotonic() - started)
        answers = self._answers(first, folds)
        (second,) = self._second(answers)
        for loss in once_each(self._losses):
            job.on_loss(loss)
        models, members = (*first, second), (*params.members, params.second)
        fields = JointState.fields(members, models)
        joint = fields["signature"]
        own = tuple(column for column in joint.inputs if column.name not in answers)
        fields["signature"] = replace(joint, inputs=own, classes=second.signature.classes)
        fields["chosen"] |= {"folds": folds}
        return StackedModel(state=_State(classes=self.classes, **fields), models=models)

    def _folds(self, first_s: float) -> int:
        """How many folds there is time for; each takes at most as long as the first layer did."""
        given = (self.job.chosen or {}).get("folds")
        if given is not None:
            return int(str(given))
        left_s, wanted = self._deadline.left_s, self.params.folds
        if left_s is None or left_s / 2 >= wanted * first_s:
            return wanted
        folds = min(wanted, max(FEWEST_FOLDS, int(left_s / 2 / max(first_s, 1e-3))))
        if folds < wanted:
            self._deadline.cut(f"the first layer answered by {folds} of {wanted} folds")
        return folds

    def _answers(self, first: Sequence[Model], folds: int) -> dict[str, _Floats]:
        """What models of the first layer say of rows that they were fitted without, as columns."""
        job, params, target = self.job, self.params, self.job.schema.target
        chosen = {"members": chosen_of(params.members, first)["members"]}
        fold_n = _dealt(self.rows, target, folds, job)
        columns: dict[str, _Floats] = {}
        for fold in range(folds):
            job.progress(f"first layer without part {fold + 1} of {folds}")
            rest, out = np.flatnonzero(fold_n != fold), np.flatnonzero(fold_n == fold)
            if not len(out):
                continue
            inner = replace(
                job,
                train=self.rows[rest],
                validation=self.rows[:0],
                chosen=chosen,
                limit_s=None,
                on_loss=ignore_loss,
                on_cut=ignore_cut,
                on_held=ignore_held,
                progress=lambda _: None,
                age_days_n=None if job.age_days_n is None else job.age_days_n[rest],
                is_feedback_n=None if job.is_feedback_n is None else job.is_feedback_n[rest],
            )
            left_out = self.rows[out].drop(target)
            for member, model in zip(params.members, fit_members(inner, params.members, fewest=1), strict=True):
                for name, value_n in _columns(member.name, model.predict(left_out), self.classes).items():
                    columns.setdefault(name, np.zeros(len(self.rows)))[out] = value_n
        return columns

    def _second(self, answers: Mapping[str, _Floats]) -> list[Model]:
        """The second layer, fitted on the same rows with the answers beside their columns, or in place of them."""
        job, schema = self.job, self.job.schema
        columns = schema.inputs if self.params.inputs else ()
        more = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in answers)
        wider: Schema = replace(schema, columns=(*schema.columns, *more), inputs=(*columns, *answers))
        rows = _widened(self.rows, answers).select(*wider.inputs, schema.target)
        second_job = replace(
            job,
            schema=wider,
            train=rows[: len(job.train)],
            validation=rows[len(job.train) :],
            on_loss=self._losses.append,
            on_held=ignore_held,
            limit_s=self._deadline.left_s,
        )
        return fit_members(second_job, (self.params.second,), fewest=1)


def _columns(name: str, predictions: Predictions, classes: Sequence[str]) -> dict[str, _Floats]:
    """Answers as columns: a number; log odds of the second of two classes; of more classes each beside their mean."""
    if not classes:
        return {PREFIX + name: np.asarray(predictions.values_n, dtype=np.float64)}
    log_nk = np.log(np.clip(spread(predictions, classes), LEAST, 1.0))
    if len(classes) == 2:  # noqa: PLR2004
        return {PREFIX + name: log_nk[:, 1] - log_nk[:, 0]}
    log_nk = log_nk - log_nk.mean(axis=1, keepdims=True)
    return {f"{PREFIX}{name}:{each}": log_nk[:, at] for at, each in enumerate(classes)}


def _widened(table: "pl.DataFrame", answers: Mapping[str, _Floats]) -> "pl.DataFrame":
    import polars as pl

    return table.with_columns([pl.Series(name, value_n, dtype=pl.Float64) for name, value_n in answers.items()])


def _dealt(rows: "pl.DataFrame", target: str, folds: int, job: FitJob) -> NDArray[np.int64]:
    """A fold for each row: equal rows have the same, each class is in all; rows in time are dealt in stretches."""
    if job.age_days_n is not None:
        place_n = np.argsort(np.argsort(-np.asarray(job.age_days_n), kind="stable"), kind="stable")
        return place_n * folds // len(rows)
    hash_n = rows.drop(target).hash_rows(0).to_numpy()
    _, first_u, unit_n = np.unique(hash_n, return_index=True, return_inverse=True)
    order_u = np.random.default_rng(job.seed).permutation(len(rows))[first_u]  # by rows, not by what hashes are
    if job.task == "classification":
        class_n = np.unique(rows[target].to_numpy().astype(np.str_), return_inverse=True)[1]
        order_u = np.lexsort((order_u, class_n[first_u])).argsort()
    else:
        order_u = order_u.argsort().argsort()
    return (order_u % folds)[unit_n]
