"""The measures by name: which task each belongs to, which way is better, and how it is computed."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import ConfigError, NotFoundError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Task
from bakeoff.metrics import generation, labels, moments, ngrams, ranks, texts
from bakeoff.metrics.measure import Measure, Need, Statistic, Sums
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.own import own

__all__ = ["Measure", "Need", "Statistic", "Sums", "bind", "default", "find", "measures"]


def _label(name: str, finish: Callable[[labels.Margins], NDArray[np.float64]]) -> Measure:
    return Measure(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="labels",
        gather=labels.Confusion.of,
        finish=finish,
        share=finish is labels.accuracy,
    )


def _probability(
    name: str,
    gather: Callable[[Outcome], Sums],
    finish: Callable[[Any], NDArray[np.float64]],
    *,
    higher: bool,
    parts: Callable[[Any], NDArray[np.float64]] | None = None,
) -> Measure:
    return Measure(
        name=name,
        task="classification",
        higher_is_better=higher,
        needs="probabilities",
        gather=gather,
        finish=finish,
        parts=parts,
    )


def _value(
    name: str,
    finish: Callable[[Any], NDArray[np.float64]],
    *,
    higher: bool = False,
    gather: Callable[[Outcome], Sums] = moments.number_moments,
) -> Measure:
    return Measure(name=name, task="regression", higher_is_better=higher, needs="values", gather=gather, finish=finish)


def _text(
    name: str,
    finish: Callable[[moments.Means], NDArray[np.float64]],
    *,
    gather: Callable[[Outcome], Sums] = texts.text_moments,
    share: bool = False,
) -> Measure:
    return Measure(
        name=name, task="generation", higher_is_better=True, needs="values", gather=gather, finish=finish, share=share
    )


def _score(name: str) -> Measure:
    return Measure(
        name=name,
        task="generation",
        higher_is_better=True,
        needs="scores",
        gather=generation.score_moments(name),
        finish=generation.mean_score,
    )


def _index(rows: Sequence[Measure]) -> Mapping[str, Measure]:
    return MappingProxyType({measure.name: measure for measure in rows})


_BY_TASK: Mapping[Task, Mapping[str, Measure]] = MappingProxyType(
    {
        "classification": _index(
            [
                _label("f1_macro", labels.macro(labels.class_f1)),
                _label("f1_micro", labels.accuracy),
                _label("f1_weighted", labels.weighted(labels.class_f1)),
                _label("accuracy", labels.accuracy),
                _label("balanced_accuracy", labels.balanced_accuracy),
                _label("precision_macro", labels.macro(labels.class_precision)),
                _label("precision_micro", labels.accuracy),
                _label("precision_weighted", labels.weighted(labels.class_precision)),
                _label("recall_macro", labels.macro(labels.class_recall)),
                _label("recall_micro", labels.accuracy),
                _label("recall_weighted", labels.weighted(labels.class_recall)),
                _label("mcc", labels.mcc),
                _probability("roc_auc", ranks.Curves.of, lambda areas: areas.roc_r, higher=True),
                _probability("pr_auc", ranks.Curves.of, lambda areas: areas.pr_r, higher=True),
                _probability("log_loss", moments.probability_moments, lambda means: means.mean_rm[:, 0], higher=False),
                _probability("brier", moments.probability_moments, lambda means: means.mean_rm[:, 1], higher=False),
                _probability(
                    "ece",
                    moments.probability_moments,
                    lambda means: np.abs(means.mean_rm[:, 2:]).sum(axis=1),
                    higher=False,
                    parts=lambda means: means.mean_rm[:, 2:],
                ),
            ]
        ),
        "regression": _index(
            [
                _value("rmse", lambda means: np.sqrt(means.mean_rm[:, 1])),
                _value("mae", lambda means: means.mean_rm[:, 0]),
                _value("median_ae", ranks.median, gather=ranks.Sorted.of),
                _value("mape", lambda means: means.mean_rm[:, 2]),
                _value("r2", moments.r2, higher=True),
            ]
        ),
        "generation": _index(
            [
                _text("token_f1", texts.mean_of(texts.ROW_SCORES.index("token_f1"))),
                _text("exact_match", texts.mean_of(texts.ROW_SCORES.index("exact_match")), share=True),
                _text("rouge1", texts.mean_of(texts.ROW_SCORES.index("rouge1"))),
                _text("rouge2", texts.mean_of(texts.ROW_SCORES.index("rouge2"))),
                _text("rouge_l", texts.mean_of(texts.ROW_SCORES.index("rouge_l"))),
                _text("json_valid", texts.mean_of(texts.ROW_SCORES.index("json_valid")), share=True),
                _text("bleu", ngrams.bleu, gather=ngrams.bleu_counts),
                _text("chrf", ngrams.chrf, gather=ngrams.chrf_counts),
                Measure(
                    name="perplexity",
                    task="generation",
                    higher_is_better=False,
                    needs="likelihood",
                    gather=generation.likelihood_moments,
                    finish=generation.perplexity,
                ),
                _score("embedding_similarity"),
                _score("judge"),
            ]
        ),
    }
)


def measures(task: Task) -> Mapping[str, Measure]:
    """Measures of a task by name, the default first: built-in ones, third parties' and those of the file in use.

    Raises:
        ConfigError: a metric of one's own has the name of a built-in one.
    """
    built_in, more = _BY_TASK[task], own(task)
    for name in built_in.keys() & more.keys():
        expected = f"a name that no built-in metric has ({', '.join(built_in)})"
        raise ConfigError((Problem(file="bakeoff.metrics", key=name, expected=expected, found=repr(name)),))
    return {**built_in, **more} if more else built_in


def default(task: Task) -> str:
    """The measure that decides when the project names none: f1_macro, or rmse for regression.

    >>> default("regression")
    'rmse'
    """
    return next(iter(measures(task)))


def find(name: str, task: Task) -> Measure:
    """The measure of that name.

    Raises:
        NotFoundError: the task has none of that name; the closest one is suggested.
    """
    known = measures(task)
    if name not in known:
        raise NotFoundError(
            f"expected a metric for {task}: {', '.join(known)}; received {name!r}. {suggestion(name, known)}".rstrip()
        )
    return known[name]


def bind(wanted: Sequence[Measure], outcome: Outcome) -> dict[str, Statistic]:
    """Statistics of an outcome by name; measures with the same `gather` share one sums object."""
    shared: dict[Callable[[Outcome], Sums], Sums] = {}
    for measure in wanted:
        if measure.gather not in shared:
            shared[measure.gather] = measure.gather(outcome)
    return {m.name: Statistic(sums=shared[m.gather], finish=m.finish) for m in wanted}
