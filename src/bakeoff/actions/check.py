"""The gate for CI: would the present project pass? Nothing is registered, promoted or released.

What changed is fitted and evaluated as in a run (and kept, so that the run after the merge finds it done). The
would-be winner must pass every gate of `[decide] gates` and stand against the champion on test rows that
neither was fitted on. What cannot be compared is said, and fails only a strict check.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.chat.cache import ReplyCache
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.records import Version
from bakeoff.loop.bake_off import compete
from bakeoff.loop.baselines import BaselinesStep
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Standing, champion_of, evidence, looked, rows_of, stand, unseen
from bakeoff.loop.classes import with_classes
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays
from bakeoff.loop.decide import Competition
from bakeoff.loop.evaluate import Judged, groups, outcomes, times
from bakeoff.loop.judge import judge_registered
from bakeoff.loop.outcome import outcome
from bakeoff.loop.search import as_found, as_given, shown
from bakeoff.metrics.registry import find
from bakeoff.registry.lineage import find_version, label
from bakeoff.report.checks import Check, ModelCheck, Outcome

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import GateOutcome
    from bakeoff.evaluate.decide.yardstick import Baselines
    from bakeoff.report.model import Report
    from bakeoff.results.scorecard import Scorecard

__all__ = ["check"]

RUN = "check"
NEEDED = "better than a rule that needs no model"
NOTHING_COMPARED = "nothing is shown so; set decide.champion to non_inferior or superior to ask for more"


NOTHING_TO_CHECK = (
    "there is neither a gate nor a champion. Make a gate in bakeoff.toml, under [decide]: gates = {gate}; or a "
    "champion, by 'bakeoff run' with the store that this check uses"
)
ROOM = 0.05
"""Of the value of today: so much worse is what an example of a gate lets through."""


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
    steps = Steps.of(stage)
    champion = champion_of(stage)
    stage = stage if version is not None else as_found(stage, champion)
    gathered = gather(stage, steps)
    stage = as_given(stage) if gathered.folds and stage.found else stage
    stage = with_classes(stage, gathered)
    competition = None if version is not None else compete(stage, steps, gathered)
    subject = (
        _registered(stage, steps, gathered, version)
        if version
        else _competing(cast("Competition", competition), candidate)
    )
    rule = _rule(stage, strict=strict)
    standing, against = _against(stage, steps, gathered, subject, champion, rule=rule, strict=strict)
    rules = competition.baselines if competition is not None else BaselinesStep(stage, steps, gathered).baselines()
    checks = [*_gates(stage, subject, strict=strict), *against, *_beside_rules(stage, subject, rules)]
    if competition is not None and candidate is None and competition.decision.winner is None and _fine(checks):
        checks.append(Check(name="a winner", outcome="failed", told=competition.decision.reason))
    notes = [*subject.notes, *([] if competition is None else _without_model(competition))]
    if champion is None:
        notes.append("There is no champion to compare with: only the gates were checked.")
        sentence = NOTHING_TO_CHECK.format(gate=_gate(stage, subject))
        checks = checks or [Check(name="something to check", outcome="failed", told=sentence)]
    if stage.found:
        listed = "; ".join(f"{name}: {shown(params)}" for name, params in stage.found.items())
        notes.append(f"Fitted with what the champion's search found ({listed}).")
    compared = standing.comparison if standing else None
    return ModelCheck(
        project=name,
        model=subject.name,
        champion=None if champion is None else label(champion),
        metric=stage.metric,
        rule=rule,
        margin=0.0 if subject.card is None else _margin(stage, subject, rule),
        strict=strict,
        checks=tuple(checks),
        notes=tuple(notes),
        difference=compared.difference if compared else None,
        low=compared.low if compared else None,
        high=compared.high if compared else None,
        rows=standing.rows if standing else 0,
        look=msgspec.to_builtins(standing.look.count) if standing and standing.look else None,
        seconds=(stage.clock() - started_ms) / 1000,
        bake_off=None if competition is None else _bake_off(stage, gathered, competition, stage.clock()),
    )


def _rule(stage: Stage, *, strict: bool) -> str:
    """What is asked of the model beside the champion: the project's rule; of a strict check, to be shown."""
    rule = stage.config.decide.champion
    return "non_inferior" if strict and rule == "unless_worse" else rule


# --- what is checked ----------------------------------------------------------------------------


