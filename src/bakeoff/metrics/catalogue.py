"""Every metric that bakeoff brings, by task, the default of the task first."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Task
from bakeoff.metrics import generation, labels, moments, ngrams, quantiles, ranks, texts
from bakeoff.metrics.costs import ExpectedCost
from bakeoff.metrics.custom import costs_in_use
from bakeoff.metrics.definition import Arguments, Bound, Definition, Finish, Number
from bakeoff.metrics.measure import Sums
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.points import ThresholdCurve
from bakeoff.metrics.rankings import Gain, Ranking

__all__ = ["DEFINITIONS", "EXPECTED_COST"]

EXPECTED_COST = "expected_cost"
ANY_NUMBER = (0.0, math.inf)


def _always(gather: Callable[[Outcome], Sums], finish: Finish, parts: Finish | None = None) -> Any:
    """How a metric without arguments is worked out."""
    bound = Bound(gather=gather, finish=finish, parts=parts)
    return lambda _: bound


def _label(
    name: str, about: str, finish: Finish, *, bounds: tuple[float, float] = (0.0, 1.0), source: str = ""
) -> Definition:
    return Definition(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="labels",
        about=about,
        source=source,
        bind=_always(labels.Confusion.of, finish),
        bounds=bounds,
        share=finish is labels.accuracy,
    )


def _one_label(name: str, about: str, of: Callable[[str | None], Finish]) -> Definition:
    return Definition(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="labels",
        about=about,
        bind=lambda arguments: Bound(gather=labels.Confusion.of, finish=of(arguments.of_class)),
        one_class=True,
    )


def _curve(name: str, about: str, finish: Finish, source: str) -> Definition:
    return Definition(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="probabilities",
        about=about,
        source=source,
        bind=lambda arguments: Bound(gather=ranks.OneCurve(of_class=arguments.of_class), finish=finish),
        one_class=True,
        macro=True,
    )


def _point(wanted: Any, level: str) -> Definition:
    def bind(arguments: Arguments) -> Bound:
        assert arguments.number is not None
        point = ThresholdCurve(wanted=wanted, level=arguments.number, of_class=arguments.of_class)
        return Bound(gather=point, finish=point.finish)

    return Definition(
        name=f"{wanted}_at_{level}",
        task="classification",
        higher_is_better=True,
        needs="probabilities",
        about=f"best {wanted} of one class over all thresholds that keep this {level}",
        source="points of the precision-recall curve, not interpolated: Davis and Goadrich, ICML 2006",
        bind=bind,
        one_class=True,
        number="share",
        listed=False,
    )


def _ranking(name: str, about: str, gain: Gain, *, optional: bool, source: str = "") -> Definition:
    def bind(arguments: Arguments) -> Bound:
        most = None if arguments.number is None else int(arguments.number)
        return Bound(gather=Ranking(gain=gain, most=most), finish=moments.first_mean)

    return Definition(
        name=name,
        task="classification",
        higher_is_better=True,
        needs="probabilities",
        about=about,
        source=source,
        bind=bind,
        number="rank",
        optional=optional,
        listed=False,
    )


def _probability(
    name: str,
    about: str,
    finish: Finish,
    *,
    source: str,
    bounds: tuple[float, float] = (0.0, 1.0),
    parts: Finish | None = None,
) -> Definition:
    return Definition(
        name=name,
        task="classification",
        higher_is_better=False,
        needs="probabilities",
        about=about,
        source=source,
        bind=_always(moments.probability_moments, finish, parts),
        bounds=bounds,
    )


def _expected_cost(_: Arguments) -> Bound:
    costs = costs_in_use()
    assert costs is not None, "it is defined where there are costs"
    return Bound(gather=ExpectedCost(costs=costs), finish=moments.first_mean)


def _value(
    name: str,
    about: str,
    finish: Finish,
    *,
    higher: bool = False,
    gather: Callable[[Outcome], Sums] = moments.number_moments,
    bounds: tuple[float, float] = ANY_NUMBER,
    source: str = "",
) -> Definition:
    return Definition(
        name=name,
        task="regression",
        higher_is_better=higher,
        needs="values",
        about=about,
        source=source,
        bind=_always(gather, finish),
        bounds=bounds,
    )


def _pinball(arguments: Arguments) -> Bound:
    return Bound(gather=quantiles.Pinball(level=arguments.number), finish=moments.first_mean)


def _central(worth: Literal["score", "held"]) -> Callable[[Arguments], Bound]:
    def bind(arguments: Arguments) -> Bound:
        assert arguments.number is not None
        return Bound(gather=quantiles.CentralInterval(level=arguments.number, worth=worth), finish=moments.first_mean)

    return bind


def _of_quantiles(
    name: str,
    about: str,
    bind: Callable[[Arguments], Bound],
    *,
    source: str = "",
    number: Number | None = "share",
    share: bool = False,
) -> Definition:
    return Definition(
        name=name,
        task="regression",
        higher_is_better=share,
        needs="quantiles",
        about=about,
        source=source,
        bind=bind,
        bounds=(0.0, 1.0) if share else ANY_NUMBER,
        number=number,
        listed=False,
        share=share,
    )


def _text(
    name: str,
    about: str,
    finish: Finish | None = None,
    *,
    gather: Callable[[Outcome], Sums] = texts.text_moments,
    source: str = "",
    share: bool = False,
) -> Definition:
    return Definition(
        name=name,
        task="generation",
        higher_is_better=True,
        needs="values",
        about=about,
        source=source,
        bind=_always(gather, texts.mean_of(texts.ROW_SCORES.index(name)) if finish is None else finish),
        share=share,
    )


def _score(name: str, about: str, bounds: tuple[float, float], source: str = "") -> Definition:
    return Definition(
        name=name,
        task="generation",
        higher_is_better=True,
        needs="scores",
        about=about,
        source=source,
        bind=_always(generation.score_moments(name), generation.mean_score),
        bounds=bounds,
    )


def _means(column: int) -> Finish:
    def mean(means: moments.Means) -> NDArray[np.float64]:
        return means.mean_rm[:, column]

    return mean


def _ece(means: moments.Means) -> NDArray[np.float64]:
    return np.abs(means.mean_rm[:, 2:]).sum(axis=1)


def _ece_parts(means: moments.Means) -> NDArray[np.float64]:
    return means.mean_rm[:, 2:]


def _rmse(means: moments.Means) -> NDArray[np.float64]:
    return np.sqrt(means.mean_rm[:, 1])


_CLASSIFICATION = (
    _label("f1_macro", "plain mean over classes of their F1", labels.macro(labels.class_f1)),
    _label("f1_micro", "F1 of all answers together; with one class to a row, accuracy", labels.accuracy),
    _label("f1_weighted", "mean of F1 weighted by how often each class is true", labels.weighted(labels.class_f1)),
    _label("accuracy", "share of rows that are right", labels.accuracy),
    _label("balanced_accuracy", "plain mean of recall over the classes that are true", labels.balanced_accuracy),
    _label("precision_macro", "plain mean over classes of their precision", labels.macro(labels.class_precision)),
    _label("precision_micro", "precision of all answers together; accuracy", labels.accuracy),
    _label(
        "precision_weighted",
        "mean of precision weighted by how often each class is true",
        labels.weighted(labels.class_precision),
    ),
    _label("recall_macro", "plain mean over classes of their recall", labels.macro(labels.class_recall)),
    _label("recall_micro", "recall of all answers together; accuracy", labels.accuracy),
    _label(
        "recall_weighted",
        "mean of recall weighted by how often each class is true",
        labels.weighted(labels.class_recall),
    ),
    _label(
        "mcc",
        "Matthews correlation of truth and prediction, 0 where it is undefined",
        labels.mcc,
        bounds=(-1.0, 1.0),
        source="Gorodkin 2004, eq. 8",
    ),
    _one_label("precision", "share of right answers among those that name the class", labels.precision_of),
    _one_label("recall", "share of the class's rows that are answered so (sensitivity)", labels.recall_of),
    _one_label("f1", "harmonic mean of the class's precision and recall", labels.f1_of),
    _one_label("specificity", "share of other rows that are not taken for the class", labels.specificity_of),
    _curve(
        "roc_auc",
        "chance that a row of the class has a higher probability of it than another row; ties count half",
        lambda areas: areas.roc_r,
        "Hanley and McNeil 1982",
    ),
    _curve(
        "pr_auc",
        "average precision: precision at each step of recall of the class, not interpolated",
        lambda areas: areas.pr_r,
        "as scikit-learn's average_precision_score",
    ),
    _point("precision", "recall"),
    _point("recall", "precision"),
    _ranking("top_k", "share of rows whose true class is among the k most probable ones", "hit", optional=False),
    _ranking(
        "ndcg",
        "discounted gain 1 / log2(1 + place) of the true class among all (or the k most probable) classes",
        "ndcg",
        optional=True,
        source="Järvelin and Kekäläinen 2002; ties: McSherry and Najork 2008",
    ),
    _ranking(
        "map",
        "mean average precision of the ranked classes; with one true class, the mean reciprocal rank",
        "reciprocal",
        optional=True,
        source="Voorhees, TREC-8 1999; ties: McSherry and Najork 2008",
    ),
    _probability(
        "log_loss",
        "mean of minus the logarithm of the true class's probability",
        _means(0),
        source="Good 1952",
        bounds=(0.0, -math.log(np.finfo(np.float64).eps)),
    ),
    _probability(
        "brier",
        "mean squared error of the probabilities: of one of two classes, or summed over more (then up to 2)",
        _means(1),
        source="Brier 1950",
        bounds=(0.0, 2.0),
    ),
    _probability(
        "ece",
        "calibration error: how far confidence and accuracy lie apart, in 15 bins",
        _ece,
        source="Guo et al. 2017, eq. 3",
        parts=_ece_parts,
    ),
    Definition(
        name=EXPECTED_COST,
        task="classification",
        higher_is_better=False,
        needs="labels",
        about="mean cost of an answer by the matrix in [decide.costs], in its unit",
        source="Elkan 2001",
        bind=_expected_cost,
        bounds=(-math.inf, math.inf),
    ),
)

_REGRESSION = (
    _value("rmse", "square root of the mean squared error", _rmse),
    _value("mae", "mean absolute error", _means(0)),
    _value("median_ae", "median absolute error", ranks.median, gather=ranks.Sorted.of),
    _value(
        "mape",
        "mean of the absolute error as a share of the truth's size (1 is 100%); undefined where a true value is 0",
        _means(2),
    ),
    _value(
        "r2",
        "share of the truth's variance that is explained",
        moments.r2,
        higher=True,
        bounds=(-math.inf, 1.0),
    ),
    Definition(
        name="pinball",
        task="regression",
        higher_is_better=False,
        needs="values",
        about="quantile loss of the predicted quantile of this level (without quantiles, of the predictions)",
        source="Koenker and Bassett 1978",
        bind=_pinball,
        bounds=ANY_NUMBER,
        number="share",
        listed=False,
    ),
    _of_quantiles(
        "mean_pinball",
        "mean of the quantile losses of all predicted quantiles",
        _pinball,
        number=None,
        source="Koenker and Bassett 1978",
    ),
    _of_quantiles(
        "interval_score",
        "width of the predicted central interval of this level, and a price for truths outside it",
        _central("score"),
        source="Gneiting and Raftery 2007, eq. 43",
    ),
    _of_quantiles(
        "interval_coverage",
        "share of truths within the predicted central interval of this level; a wide one has it all",
        _central("held"),
        share=True,
    ),
)

_GENERATION = (
    _text(
        "token_f1",
        "F1 of words; of characters where a script has no spaces between words",
        source="SQuAD (Rajpurkar et al. 2016); mixed segmentation of MLQA (Lewis et al. 2020)",
    ),
    _text("exact_match", "share of answers that are the same after normalising", share=True, source="SQuAD"),
    _text("rouge1", "F1 of words of a-z and 0-9", source="Lin 2004, without stemming"),
    _text("rouge2", "F1 of pairs of such words", source="Lin 2004, without stemming"),
    _text("rouge_l", "F1 by the longest common subsequence of such words", source="Lin 2004, without stemming"),
    _text(
        "json_valid", "share of answers that are JSON, and keep to [decide] json_schema", share=True, source="RFC 8259"
    ),
    _text(
        "bleu",
        "precision of word n-grams with a penalty for brevity, of the whole corpus",
        ngrams.bleu,
        gather=ngrams.bleu_counts,
        source="Papineni et al. 2002, as sacrebleu",
    ),
    _text(
        "chrf",
        "F-score of character n-grams, for all scripts",
        ngrams.chrf,
        gather=ngrams.chrf_counts,
        source="Popović 2015, as sacrebleu",
    ),
    Definition(
        name="perplexity",
        task="generation",
        higher_is_better=False,
        needs="likelihood",
        about="how many tokens the model is as unsure between, on the true answers",
        source="Jelinek et al. 1977",
        bind=_always(generation.likelihood_moments, generation.perplexity),
        bounds=(1.0, math.inf),
    ),
    _score("embedding_similarity", "cosine of the sentence vectors of answer and truth", (-1.0, 1.0)),
    _score("tool_name", "share of rows with calls of tools that name the same tools", (0.0, 1.0)),
    _score("tool_call", "share of rows with calls of tools whose names and arguments are the same", (0.0, 1.0)),
    _score("citation_f1", "F1 of the sources that answer and truth refer to, as [1]", (0.0, 1.0)),
    _score(
        "k_precision", "share of the answer's words that stand in [decide] context", (0.0, 1.0), "Adlakha et al. 2024"
    ),
    _score("faithful", "share of answers that a language model finds borne out by [decide] context", (0.0, 1.0)),
    _score("judge", "share of comparisons that a language model decides for the answer; ties count half", (0.0, 1.0)),
)


def _index(rows: Sequence[Definition]) -> Mapping[str, Definition]:
    return MappingProxyType({each.name: each for each in rows})


DEFINITIONS: Mapping[Task, Mapping[str, Definition]] = MappingProxyType(
    {
        "classification": _index(_CLASSIFICATION),
        "regression": _index(_REGRESSION),
        "generation": _index(_GENERATION),
    }
)
