"""Shares of good answers as a judge sees them, corrected by answers that people judged, too.

A judge errs; many of its votes are still worth something once a few human labels say how it errs. A vote that could
not be read is no opinion: leave such answers out, and tell how many they are.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import DataError, UsageError
from bakeoff.metrics.dependence import group_codes
from bakeoff.metrics.intervals import LEVEL, Interval, percentile, student
from bakeoff.metrics.scales import Scale
from bakeoff.metrics.spread import spread

__all__ = ["FEWEST_LABELS", "LabelBudget", "label_budget", "prediction_powered", "rogan_gladen"]

Floats: TypeAlias = NDArray[np.float64]

FEWEST_LABELS = 20
"""With fewer answers that people scored, no interval is given."""
MANY_LABELS = 50
"""With fewer, the posterior's interval is never shorter than Student's, either."""
FEWEST, FEWEST_GROUPS = 2, 4
FEW_SCORES = 3
"""Scores of so few different values (bad, tie, good) are counted; others are averaged."""
PRIOR = 1 / 3
"""Answers of each score that are believed beside those seen: with a quarter (Perks) intervals of 20 even labels are too
short, with a half (Jeffreys) those of 20 labels that are nearly all good."""
DRAWS = 4000


def prediction_powered(
    human_m: ArrayLike,
    judged_m: ArrayLike,
    judged_n: ArrayLike,
    *,
    groups_m: ArrayLike | None = None,
    groups_n: ArrayLike | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The mean score, between 0 and 1, that people would give: m answers were scored by both, n more by the judge.

    The judge's votes enter as far as they help (the weight that gives the least variance), so the interval is about as
    short as that of the m human scores alone, or shorter. Where scores are few (bad, tie, good) its ends are those of
    the posterior of what people say given what the judge says; else Student's t on the logit scale. With groups of
    answers (users, documents), or under 50 human scores, it is never shorter than t. Under 20 scores there is none.
    Source: Angelopoulos et al., "Prediction-powered inference", Science 382 (2023), algorithm 1; the weight:
    Angelopoulos, Duchi and Zrnic, "PPI++", arXiv 2311.01453 (2023), section 6; of counts it is post-stratification by
    the vote, Holt and Smith, JRSS A 142 (1979).

    Raises:
        DataError: fewer than two answers of a kind, or unpaired scores.

    >>> people = [1, 0, 1, 1, 0, 1, 0, 1, 1, 1] * 4
    >>> found = prediction_powered(people, people, [1] * 7000 + [0] * 3000)  # the judge agrees with people
    >>> round(found.value, 3), found.method
    (0.7, 'posterior')
    """
    human, both, more = (np.asarray(scores, dtype=np.float64) for scores in (human_m, judged_m, judged_n))
    m, n = len(human), len(more)
    if m < FEWEST or n < FEWEST or len(both) != m:
        raise DataError(
            "expected at least two answers scored by people and judge, in pairs, and two by the judge alone; "
            f"received {m} and {len(both)}, and {n}"
        )
    weight = _weight(human, both, more)
    value = float(weight * more.mean() + (human - weight * both).mean())
    if m < FEWEST_LABELS:
        return Interval(
            value=_share(value), reason=f"{m} answers scored by people; at least {FEWEST_LABELS} are needed"
        )
    counted = None
    if max(len(np.unique(each)) for each in (human, np.concatenate([both, more]))) <= FEW_SCORES:
        low, high = percentile(_counted(human, both, more, seed), level)
        counted = Interval(
            value=_share(value), low=min(low, _share(value)), high=max(high, _share(value)), method="posterior"
        )
    if groups_m is None and groups_n is None and counted is not None and m >= MANY_LABELS:
        return counted
    units = _units(human - weight * both, weight * more, groups_m, groups_n)
    if len(units) < FEWEST_GROUPS:
        return Interval(value=_share(value), reason=f"{len(units)} groups; at least {FEWEST_GROUPS} are needed")
    known, scale = spread(units + value), Scale(0.0, 1.0)
    if known.se == 0 or not scale.inside(value):
        return counted or Interval(value=_share(value), reason="all answers are alike: nothing shows how others differ")
    ends = student(value, known, scale, level)
    grouped = groups_m is not None or groups_n is not None
    found = Interval(value=value, low=ends[0], high=ends[1], method="cluster t" if grouped else "t")
    if counted is None:
        return found
    return found.hull(counted) if grouped else counted.hull(found)


