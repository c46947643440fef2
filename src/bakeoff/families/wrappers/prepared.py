"""`prepared`: another family behind steps that are fitted on training rows and belong to the model.

The model takes rows as they come, puts them through its steps, and asks the model within. So whatever loads
and asks a model (evaluation, serving, monitoring, blends) gives it the features that it was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bakeoff.config.params import check
from bakeoff.core import plugins
from bakeoff.core.abilities import Abilities, abilities_of
from bakeoff.core.attribution import Attribution
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CandidateError, CorruptError
from bakeoff.core.families import load_family, weighs
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import (
    Family,
    Filling,
    FitJob,
    FittedStep,
    Model,
    RowTransform,
    TrainingRows,
    Transform,
)
from bakeoff.core.types import Column, Predictions, Signature, Task
from bakeoff.data.cast import FEW_ROWS, conform, few_rows, stored_rows, stored_type
from bakeoff.families import saved
from bakeoff.families.features.columns import complete, complete_row, input_columns, of_kind, require
from bakeoff.families.wrappers.members import Member, SavedMember, load_members, save_members, service_of_members

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PreparedFamily", "PreparedModel", "PreparedParams", "StepSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """A fitted step: its name, its version and its parameters."""

    name: str
    version: int
    params: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedParams:
    """Parameters of `prepared`: the family behind the steps, by its entry point, and its parameters."""

    family: str = "linear"
    params: dict[str, Any] | None = None
    steps: tuple[StepSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SavedStep:
    """A fitted step on disk: what it learned is JSON."""

    name: str
    version: int
    learned: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All of a prepared model but the files of the model within."""

    signature: Signature
    steps: tuple[_SavedStep, ...]
    inner: SavedMember


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRow:
    """The steps of a model when all of them know the short way for single rows, and the columns that come out.

    `fills` are the inputs whose gaps the steps fill; `dtypes` those of a table of stored values; `texts` the inputs
    that are stored as texts.
    """

    transforms: tuple[RowTransform, ...]
    columns: tuple[Column, ...]
    fills: frozenset[str]
    dtypes: "tuple[pl.DataType, ...]"
    texts: tuple[Column, ...]


def _by_row(inputs: tuple[Column, ...], transforms: tuple[Transform, ...]) -> ByRow | None:
    short = tuple(each for each in transforms if isinstance(each, RowTransform))
    if len(short) < len(transforms):
        return None
    columns = inputs
    for each in transforms:
        columns = each.columns(columns)
    return ByRow(
        transforms=short,
        columns=columns,
        fills=_fills(transforms),
        dtypes=tuple(stored_type(column.kind) for column in inputs),
        texts=of_kind(inputs, "text", "categorical"),
    )


