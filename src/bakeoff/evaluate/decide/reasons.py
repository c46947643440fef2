"""The reason of a verdict in plain sentences with numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bakeoff.evaluate.decide.paired import Comparison
from bakeoff.metrics.rare import why_undefined
from bakeoff.results.baseline import Baseline
from bakeoff.results.scorecard import Scorecard
from bakeoff.results.verdict import Yardstick

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import GateOutcome, Verdict

__all__ = ["UNSETTLED", "beside_baseline", "told", "unscored"]

UNSETTLED = 0.05
"""A choice is not settled when it is wrong by more than the margin with a higher probability."""


def unscored(metric: str, names: Sequence[str]) -> str:
    """Why nobody can win."""
    if not names:
        return "Nobody wins: no candidate could be evaluated."
    return f"Nobody wins: {metric} is undefined on these test rows for {_and(names)} ({why_undefined(metric)})."


def told(verdict: "Verdict", scored: Mapping[str, Scorecard], unknown: str | None = None) -> str:
    """Why the winner wins, who was kept out by gates, and what the test rows can show.

    `unknown`: why these rows cannot tell candidates apart, if so.
    """
    assert verdict.best is not None
    sentences = [_nobody(verdict) if verdict.winner is None else _winner(verdict, scored), _kept_out(verdict)]
    if unknown is not None and verdict.comparisons:
        sentences.append(f"These test rows do not tell the candidates apart by {verdict.metric}: {unknown}.")
    sentences += [_unsettled(verdict, scored), _unread(scored)]
    if verdict.mdd is not None:
        rows = scored[verdict.best].n_test
        shown = f"{rows:,} test rows show a true difference of {verdict.mdd:.4f} in {verdict.metric} four times in five"
        sentences.append(f"{shown}{_more_rows(verdict, rows)}.")
    return " ".join(sentence for sentence in sentences if sentence)


def beside_baseline(yardstick: Yardstick, metric: str, sooner: Sequence[tuple[Baseline, float]]) -> str | None:
    """What a person must know first: that the best baseline is not beaten, or not distinguishably; else nothing.

    `sooner` are baselines that stop nobody, with their values, which are better than the candidate.
    """
    parts = [] if yardstick.passed and yardstick.distinct else [f"{_against(yardstick, metric)}."]
    parts += [
        f"The rule {each.name!r} would be better ({metric} {value:.4g}), if it had {each.needs} in time. If that "
        "truth is known by then, say so by [data] horizon: then a winner must beat the rule."
        for each, value in sooner
    ]
    return " ".join(parts) or None


def _against(yardstick: Yardstick, metric: str) -> str:
    each = yardstick.comparison
    verb = "does not beat the baseline"
    if yardstick.passed:
        verb = "is better than the baseline, but not distinguishably so"
        if each.difference <= 0:
            verb = "is not better than the baseline, and not distinguishably worse"
    needs = f", which needs {yardstick.needs}" if yardstick.needs else ""
    return (
        f"{yardstick.candidate} {verb}: {metric} {yardstick.candidate_value:.4g} against {yardstick.value:.4g} by "
        f"{yardstick.baseline!r} ({yardstick.rule}{needs}); {_difference(each)}"
    )


def _unsettled(verdict: "Verdict", scored: Mapping[str, Scorecard]) -> str:
    """How probable it is that the choice is wrong, and how many rows would settle it, where that is a question."""
    assert verdict.best is not None
    name = verdict.winner or verdict.best
    chance = verdict.p_worse[name]
    if chance <= UNSETTLED or (verdict.winner is None and verdict.best_set):
        return ""
    rows, needed = scored[verdict.best].n_test, verdict.rows_to_settle
    wrong = f"with probability {chance:.2f} {name} is worse than the best by more than {verdict.margin:.4g}"
    more = "" if verdict.mdd is None else "; no number of rows settles a tie without a margin"
    if needed is not None:
        more = f"; about {_rounded(max(needed, rows)):,} test rows would settle it (there are {rows:,})"
    return f"The choice is not settled: {wrong}{more}."


def _more_rows(verdict: "Verdict", rows: int) -> str:
    """How many rows would tell whether others are as good, where these do not."""
    needed = verdict.rows_for_margin
    if needed is None or needed <= rows:
        return ""
    return f"; that equals are within {verdict.margin:.4g}, about {_rounded(needed):,} rows would show as often"


def _rounded(rows: int) -> int:
    """To two digits."""
    size = 10 ** max(0, len(str(rows)) - 2)
    return -(-rows // size) * size


def _winner(verdict: "Verdict", scored: Mapping[str, Scorecard]) -> str:
    assert verdict.winner is not None
    assert verdict.best is not None
    winner, best = verdict.winner, verdict.best
    head = f"{winner} wins with {_value(verdict, scored)}"
    if verdict.utility is not None:
        return f"{head} and {_useful(verdict, winner)}"
    if winner != best:
        (against,) = (each for each in verdict.comparisons if each.candidate == winner)
        ours, theirs = scored[winner].cost_usd_per_1k, scored[best].cost_usd_per_1k
        cheaper = f"{theirs / ours:.1f} times cheaper" if ours else "free"
        return (
            f"{head}: shown to be within {verdict.margin:.4g} of {best} ({_difference(against)}) and {cheaper} to "
            f"serve (${ours:.2g} instead of ${theirs:.2g} per 1,000 predictions)."
        )
    failed = {gate.candidate for gate in verdict.gates if not gate.passed}
    beaten = [each for each in verdict.comparisons if each.candidate not in failed]
    if not beaten:
        return f"{head}: the only candidate that may win." if verdict.comparisons else f"{head}: the only candidate."
    return f"{head}: {_before(verdict, beaten)}"


def _value(verdict: "Verdict", scored: Mapping[str, Scorecard]) -> str:
    """The winner's value; where being the best of several flatters it, without that."""
    assert verdict.winner is not None
    assert verdict.value is not None
    found, value = scored[verdict.winner].metrics[verdict.metric], verdict.value
    shown = f"{verdict.metric} {value.value:.4f} {value.ends()}"
    if f"{found.value:.4f}" == f"{value.value:.4f}":
        return shown
    return f"{shown} (measured {found.value:.4f}, less what being the best of {len(verdict.p_best)} adds)"


