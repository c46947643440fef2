"""The gate for CI: would the present project pass? Nothing is registered, promoted or released.

What changed is fitted and evaluated as in a run (and kept, so that the run after the merge finds it done). The
would-be winner must pass every gate of `[decide] gates` and stand against the champion on test rows that
neither was fitted on. What cannot be compared is said, and fails only a strict check.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.chat.cache import ReplyCache
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.records import Version
from bakeoff.loop.bake_off import Competition, compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Standing, champion_of, looked, rows_of, stand, unseen
from bakeoff.loop.classes import with_classes
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays
from bakeoff.loop.evaluate import Judged, groups, outcomes, times
from bakeoff.loop.judge import judge_registered
from bakeoff.loop.outcome import outcome
from bakeoff.loop.search import as_found, shown
from bakeoff.metrics.registry import find
from bakeoff.registry.lineage import find_version, label
from bakeoff.report.checks import Check, ModelCheck, Outcome

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import GateOutcome
    from bakeoff.report.model import Report
    from bakeoff.results.scorecard import Scorecard

__all__ = ["check"]

RUN = "check"
NOTHING_COMPARED = "nothing is shown so; set decide.champion to non_inferior or superior to ask for more"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The model that is checked: its scorecard on the rows that it was not fitted on (`usable_n`; None: all).

    `among`: the candidates of which it came out as the winner, `gates`: what the bake-off said of its gates.
    """

    name: str
    judged: Judged
    card: "Scorecard | None"
    usable_n: Any = None
    version: Version | None = None
    notes: tuple[str, ...] = ()
    among: tuple[Judged, ...] = ()
    gates: "tuple[GateOutcome, ...] | None" = None


def check(stage: Stage, *, candidate: str | None = None, model: str | None = None, strict: bool = False) -> ModelCheck:
    """Hold the would-be winner (or a candidate, or a registered model) against all gates and the champion.

    Args:
        stage: what to work with.
        candidate: the candidate to check instead of the winner.
        model: the registered version to check as it is; nothing is fitted then.
        strict: what cannot be compared fails, and "unless_worse" asks for non-inferiority.

    Raises:
        UsageError: both a candidate and a model are named. NotFoundError: there is none of that name.
    """
    if candidate is not None and model is not None:
        raise UsageError(f"expected a candidate or a model, received both: {candidate!r} and {model!r}")
    started_ms = stage.clock()
    ReplyCache(stage.cache).begin_run(stage.new_id(), stage.config.cost.budget_usd)
    versions, name = stage.records.versions, stage.config.project.name
    version = None if model is None else find_version(versions, name, model)
    steps = Steps(stage.records.documents, stage.blobs)
    champion = champion_of(stage)
    stage = stage if version is not None else as_found(stage, champion)
    gathered = gather(stage, steps)
    stage = with_classes(stage, gathered)
    found = None if version is not None else compete(stage, steps, gathered)
    held = (
        _registered(stage, steps, gathered, version) if version else _competing(cast("Competition", found), candidate)
    )
    rule = _rule(stage, strict=strict)
    standing, against = _against(stage, steps, gathered, held, champion, rule=rule, strict=strict)
    checks = [*_gates(stage, held, strict=strict), *against]
    if found is not None and candidate is None and found.decision.winner is None and _fine(checks):
        checks.append(Check(name="a winner", outcome="failed", told=found.decision.reason))
    notes = [*held.notes, *([] if found is None else _failed(found))]
    if champion is None:
        notes.append("There is no champion to compare with: only the gates were checked.")
    if stage.found:
        listed = "; ".join(f"{name}: {shown(params)}" for name, params in stage.found.items())
        notes.append(f"Fitted with what the champion's search found ({listed}).")
    compared = standing.comparison if standing else None
    return ModelCheck(
        project=name,
        model=held.name,
        champion=None if champion is None else label(champion),
        metric=stage.metric,
        rule=rule,
        margin=0.0 if held.card is None else _margin(stage, held, rule),
        strict=strict,
        checks=tuple(checks),
        notes=tuple(notes),
        difference=compared.difference if compared else None,
        low=compared.low if compared else None,
        high=compared.high if compared else None,
        rows=standing.rows if standing else 0,
        look=msgspec.to_builtins(standing.look.count) if standing and standing.look else None,
        seconds=(stage.clock() - started_ms) / 1000,
        bake_off=None if found is None else _bake_off(stage, gathered, found, stage.clock()),
    )