def _fills(transforms: Sequence[Transform]) -> frozenset[str]:
    """The columns whose gaps the steps fill."""
    return frozenset(name for each in transforms if isinstance(each, Filling) for name in each.fills)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A fitted `prepared` candidate: `transforms` make the features that the `model` within sees."""

    state: _State
    transforms: tuple[Transform, ...]
    model: Model
    by_row: ByRow | None = None

    @property
    def signature(self) -> Signature:
        """See `bakeoff.core.protocols.Model`; the inputs are those of the first step."""
        return self.state.signature

    @property
    def chosen(self) -> Mapping[str, Any]:
        """See `bakeoff.core.protocols.Model`."""
        return self.model.chosen

    def features(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """What the model within sees of a table's rows.

        Raises:
            DataError: columns are missing, or a value does not fit its column.
        """
        if self.by_row is not None and table.height <= FEW_ROWS:
            return self._of_few_rows(table, self.by_row)
        table = complete(table, self.signature, leave=_fills(self.transforms))
        return _transformed(table, self.signature.inputs, self.transforms)

    def _of_few_rows(self, table: "pl.DataFrame", by_row: ByRow) -> "pl.DataFrame":
        require(table, self.signature)
        rows: list[dict[str, Any]] = table.to_dicts()
        # Values of the stored types have been through the conversion; texts may have been or not.
        converted = tuple(table.dtypes) == by_row.dtypes
        left = by_row.texts if converted else self.signature.inputs
        rows = [row | texts for row, texts in zip(rows, stored_rows(rows, left), strict=True)]
        for row in rows:
            complete_row(row, self.signature, leave=by_row.fills)
            for each in by_row.transforms:
                each.in_row(row)
        return few_rows(rows, by_row.columns)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        return self.model.predict(self.features(table))

    def _predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> Predictions | None:
        """See `bakeoff.core.protocols.RowWise`; each row as the steps leave it."""
        by_row, predict_rows = self.by_row, abilities_of(self.model).predict_rows
        names = [column.name for column in self.signature.inputs]
        if by_row is None or predict_rows is None or any(list(row) != names for row in rows):
            return None
        features: list[dict[str, Any]] = []
        for given in rows:
            row = dict(given)
            complete_row(row, self.signature, leave=by_row.fills)
            for each in by_row.transforms:
                each.in_row(row)
            features.append({column.name: row[column.name] for column in by_row.columns})
        return predict_rows(features)

    @property
    def abilities(self) -> Abilities:
        """Those of the model within; it sees rows as the steps leave them. Texts are no rows, and stay as they are."""
        within = abilities_of(self.model)
        recall, log_likelihood, attribute = within.recall, within.log_likelihood, within.attribute
        return replace(
            within,
            predict_rows=self._predict_rows if within.predict_rows is not None and self.by_row is not None else None,
            predict_numbers=None,
            recall=recall and (lambda table, texts, most: recall(self.features(table), texts, most)),
            log_likelihood=log_likelihood and (lambda table, texts: log_likelihood(self.features(table), texts)),
            attribute=attribute and (lambda table, **more: self._of_inputs(attribute(self.features(table), **more))),
        )

    def _of_inputs(self, within: Attribution) -> Attribution:
        """What the inputs add, of which the features are made; a feature of several goes to them in equal parts."""
        inputs = self.signature.inputs
        made = {column.name: self._made_of(column) for column in inputs}
        shares_fc = np.asarray(
            [[float(feature in made[column.name]) for column in inputs] for feature in within.columns], dtype=np.float64
        )
        shares_fc /= np.maximum(shares_fc.sum(axis=1, keepdims=True), 1.0)
        names = tuple(column.name for column in inputs)
        adds_nck = np.einsum("nfk,fc->nck", within.adds_nck, shares_fc)
        unknown_f = shares_fc.sum(axis=1) == 0  # made of several at once by a step that needs all of them
        if not unknown_f.any():
            return replace(within, columns=names, adds_nck=adds_nck)
        others = tuple(name for name, unknown in zip(within.columns, unknown_f, strict=True) if unknown)
        adds_nck = np.concatenate([adds_nck, within.adds_nck[:, unknown_f]], axis=1)
        return replace(within, columns=(*names, *others), adds_nck=adds_nck)

    def _made_of(self, column: Column) -> frozenset[str]:
        """The features that come out when this input alone goes in."""
        columns = (column,)
        for transform in self.transforms:
            columns = transform.columns(columns)
        return frozenset(each.name for each in columns)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        (inner,) = save_members(folder, [self.state.inner], [self.model])
        saved.write(folder, PreparedFamily.name, replace(self.state, inner=inner))


def _transformed(table: "pl.DataFrame", inputs: tuple[Column, ...], transforms: Sequence[Transform]) -> "pl.DataFrame":
    features = conform(table, inputs)
    for transform in transforms:
        features = transform(features)
    return features


class PreparedFamily:
    """Builds `PreparedModel`s."""

    name = "prepared"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = PreparedParams
    requires = ("polars",)
    extra: str | None = None

    def service(self, params: PreparedParams) -> str | None:
        """See `bakeoff.core.families.service_of`; that of the family within."""
        return service_of_members((Member(name=params.family, family=params.family, params=dict(params.params or {})),))

    def weighs(self, params: PreparedParams) -> bool:
        """See `bakeoff.core.families.weighs`; that of the family within."""
        family = load_family(params.family)
        return weighs(family, _own(family, params))

    def fit(self, job: FitJob) -> PreparedModel:
        """See `bakeoff.core.protocols.Family`; steps are fitted on the job's training rows, never on others."""
        params: PreparedParams = job.params
        family = load_family(params.family)
        if job.task not in family.tasks:
            tasks = ", ".join(sorted(family.tasks))
            raise CandidateError(f"expected a family for {job.task}, received {params.family!r}, which is for {tasks}")
        own = _own(family, params)
        deadline, inputs = Deadline(job), input_columns(job)
        train, columns, transforms = _fitted(job, inputs, params.steps)
        others = tuple(column for column in job.schema.columns if column.name not in job.schema.inputs)
        schema = replace(job.schema, columns=(*columns, *others), inputs=tuple(column.name for column in columns))
        target = job.schema.target
        validation = _transformed(job.validation, inputs, transforms).with_columns(job.validation[target])
        train = train.with_columns(job.train[target])
        limit_s = deadline.left_s
        model = family.fit(replace(job, schema=schema, train=train, validation=validation, params=own, limit_s=limit_s))
        return _made(inputs, params, transforms, model)

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> PreparedModel:
        """See `bakeoff.core.protocols.Family`."""
        state, _ = saved.read(folder, self.name, _State)
        (model,) = load_members(folder, [state.inner], threads, cache)
        transforms = tuple(_learned(folder, step) for step in state.steps)
        by_row = _by_row(state.signature.inputs, transforms)
        return PreparedModel(state=state, transforms=transforms, model=model, by_row=by_row)