def _competing(competition: Competition, candidate: str | None) -> _Held:
    names = [entry.name for entry in competition.judged]
    name = candidate or competition.decision.winner or competition.decision.best or names[0]
    entry = competition.entry(name)
    if entry is None:
        hint = suggestion(name, names)
        raise NotFoundError(f"expected a candidate ({', '.join(names)}), received {name!r}. {hint}".rstrip())
    reason = competition.decision.reason
    among = competition.judged if candidate is None else ()
    gates = tuple(each for each in competition.decision.gates if each.candidate == name)
    notes = (reason,) if reason else ()
    return _Held(name=name, judged=entry, card=entry.scorecard, notes=notes, among=among, gates=gates)


def _registered(stage: Stage, steps: Steps, gathered: Gathered, version: Version) -> _Held:
    """A registered model, scored on the test rows that it was not fitted on."""
    *_, standing_in = evidence(stage, gathered, version)
    judged = judge_registered(stage, steps, gathered, standing_in)
    fair_n = unseen(stage, gathered, standing_in)
    name, card = label(version), judged.scorecard
    twin = f"{name} was fitted on all rows: its twin that was evaluated in its place stands for it."
    notes = () if standing_in is version else (twin,)
    if card is None or fair_n.all():
        return _Held(name=name, judged=judged, card=card, version=version, notes=notes)
    rows, of = int(fair_n.sum()), len(fair_n)
    note = f"{name} was fitted on {of - rows:,} of the {of:,} test rows; it is judged on the other {rows:,}."
    metrics = _scored(stage, gathered, judged, fair_n) if rows else {}
    card = replace(card, metrics=metrics, n_test=rows)
    return _Held(name=name, judged=judged, card=card, usable_n=fair_n, version=version, notes=(*notes, note))