def _rule(stage: Stage, *, strict: bool) -> str:
    """What is asked of the model beside the champion: the project's rule; of a strict check, to be shown."""
    rule = stage.config.decide.champion
    return "non_inferior" if strict and rule == "unless_worse" else rule


# --- what is checked ----------------------------------------------------------------------------


def _competing(found: Competition, candidate: str | None) -> _Held:
    names = [entry.name for entry in found.judged]
    name = candidate or found.decision.winner or found.decision.best or names[0]
    entry = found.entry(name)
    if entry is None:
        hint = suggestion(name, names)
        raise NotFoundError(f"expected a candidate ({', '.join(names)}), received {name!r}. {hint}".rstrip())
    told = found.decision.reason
    among = found.judged if candidate is None else ()
    gates = tuple(each for each in found.decision.gates if each.candidate == name)
    notes = (told,) if told else ()
    return _Held(name=name, judged=entry, card=entry.scorecard, notes=notes, among=among, gates=gates)


def _registered(stage: Stage, steps: Steps, gathered: Gathered, version: Version) -> _Held:
    """A registered model, scored on the test rows that it was not fitted on."""
    judged = judge_registered(stage, steps, gathered, version)
    fair_n = unseen(stage, gathered, version)
    name, card = label(version), judged.scorecard
    if card is None or fair_n.all():
        return _Held(name=name, judged=judged, card=card, version=version)
    rows, of = int(fair_n.sum()), len(fair_n)
    note = f"{name} was fitted on {of - rows:,} of the {of:,} test rows; it is judged on the other {rows:,}."
    metrics = _scored(stage, gathered, judged, fair_n) if rows else {}
    card = replace(card, metrics=metrics, n_test=rows)
    return _Held(name=name, judged=judged, card=card, usable_n=fair_n, version=version, notes=(note,))


def _scored(stage: Stage, gathered: Gathered, judged: Judged, fair_n: Any) -> Mapping[str, Any]:
    from bakeoff.evaluate.score.scoring import score

    truth_n, said = outcomes(stage, judged)
    group_n, time_n = groups(stage, gathered), times(stage, gathered)
    return score(
        truth_n[fair_n],
        rows_of(said, fair_n),
        stage.config.project.task,
        resamples=stage.config.decide.resamples,
        seed=stage.seed,
        groups_n=None if group_n is None else group_n[fair_n],
        time_n=None if time_n is None else time_n[fair_n],
        positive=stage.config.decide.positive,
        named=stage.metrics,
    ).metrics


def _fine(checks: Sequence[Check]) -> bool:
    return all(each.outcome != "failed" for each in checks)


def _failed(found: Competition) -> list[str]:
    return [f"{entry.name} failed: {entry.error}" for entry in found.judged if entry.scorecard is None]


# --- gates --------------------------------------------------------------------------------------


def _gates(stage: Stage, held: _Held, *, strict: bool) -> list[Check]:
    from bakeoff.evaluate.decide.verdict import gate_outcomes

    if held.card is None:
        return [Check(name="evaluated", outcome="failed", told=f"{held.name} failed: {held.judged.error}")]
    card, unjudged = held.card, held.usable_n is not None and not held.usable_n.any()

    def checked(gate: "GateOutcome") -> Check:
        limits = _limits(gate.min, gate.max)
        name = f"{gate.metric} {limits}"
        if unjudged and card.number(gate.metric) is None:
            told = f"not comparable: {held.name} was fitted on every test row"
            return Check(name=name, outcome=_unknown(strict=strict), told=told)
        interval = card.metrics.get(gate.metric)
        spread = f" {interval.ends()}" if interval else ""
        value = "undefined" if gate.value is None else f"{gate.value:.6g}{spread}"
        told = f"{gate.metric} of {held.name} is {value}; the gate asks for {limits}"
        return Check(name=name, outcome="passed" if gate.passed else "failed", told=told)

    known = gate_outcomes(held.name, card, stage.config.decide) if held.gates is None else held.gates
    checks = [checked(gate) for gate in known]
    if not unjudged and stage.metric not in card.metrics:
        told = f"{stage.metric} of {held.name} is undefined on these test rows"
        checks.append(Check(name=f"{stage.metric} is defined", outcome="failed", told=told))
    return checks