def _own(family: Family, params: PreparedParams) -> Any:
    """The parameters of the family behind the steps.

    Raises:
        ConfigError: they are none of its.
    """
    return check(family.params, params.params or {}, owner=params.family, key="params", file="the candidate")


def _fitted(
    job: FitJob, inputs: tuple[Column, ...], specs: Sequence[StepSpec]
) -> "tuple[pl.DataFrame, tuple[Column, ...], tuple[Transform, ...]]":
    """The training rows as the steps leave them, the columns that come out, and what the steps learned."""
    columns, train, target = inputs, conform(job.train, inputs), job.train[job.schema.target]
    transforms: list[Transform] = []
    for spec in specs:
        step = _step(spec.name, spec.version)
        params = check(step.params, spec.params, owner=spec.name, key=f"steps.{spec.name}", file="the candidate")
        rows = TrainingRows(table=train, columns=columns, target=target, task=job.task, seed=job.seed)
        transform, train = step.fit(rows, params)
        left = transform.columns(columns)
        for loss in _dropped(spec.name, columns, left):
            job.on_loss(loss)
        columns = left
        transforms.append(transform)
    names = ", ".join(spec.name for spec in specs)
    job.progress(f"fitted {names}: {len(inputs)} columns became {len(columns)}")
    return train, columns, tuple(transforms)


def _dropped(step: str, before: tuple[Column, ...], after: tuple[Column, ...]) -> list[Loss]:
    """The columns that a step drops without making others of them."""
    old, new = {column.name for column in before}, {column.name for column in after}
    if not new < old:
        return []
    return [
        Loss(kind="column", reason=f"step {step}", subject=column.name, count=1, of=len(before), chosen=True)
        for column in before
        if column.name not in new
    ]


def _made(
    inputs: tuple[Column, ...], params: PreparedParams, transforms: tuple[Transform, ...], model: Model
) -> PreparedModel:
    steps = tuple(
        _SavedStep(name=spec.name, version=spec.version, learned=msgspec.to_builtins(transform))
        for spec, transform in zip(params.steps, transforms, strict=True)
    )
    inner = SavedMember(name=params.family, family=params.family, files={})
    state = _State(signature=replace(model.signature, inputs=inputs), steps=steps, inner=inner)
    return PreparedModel(state=state, transforms=transforms, model=model, by_row=_by_row(inputs, transforms))


def _step(name: str, version: int) -> FittedStep:
    """The installed step.

    Raises:
        CandidateError: it is of another version, which makes other features.
    """
    step: FittedStep = plugins.load("bakeoff.prepare", name)
    if step.version != version:
        raise CandidateError(
            f"expected step {name!r} in version {version}, found {step.version} installed; fit the candidate again, or "
            f"install what it was made with"
        )
    return step


def _learned(folder: Path, found: _SavedStep) -> Transform:
    step = _step(found.name, found.version)
    try:
        return msgspec.convert(found.learned, step.transform)
    except msgspec.ValidationError as error:
        raise CorruptError(
            f"{folder}: expected what step {found.name!r} learned, found {error}; "
            f"restore the folder or fit the candidate again"
        ) from error