def _before(verdict: "Verdict", beaten: Sequence[Comparison]) -> str:
    """How the best stands to the others: which are as good, which may be, or that it is better than all."""
    near = [each for each in beaten if each.candidate in verdict.best_set]
    unclear = [each for each in beaten if each not in near and each.high >= 0]
    parts = [f"{_those(near, verdict.margin)}, but not clearly cheaper"] if near else []
    parts += [_those(unclear, verdict.margin, no="not ")] if unclear else []
    if parts:
        assert verdict.best is not None
        chance = f"it is the best with probability {verdict.p_best[verdict.best]:.2f}"
        return f"the best as measured; {'; '.join(parts)}; {chance}."
    closest = max(beaten, key=lambda each: each.difference)
    return f"distinguishably better than {closest.candidate} ({_difference(closest)})" + (
        " and all others." if len(beaten) > 1 else "."
    )


def _those(each: Sequence[Comparison], margin: float, *, no: str = "") -> str:
    """That these are (not) shown to be within the margin of the best, with their differences."""
    numbers = "; ".join(_difference(one, named=len(each) > 1) for one in each)
    verb = "is" if len(each) == 1 else "are"
    return f"{_and([one.candidate for one in each])} {verb} {no}shown to be within {margin:.4g} of it ({numbers})"


def _useful(verdict: "Verdict", winner: str) -> str:
    """The winner's utility, the next one's, and who is out of its reach."""
    worth = f"the expected utility {verdict.utilities[winner]:.6g} ({verdict.utility})"
    others = {name: verdict.utilities[name] for name in verdict.best_set if name != winner}
    known = {name: value for name, value in others.items() if value is not None}
    if not known:
        return f"{worth}: the only one of the best set with one."
    following = max(known, key=lambda name: known[name])
    return f"{worth}: the highest of the best set, before {following} ({known[following]:.6g})."


def _nobody(verdict: "Verdict") -> str:
    yardstick = verdict.yardstick
    if (
        yardstick is not None
        and not yardstick.passed
        and not any(not gate.passed for gate in verdict.gates if gate.candidate == yardstick.candidate)
    ):
        return f"Nobody wins: {_against(yardstick, verdict.metric)}."
    failed = {gate.candidate for gate in verdict.gates if not gate.passed}
    if not verdict.best_set and verdict.best not in failed:
        asked = f"no candidate is shown to be within {verdict.margin:.4g} of every other with the confidence asked for"
        return f"Nobody wins: {asked} ({verdict.confidence:g}); {verdict.best} leads by {verdict.metric}."
    if all(gate.passed for gate in verdict.gates if gate.candidate == verdict.best):
        return f"Nobody wins: the utility ({verdict.utility}) is undefined for {_and(verdict.best_set)}."
    return f"Nobody wins: no candidate passes every gate; {verdict.best} leads by {verdict.metric}."


def _unread(scored: Mapping[str, Scorecard]) -> str:
    """Whose answers are partly not their own: what was refused or could not be read."""
    shares = {name: card.unreadable for name, card in scored.items() if card.unreadable > 0}
    if not shares:
        return ""
    told = [f"{share:.2%} of the answers of {name}" for name, share in shares.items()]
    return f"Refused or unreadable, so that a fallback answers instead: {_and(told)}."


def _kept_out(verdict: "Verdict") -> str:
    failed = [gate for gate in verdict.gates if not gate.passed]
    return f"Gates failed: {'; '.join(_gate(gate) for gate in failed)}." if failed else ""


def _gate(gate: "GateOutcome") -> str:
    if gate.value is None:
        return f"{gate.candidate} ({gate.metric} is undefined)"
    if gate.confidence is not None:
        limit = f"{gate.min:g}" if gate.min is not None else f"{gate.max:g}"
        side = "at least" if gate.min is not None else "at most"
        sure = "too little is known" if gate.bound is None else f"no more than {gate.bound:.4g} is shown"
        return f"{gate.candidate} ({gate.metric} {gate.value:.6g}: {side} {limit} at {gate.confidence:.0%}, {sure})"
    if gate.min is not None and gate.value < gate.min:
        return f"{gate.candidate} ({gate.metric} {gate.value:.6g} is under {gate.min:g})"
    return f"{gate.candidate} ({gate.metric} {gate.value:.6g} is over {gate.max:g})"


def _difference(each: Comparison, *, named: bool = False) -> str:
    name = f"{each.candidate} " if named else ""
    return f"{name}{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}], p = {each.p_holm:.2g}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