def _weight(human: Floats, both: Floats, more: Floats) -> float:
    """How much of the judge's votes to believe."""
    spread_of = float(np.concatenate([both, more]).var(ddof=1))
    together = float(np.cov(human, both, ddof=1)[0, 1])
    return min(1.0, max(0.0, together / ((1 + len(human) / len(more)) * spread_of))) if spread_of > 0 else 0.0


def _counted(human: Floats, both: Floats, more: Floats, seed: int) -> Floats:
    """Draws (r,) of people's mean score: how often the judge votes how, and what people say then."""
    rng = np.random.default_rng(seed)
    scores = np.unique(human)
    scores = scores if len(scores) > 1 else np.unique([*scores, 0.0, 1.0])
    votes = np.unique(np.concatenate([both, more]))
    of_vote = np.asarray([np.count_nonzero(np.concatenate([both, more]) == vote) for vote in votes])
    share_rv = rng.dirichlet(of_vote + 0.5, size=DRAWS)
    mean_r = np.zeros(DRAWS)
    for at, vote in enumerate(votes):
        counts = np.asarray([np.count_nonzero((both == vote) & (human == score)) for score in scores])
        mean_r += share_rv[:, at] * (rng.dirichlet(counts + PRIOR, size=DRAWS) @ scores)
    return mean_r