def _scored(stage: Stage, gathered: Gathered, judged: Judged, fair_n: Any) -> Mapping[str, Any]:
    from bakeoff.evaluate.score.scoring import score

    truth_n, predictions = outcomes(stage, judged)
    group_n, time_n = groups(stage, gathered), times(stage, gathered)
    return score(
        truth_n[fair_n],
        rows_of(predictions, fair_n),
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


def _without_model(competition: Competition) -> list[str]:
    return [
        f"{entry.name}: {late.sentence}" if (late := entry.left_out) else f"{entry.name} failed: {entry.error}"
        for entry in competition.judged
        if entry.scorecard is None
    ]


# --- gates --------------------------------------------------------------------------------------


def _gates(stage: Stage, subject: _Held, *, strict: bool) -> list[Check]:
    from bakeoff.evaluate.decide.verdict import gate_outcomes

    if subject.card is None:
        return [Check(name="evaluated", outcome="failed", told=f"{subject.name} failed: {subject.judged.error}")]
    card, unjudged = subject.card, subject.usable_n is not None and not subject.usable_n.any()

    def checked(gate: "GateOutcome") -> Check:
        limits = _limits(gate.min, gate.max)
        name = f"{gate.metric} {limits}"
        if unjudged and card.number(gate.metric) is None:
            sentence = f"not comparable: {subject.name} was fitted on every test row"
            return Check(name=name, outcome=_unknown(strict=strict), told=sentence)
        interval = card.metrics.get(gate.metric)
        spread = f" {interval.ends()}" if interval else ""
        value = "undefined" if gate.value is None else f"{gate.value:.6g}{spread}"
        sentence = f"{gate.metric} of {subject.name} is {value}; the gate asks for {limits}"
        return Check(name=name, outcome="passed" if gate.passed else "failed", told=sentence)

    known = gate_outcomes(subject.name, card, stage.config.decide) if subject.gates is None else subject.gates
    checks = [checked(gate) for gate in known]
    if not unjudged and stage.metric not in card.metrics:
        sentence = f"{stage.metric} of {subject.name} is undefined on these test rows"
        checks.append(Check(name=f"{stage.metric} is defined", outcome="failed", told=sentence))
    return checks


def _gate(stage: Stage, subject: _Held) -> str:
    """An example of a gate by the project's metric, which the model passes."""
    measure = find(stage.metric, stage.config.project.task)
    value = (None if subject.card is None else subject.card.number(stage.metric)) or 0.0
    end, sign = ("min", -1) if measure.higher_is_better else ("max", 1)
    return f"{{ {json.dumps(stage.metric)} = {{ {end} = {value + sign * ROOM * abs(value):.3g} }} }}"


def _beside_rules(stage: Stage, subject: _Held, rules: "Baselines | None") -> list[Check]:
    """A failed check where a rule that costs nothing is as good as the model, on the rows that it is judged on."""
    from bakeoff.evaluate.decide.yardstick import beats
    from bakeoff.metrics.value import value

    metric, task = find(stage.metric, stage.config.project.task), stage.config.project.task
    ours = None if subject.card is None else subject.card.number(stage.metric)
    if rules is None or ours is None or subject.judged.outcomes_blob is None:
        return []
    truth_n, _ = outcomes(stage, subject.judged)
    usable_n = slice(None) if subject.usable_n is None else subject.usable_n
    values = {
        each.name: value(stage.metric, truth_n[usable_n], rows_of(rules.predictions[each.name], usable_n), task)
        for each in rules.listed
        if each.stops == "equal" and stage.metric in each.metrics
    }
    values = {name: number for name, number in values.items() if not math.isnan(number)}
    if not values:
        return []
    sign = 1 if metric.higher_is_better else -1
    best = max(values, key=lambda name: sign * values[name])
    if beats(metric, ours, values[best]):
        return []
    sentence = f"{stage.metric} of {subject.name} is {ours:.6g}; {best!r}, which needs no model, has {values[best]:.6g}"
    return [Check(name=NEEDED, outcome="failed", told=sentence)]


def _limits(low: float | None, high: float | None) -> str:
    return " and ".join([*([f"≥ {low:g}"] if low is not None else []), *([f"≤ {high:g}"] if high is not None else [])])


def _unknown(*, strict: bool) -> Outcome:
    return "failed" if strict else "not comparable"


def _against(
    stage: Stage,
    steps: Steps,
    gathered: Gathered,
    subject: _Held,
    champion: Version | None,
    *,
    rule: str,
    strict: bool,
) -> tuple[Standing | None, Sequence[Check]]:
    """The check against the champion, by the bound that the rule names."""
    if subject.card is None:
        return None, ()
    margin = _margin(stage, subject, rule)
    if champion is None:
        sentence = "not comparable: no champion is registered (do CI and the project use the same [store]?)"
        return None, [Check(name="champion", outcome="failed", told=sentence)] if strict else ()
    named = label(champion)
    name = {
        "unless_worse": f"not worse than champion {named}" + (f" by more than {margin:g}" if margin else ""),
        "non_inferior": f"non-inferior to champion {named}" + (f" within {margin:g}" if margin else ""),
        "superior": f"superior to champion {named}",
    }[rule]
    if subject.judged.fitted.tree_blob in (champion.content, champion.model_origin.evaluated_tree):
        return None, [Check(name=name, outcome="passed", told=f"{named} is this very model")]
    standing = stand(
        stage, steps, gathered, subject.judged, champion, usable_n=subject.usable_n, among=subject.among, rule=rule
    )
    each = standing.comparison
    if each is None:
        return standing, [
            Check(name=name, outcome=_unknown(strict=strict), told=f"not comparable: {named} {standing.why}")
        ]
    bound, sentence, holds = _bounds(margin)[rule]
    passed = holds(getattr(each, bound)) or (each.alike and rule != "superior")
    looked(stage, standing, passed=passed)
    sentence = f"{subject.name} against {named}: {standing.numbers}; {sentence}"
    if rule == "unless_worse":
        sentence += f" ({NOTHING_COMPARED})"
    return standing, [Check(name=name, outcome="passed" if passed else "failed", told=sentence)]


def _margin(stage: Stage, subject: _Held, rule: str) -> float:
    """By how much the model may be worse than the champion: the project's margin, or the default of non-inferiority."""
    from bakeoff.evaluate.decide.margin import margin_of

    decide = stage.config.decide
    if decide.margin is None and rule != "non_inferior":
        return 0.0
    value = None if subject.card is None else subject.card.number(stage.metric)
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


def _bake_off(stage: Stage, gathered: Gathered, competition: Competition, now_ms: int) -> "Report":
    import io

    import polars as pl

    from bakeoff.report.build import Evidence, build

    results = outcome(
        stage,
        run_id=RUN,
        gathered=gathered,
        judged=competition.judged,
        combined=competition.combined,
        versions={},
        decision=competition.decision,
        contest=None,
        released=None,
        baselines=competition.baselines,
    )
    evidence = {
        entry.name: Evidence(scorecard=entry.scorecard, outcomes=outcomes(stage, entry))
        for entry in competition.judged
        if entry.scorecard is not None
    }
    rows = load_arrays(stage.blobs, gathered.rows_blob)
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.snapshot_blob)))[rows["kept"][rows["test"]]]
    return build(results, evidence, table, stage.config.data.target, made_ms=now_ms)
