"""The reason of a verdict in plain sentences with numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bakeoff.evaluate.paired import Comparison
from bakeoff.evaluate.scorecard import Scorecard

if TYPE_CHECKING:
    from bakeoff.evaluate.verdict import GateOutcome, Verdict

__all__ = ["told", "unscored"]


def unscored(metric: str, names: Sequence[str]) -> str:
    """Why nobody can win."""
    if not names:
        return "Nobody wins: no candidate could be evaluated."
    return f"Nobody wins: {metric} is undefined on these test rows for {_and(names)} (is there only one class?)."


def told(verdict: "Verdict", scored: Mapping[str, Scorecard]) -> str:
    """Why the winner wins, who was kept out by gates, and what the test rows can show."""
    assert verdict.best is not None
    sentences = [_nobody(verdict) if verdict.winner is None else _winner(verdict, scored), _kept_out(verdict)]
    if verdict.mdd is not None:
        rows = scored[verdict.best].n_test
        finds = f"{rows:,} test rows show a true difference of {verdict.mdd:.4f} in {verdict.metric} four times in five"
        small = len(verdict.best_set) > 1
        sentences.append(f"{finds}; smaller ones need more rows." if small else f"{finds}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _winner(verdict: "Verdict", scored: Mapping[str, Scorecard]) -> str:
    assert verdict.winner is not None
    assert verdict.best is not None
    winner, best, metric = verdict.winner, verdict.best, verdict.metric
    found = scored[winner].metrics[metric]
    head = f"{winner} wins with {metric} {found.value:.4f} {found.ends()}"
    if verdict.utility is not None:
        return f"{head} and {_useful(verdict, winner)}"
    if winner != best:
        (against,) = (each for each in verdict.comparisons if each.candidate == winner)
        ours, theirs = scored[winner].cost_usd_per_1k, scored[best].cost_usd_per_1k
        return (
            f"{head}: not distinguishably worse than {best} ({_difference(against)}) and {theirs / ours:.1f} times "
            f"cheaper to serve (${ours:.2g} instead of ${theirs:.2g} per 1,000 predictions)."
        )
    rivals = [name for name in verdict.best_set if name != winner]
    if rivals:
        those = f"{_and(rivals)} {'is' if len(rivals) == 1 else 'are'} not distinguishably worse"
        told = "; ".join(_difference(c, named=len(rivals) > 1) for c in verdict.comparisons if c.candidate in rivals)
        return f"{head}: {those} ({told}), but not clearly cheaper either."
    eligible = {gate.candidate for gate in verdict.gates if not gate.passed}
    beaten = [each for each in verdict.comparisons if each.candidate not in eligible]
    if not beaten:
        return f"{head}: the only candidate that may win." if verdict.comparisons else f"{head}: the only candidate."
    closest = max(beaten, key=lambda each: each.difference)
    return f"{head}: distinguishably better than {closest.candidate} ({_difference(closest)})" + (
        " and all others." if len(beaten) > 1 else "."
    )


def _useful(verdict: "Verdict", winner: str) -> str:
    """The winner's utility, the next one's, and who is out of its reach."""
    worth = f"the utility {verdict.utilities[winner]:.6g} ({verdict.utility})"
    others = {name: verdict.utilities[name] for name in verdict.best_set if name != winner}
    known = {name: value for name, value in others.items() if value is not None}
    if not known:
        return f"{worth}: the only one of the best set with one."
    following = max(known, key=lambda name: known[name])
    return f"{worth}: the highest of the best set, before {following} ({known[following]:.6g})."


def _nobody(verdict: "Verdict") -> str:
    if all(gate.passed for gate in verdict.gates if gate.candidate == verdict.best):
        return f"Nobody wins: the utility ({verdict.utility}) is undefined for {_and(verdict.best_set)}."
    return f"Nobody wins: no candidate passes every gate; {verdict.best} leads by {verdict.metric}."


def _kept_out(verdict: "Verdict") -> str:
    failed = [gate for gate in verdict.gates if not gate.passed]
    return f"Gates failed: {'; '.join(_gate(gate) for gate in failed)}." if failed else ""


def _gate(gate: "GateOutcome") -> str:
    if gate.value is None:
        return f"{gate.candidate} ({gate.metric} is undefined)"
    if gate.min is not None and gate.value < gate.min:
        return f"{gate.candidate} ({gate.metric} {gate.value:.6g} is under {gate.min:g})"
    return f"{gate.candidate} ({gate.metric} {gate.value:.6g} is over {gate.max:g})"


def _difference(each: Comparison, *, named: bool = False) -> str:
    name = f"{each.candidate} " if named else ""
    return f"{name}{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}], p = {each.p_holm:.2g}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