def _units(rest_m: Floats, votes_n: Floats, groups_m: ArrayLike | None, groups_n: ArrayLike | None) -> Floats:
    """What each independent unit says of the estimate beside its value: answers, or the groups that they are of."""
    m, n = len(rest_m), len(votes_n)
    parts = np.concatenate([(rest_m - rest_m.mean()) / m, (votes_n - votes_n.mean()) / n])
    if groups_m is None and groups_n is None:
        return parts * len(parts)
    of_m = np.full(m, None, dtype=object) if groups_m is None else np.asarray(groups_m, dtype=object)
    of_n = np.full(n, None, dtype=object) if groups_n is None else np.asarray(groups_n, dtype=object)
    totals = np.bincount(group_codes(np.concatenate([of_m, of_n])), weights=parts)
    return np.asarray(totals, dtype=np.float64) * len(totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBudget:
    """The cheapest plan: `labels` answers for people and judge, `votes` more for the judge alone, and what it costs.

    `labels_alone` is how many labels it would take without a judge, and `cost_alone` what they cost.
    """

    labels: int
    votes: int
    cost: float
    labels_alone: int
    cost_alone: float


def label_budget(
    human_m: ArrayLike,
    judged_m: ArrayLike,
    *,
    within: float,
    label_cost: float = 1.0,
    vote_cost: float = 0.0,
    most_votes: int = 100_000,
    level: float = LEVEL,
) -> LabelBudget:
    """How many answers people should score, and how many the judge, to know the mean score `within` this much.

    Args:
        human_m: scores of a pilot by people; at least 20.
        judged_m: those of the judge, of the same answers.
        within: half of the interval's width.
        label_cost: what one human score costs.
        vote_cost: what one vote of the judge costs, in the same unit.
        most_votes: so many answers there are for the judge alone.
        level: the confidence of the interval.

    Raises:
        DataError: fewer scores, or unpaired ones. UsageError: a width that is none.

    >>> people, judge = [1, 1, 1, 0] * 10, [1, 1, 1, 0] * 9 + [1, 1, 0, 1]
    >>> plan = label_budget(people, judge, within=0.05, label_cost=1.0, vote_cost=0.01)
    >>> plan.labels < plan.labels_alone, plan.cost < plan.cost_alone
    (True, True)
    """
    human, both = np.asarray(human_m, dtype=np.float64), np.asarray(judged_m, dtype=np.float64)
    if len(human) < FEWEST_LABELS or len(human) != len(both):
        raise DataError(
            f"expected at least {FEWEST_LABELS} answers scored by people and judge, in pairs; "
            f"received {len(human)} and {len(both)}"
        )
    if not 0 < within < 1:
        raise UsageError(f"expected a width between 0 and 1; received {within!r}")
    m = len(human)
    # As if one answer more were bad and one more good: a pilot in which all agree does not prove that all will.
    variance = float(np.append(human, [0.0, 1.0]).var(ddof=1))
    varied = both.std() > 0 and human.std() > 0
    linked = max(0.0, float(np.corrcoef(human, both)[0, 1])) * math.sqrt(1 - 1 / m) if varied else 0.0
    wanted = (within / NormalDist().inv_cdf(0.5 + level / 2)) ** 2
    alone = max(FEWEST_LABELS, math.ceil(variance / wanted))
    labels = np.arange(FEWEST_LABELS, alone + 1, dtype=np.float64)
    # variance / labels * (1 - linked² votes / (labels + votes)) = wanted, for the votes
    share = np.clip((1 - labels * wanted / variance) / max(linked**2, 1e-12), 0.0, None)
    votes = np.where(share < 1, labels * share / np.maximum(1 - share, 1e-12), np.inf)
    votes = np.where(votes <= most_votes, np.ceil(votes), np.inf)
    costs = labels * label_cost + np.where(votes > 0, labels + votes, 0.0) * vote_cost
    best = int(np.argmin(costs))
    return LabelBudget(
        labels=int(labels[best]),
        votes=int(votes[best]),
        cost=float(costs[best]),
        labels_alone=alone,
        cost_alone=alone * label_cost,
    )


def rogan_gladen(
    accepted: int, judged: int, *, true_positives: int, positives: int, true_negatives: int, negatives: int
) -> Interval:
    """The share of truly good answers when a judge accepted some of the `judged` ones.

    Of answers that people labelled, the judge accepted `true_positives` of the `positives` (its sensitivity)
    and refused `true_negatives` of the `negatives` (its specificity).
    Source: Rogan and Gladen, American Journal of Epidemiology 107 (1978); the interval: Lang and Reiczigel,
    Preventive Veterinary Medicine 113 (2014), section 2.3.

    Raises:
        DataError: nothing was counted, or the judge is no better than chance, so that its votes tell nothing.

    >>> found = rogan_gladen(600, 1000, true_positives=90, positives=100, true_negatives=80, negatives=100)
    >>> round(found.value, 3)
    0.571
    """
    if min(judged, positives, negatives) < 1:
        raise DataError(
            f"expected at least one answer of a kind; received {judged} judged, {positives} good, {negatives} bad"
        )
    sensitivity, specificity = true_positives / positives, true_negatives / negatives
    if sensitivity + specificity <= 1:
        raise DataError(
            "expected a judge better than chance (sensitivity + specificity > 1); "
            f"received {sensitivity:.3f} + {specificity:.3f}"
        )
    value = (accepted / judged + specificity - 1) / (sensitivity + specificity - 1)
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    # Shares with added counts: half of z² for the votes, one success and one failure for the judge's errors.
    share = (accepted + z * z / 2) / (judged + z * z)
    hit, refused = (true_positives + 1) / (positives + 2), (true_negatives + 1) / (negatives + 2)
    youden = hit + refused - 1
    if youden <= 0:
        return Interval(value=_share(value), low=0.0, high=1.0)
    centre = (share + refused - 1) / youden
    of_hit, of_refused = hit * (1 - hit) / (positives + 2), refused * (1 - refused) / (negatives + 2)
    of_share = share * (1 - share) / (judged + z * z)
    half = z / youden * math.sqrt(of_share + centre**2 * of_hit + (1 - centre) ** 2 * of_refused)
    shift = 2 * z * z * (centre * of_hit - (1 - centre) * of_refused)
    return Interval(value=_share(value), low=_share(centre + shift - half), high=_share(centre + shift + half))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