def _limits(low: float | None, high: float | None) -> str:
    return " and ".join([*([f"≥ {low:g}"] if low is not None else []), *([f"≤ {high:g}"] if high is not None else [])])


def _unknown(*, strict: bool) -> Outcome:
    return "failed" if strict else "not comparable"


def _against(
    stage: Stage,
    steps: Steps,
    gathered: Gathered,
    held: _Held,
    champion: Version | None,
    *,
    rule: str,
    strict: bool,
) -> tuple[Standing | None, Sequence[Check]]:
    """The check against the champion, by the bound that the rule names."""
    if held.card is None:
        return None, ()
    margin = _margin(stage, held, rule)
    if champion is None:
        told = "not comparable: no champion is registered (do CI and the project use the same [store]?)"
        return None, [Check(name="champion", outcome="failed", told=told)] if strict else ()
    named = label(champion)
    name = {
        "unless_worse": f"not worse than champion {named}" + (f" by more than {margin:g}" if margin else ""),
        "non_inferior": f"non-inferior to champion {named}" + (f" within {margin:g}" if margin else ""),
        "superior": f"superior to champion {named}",
    }[rule]
    if held.judged.fitted.tree_blob in (champion.content, champion.model_origin.evaluated_tree):
        return None, [Check(name=name, outcome="passed", told=f"{named} is this very model")]
    found = stand(stage, steps, gathered, held.judged, champion, usable_n=held.usable_n, among=held.among, rule=rule)
    each = found.comparison
    if each is None:
        return found, [Check(name=name, outcome=_unknown(strict=strict), told=f"not comparable: {named} {found.why}")]
    bound, told, holds = _bounds(margin)[rule]
    passed = holds(getattr(each, bound)) or (each.alike and rule != "superior")
    looked(stage, found, passed=passed)
    told = f"{held.name} against {named}: {found.numbers}; {told}"
    if rule == "unless_worse":
        told += f" ({NOTHING_COMPARED})"
    return found, [Check(name=name, outcome="passed" if passed else "failed", told=told)]


def _margin(stage: Stage, held: _Held, rule: str) -> float:
    """By how much the model may be worse than the champion: the project's margin, or the default of non-inferiority."""
    from bakeoff.evaluate.decide.margin import margin_of

    decide = stage.config.decide
    if decide.margin is None and rule != "non_inferior":
        return 0.0
    value = None if held.card is None else held.card.number(stage.metric)
    return margin_of(decide, find(stage.metric, stage.config.project.task), value or 0.0)


def _bounds(margin: float) -> Mapping[str, tuple[str, str, Callable[[float], bool]]]:
    """For each rule: the end of the interval that is looked at, what is asked of it in words, and in numbers.

    Two models that answer every row alike differ by nothing: neither is worse.
    """
    least = f"the lower bound must be over {-margin:+.4f}" if margin else "the lower bound must not be under 0"
    return {
        "unless_worse": ("high", f"the upper bound must not be under {-margin:+.4f}", lambda high: high >= -margin),
        "non_inferior": ("low", least, lambda low: low > -margin),
        "superior": ("low", "the lower bound must be over 0", lambda low: low > 0),
    }


# --- the bake-off, for the Markdown --------------------------------------------------------------


def _bake_off(stage: Stage, gathered: Gathered, found: Competition, now_ms: int) -> "Report":
    import io

    import polars as pl

    from bakeoff.report.build import Evidence, build

    results = outcome(
        stage,
        run_id=RUN,
        gathered=gathered,
        judged=found.judged,
        combined=found.combined,
        versions={},
        decision=found.decision,
        contest=None,
        released=None,
    )
    evidence = {
        entry.name: Evidence(scorecard=entry.scorecard, outcomes=outcomes(stage, entry))
        for entry in found.judged
        if entry.scorecard is not None
    }
    rows = load_arrays(stage.blobs, gathered.rows_blob)
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.snapshot_blob)))[rows["kept"][rows["test"]]]
    return build(results, evidence, table, stage.config.data.target, made_ms=now_ms)
