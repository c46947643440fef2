"""Labels that came as feedback, screened before they join the data: repeats, contradictions, labels that look wrong.

Nothing is mended: what is set aside is counted, with examples. A label is judged by its contemporaries, never by the
champion: a relation that changed is no poison. And it is judged by what is usual in the project's own rows: where
these repeat themselves, contradict each other or surprise as often, feedback may do so too.

Source: cross-fitted probabilities of given labels as in C. Northcutt, L. Jiang, I. Chuang (2021), "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 70; the threshold by an empirical null as in B. Efron (2004),
"Large-Scale Simultaneous Hypothesis Testing", JASA 99, of which the project's own rows are the null.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.families import load_family
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Schema, Task
from bakeoff.metrics.registry import default

if TYPE_CHECKING:
    import polars as pl

__all__ = ["screened"]

USUAL = 0.05
"""Where so many of the project's own rows repeat or contradict each other, that is how its rows are."""
LEAST_ROWS = 200
"""Of feedback and of the project's own rows, for labels to be called wrong by what a model says."""
MOST_ROWS = 10_000
"""Rows that such a model learns from."""
FOLDS = 3
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
FALSE_SHARE = 0.2
"""At most so many of the labels that are called wrong are expected to be right."""
LEAST_WRONG = 5
FAMILY = "linear"

CrossFit = Callable[["pl.DataFrame"], "NDArray[np.float64]"]
"""Gives each row's probability of its own label, by a model that has not seen the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Screen:
    rows: "pl.DataFrame"
    losses: tuple[Loss, ...] = ()

    def without(self, bad_n: "NDArray[np.bool_]", reason: str, *, subject: str, remedy: str) -> "_Screen":
        """Without these rows, which are counted."""
        import polars as pl

        if not bad_n.any():
            return self
        bad = self.rows.filter(pl.Series(bad_n))
        shown = tuple(example(row) for row in bad.head(EXAMPLES).iter_rows())
        loss = Loss(
            kind="row",
            reason=reason,
            subject=subject,
            count=len(bad),
            of=len(self.rows),
            examples=shown,
            remedy=remedy,
        )
        return _Screen(rows=self.rows.filter(pl.Series(~bad_n)), losses=(*self.losses, loss))


def screened(
    own: "pl.DataFrame", fed: "pl.DataFrame", schema: Schema, task: Task, *, seed: int, cache: Path
) -> "tuple[pl.DataFrame, Sequence[Loss]]":
    """The feedback rows that may join the project's own rows, and what of the others was set aside, and why.

    - A *repeat* is a row that is there already, with the same label (and time, where rows have one).
    - A *contradiction* has inputs (and a time) that more rows have with another label, or as many.
    - A label *looks wrong* when a model of its contemporaries, which has not seen it, gives it a probability that rows
      of the project's own hardly ever have. Only of classes, and from 200 rows of each side on.

    Args:
        own: the project's rows, in the schema's columns.
        fed: the feedback rows, in the same columns.
        schema: of both.
        task: what is predicted.
        seed: of the folds.
        cache: a folder for fits.
    """
    screen = _Screen(rows=fed)
    if not len(fed) or not len(own) or task == "generation":
        return fed, ()
    whole = [column.name for column in schema.columns]
    given = [*schema.inputs, *([schema.time] if schema.time and schema.time not in schema.inputs else [])]
    screen = _without_repeats(screen, own, whole, schema)
    screen = _without_contradictions(screen, own, given, schema)
    if task == "classification" and min(len(screen.rows), len(own)) >= LEAST_ROWS:
        screen = _without_wrong(screen, own, schema, lambda rows: _own_probability(rows, schema, seed, cache))
    return screen.rows, screen.losses


def _without_repeats(screen: _Screen, own: "pl.DataFrame", columns: Sequence[str], schema: Schema) -> _Screen:
    from bakeoff.data.snapshot import row_hashes

    own_n, fed_n = row_hashes(own.select(columns)), row_hashes(screen.rows.select(columns))
    if 1 - len(np.unique(own_n)) / len(own_n) > USUAL:
        return screen
    _, first_at = np.unique(fed_n, return_index=True)
    again_n = np.ones(len(fed_n), dtype=np.bool_)
    again_n[first_at] = False
    remedy = "nothing to do: the same row says nothing new"
    return screen.without(
        again_n | np.isin(fed_n, own_n), "feedback that repeats a row", subject=schema.target, remedy=remedy
    )


def _without_contradictions(screen: _Screen, own: "pl.DataFrame", columns: Sequence[str], schema: Schema) -> _Screen:
    import polars as pl

    from bakeoff.data.snapshot import row_hashes

    def votes(rows: "pl.DataFrame") -> "pl.DataFrame":
        return pl.DataFrame({"row": row_hashes(rows.select(columns)), "label": rows[schema.target].cast(pl.String)})

    ours, theirs = votes(own), votes(screen.rows)
    repeated = ours.group_by("row").agg(rows=pl.len(), labels=pl.col("label").n_unique()).filter(pl.col("rows") > 1)
    if len(repeated) and float((repeated["labels"].to_numpy() > 1).mean()) > USUAL:
        return screen
    counted = pl.concat([ours, theirs]).group_by("row", "label").len().with_columns(all=pl.col("len").sum().over("row"))
    shares = theirs.join(counted, on=["row", "label"], how="left", maintain_order="left")
    minority_n = (shares["len"] * 2 <= shares["all"]).to_numpy()
    remedy = "look at these rows: most of the rows with the same inputs have another label, or as many"
    return screen.without(minority_n, "feedback that contradicts other rows", subject=schema.target, remedy=remedy)


def _without_wrong(screen: _Screen, own: "pl.DataFrame", schema: Schema, cross_fit: CrossFit) -> _Screen:
    sample = own.tail(MOST_ROWS)  # the newest, as far as rows have an order
    usual_n, given_n = cross_fit(sample), cross_fit(screen.rows)
    limit = 0.0
    for threshold in THRESHOLDS:
        wrong = int((given_n <= threshold).sum())
        # One more, so that a sample without any such row does not prove that there are none.
        expected = (int((usual_n <= threshold).sum()) + 1) / (len(usual_n) + 1) * len(given_n)
        if wrong >= LEAST_WRONG and expected <= FALSE_SHARE * wrong:
            limit = threshold
    if not limit:
        return screen
    remedy = "look at these rows: other feedback of the time says that the label is hardly possible"
    reason = "feedback with a label that looks wrong"
    return screen.without(given_n <= limit, reason, subject=schema.target, remedy=remedy)


def _own_probability(rows: "pl.DataFrame", schema: Schema, seed: int, cache: Path) -> "NDArray[np.float64]":
    """Each row's probability of its own label, by a model of the rows of other folds; 1 where nothing is known."""
    rng = np.random.default_rng(seed)
    fold_n = rng.permutation(len(rows)) % FOLDS
    probability_n = np.ones(len(rows))
    names = rows[schema.target].to_numpy()
    for fold in range(FOLDS):
        train = rng.permutation(np.flatnonzero(fold_n != fold))[:MOST_ROWS]
        at = np.flatnonzero(fold_n == fold)
        known = np.unique(names[train])
        if len(known) < 2:  # noqa: PLR2004 - nothing to choose from
            continue
        cut = len(train) * 4 // 5
        predictions: Any = _model(rows[train[:cut]], rows[train[cut:]], schema, seed, cache).predict(rows[at])
        column = {name: index for index, name in enumerate(predictions.classes)}
        where = np.asarray([column.get(name, -1) for name in names[at]])
        seen = where >= 0
        probability_n[at[seen]] = predictions.probabilities_nk[np.flatnonzero(seen), where[seen]]
    return probability_n


def _model(train: "pl.DataFrame", validation: "pl.DataFrame", schema: Schema, seed: int, cache: Path) -> Any:
    family = load_family(FAMILY)
    job = FitJob(
        task="classification",
        schema=schema,
        train=train,
        validation=validation,
        params=family.params(features=False),
        metric=default("classification"),
        seed=seed,
        threads=1,
        cache=cache,
        progress=lambda _: None,
    )
    return family.fit(job)
