"""The verdict of a run worked out again from its stored rows: by another metric, margin, price, or by other gates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec
from pydantic import ValidationError

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.core.errors import UsageError
from bakeoff.core.markup import notebook, paragraph, table
from bakeoff.core.plugins import suggestion
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.scorecard import MEASUREMENTS, Scorecard
from bakeoff.results.verdict import Verdict

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.yardstick import Baselines
    from bakeoff.project.project import Project

__all__ = ["WhatIf", "what_if"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A verdict by other rules, beside that of the run.

    `gates`, `margin` and `price_per_hour_usd` are those that it was worked out with, `prices` the price of 1,000
    predictions by candidate (US dollars), `choices` the metrics that every candidate has, `measures` what gates may
    name. `changed` says what is other than in the run, `notes` where it may differ from what a run would decide.
    """

    outcome: RunOutcome
    verdict: Verdict
    gates: Mapping[str, Gate]
    margin: float | None
    price_per_hour_usd: float
    prices: Mapping[str, float]
    cards: Mapping[str, Scorecard]
    choices: tuple[str, ...]
    measures: tuple[str, ...]
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def question(self) -> str:
        """What was asked, in words."""
        return f"What if {', '.join(self.changed)}?" if self.changed else "The rules of the run."

    def __repr__(self) -> str:
        """What was asked, and who would win."""
        return f"WhatIf({self.question} {self.verdict.winner or 'Nobody'} wins)"

    def _repr_html_(self) -> str:
        verdict = self.verdict
        asked = f"{self.question} In the run {self.outcome.verdict.winner or 'nobody'} won; nothing is changed."
        scores = [
            (name, card.metrics[verdict.metric].value, card.metrics[verdict.metric].ends(), verdict.p_best.get(name))
            for name, card in self.cards.items()
        ]
        return notebook(
            f"{verdict.winner} would win" if verdict.winner else "Nobody would win",
            asked,
            verdict.reason,
            table(("candidate", verdict.metric, "95% interval", "is the best"), scores),
            *(paragraph(each, "muted") for each in self.notes),
        )


def what_if(
    project: "Project",
    run_id: str | None = None,
    *,
    metric: str | None = None,
    margin: float | None = None,
    price_per_hour_usd: float | None = None,
    gates: Mapping[str, Mapping[str, float | None]] | None = None,
) -> WhatIf:
    """Decide a finished run again from the stored outcomes of its test rows; nothing is stored.

    What is not asked to be other is as it was in the run, whatever the settings are by now. `gates` are as under
    `[decide.gates]`: `min`, `max` and `confidence` by name.

    Raises:
        NotFoundError: there is no such run. UsageError: the metric or a gate names what no candidate has.
    """
    from bakeoff.loop.stored_outcome import RunRules, baselines_of, rules_of

    outcome, config = project.outcome(run_id), project.config
    decided, kept_rules = outcome.verdict, rules_of(project.records, project.blobs, outcome.run_id)
    rules = kept_rules or RunRules(decide=config.decide, cost=config.cost, seed=config.project.seed)
    cards = {each.name: _scorecard(project, each.run_id) for each in outcome.fine}
    choices = tuple(name for name in _first(cards) if all(name in card.metrics for card in cards.values()))
    chosen = _known("metric", metric or decided.metric, choices)
    own_limits = _gates_of(decided)
    limits = own_limits if gates is None else {name: _gate(name, each) for name, each in gates.items()}
    measures = tuple(dict.fromkeys((*choices, *MEASUREMENTS)))
    for name in limits:
        _known("gate", name, measures)
    own_price = rules.cost.price_per_hour_usd
    price = own_price if price_per_hour_usd is None else price_per_hour_usd
    if not 0 < price < math.inf:
        raise UsageError(f"price_per_hour_usd: expected a price over 0, received {price:g}")
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"margin: expected a finite number of at least 0, received {margin:g}")
    priced = {name: _priced(card, price / own_price) for name, card in cards.items()}
    settings = _settings(rules.decide, chosen, limits, margin=margin, same_metric=chosen == decided.metric)
    baselines = baselines_of(project.records, project.blobs, outcome)
    changed = {
        f"the metric is {chosen}": chosen != decided.metric,
        f"the margin is {margin}": margin is not None and margin != rules.decide.margin,
        f"an hour of the machine costs ${price:g}": price != own_price,
        "the gates are others": limits != own_limits,
    }
    return WhatIf(
        outcome=outcome,
        verdict=_decided(project, outcome, priced, settings, baselines, seed=rules.seed),
        gates=limits,
        margin=settings.margin,
        price_per_hour_usd=price,
        prices={name: card.cost_usd_per_1k for name, card in priced.items()},
        cards=priced,
        choices=choices,
        measures=measures,
        changed=tuple(text for text, other in changed.items() if other),
        notes=tuple(_notes(outcome, limits, without_baselines=baselines is None, without_rules=kept_rules is None)),
    )


def _decided(
    project: "Project",
    outcome: RunOutcome,
    cards: Mapping[str, Scorecard],
    settings: DecideConfig,
    baselines: "Baselines | None",
    *,
    seed: int,
) -> Verdict:
    from bakeoff.actions.report import again_of, outcomes_of
    from bakeoff.evaluate.decide.verdict import decide
    from bakeoff.loop.stored_outcome import dependence_of

    groups_n, time_n = dependence_of(project.records, project.blobs, outcome.run_id, project.config.data)
    with project.own_metrics():
        return decide(
            cards,
            {each.name: outcomes_of(project, each) for each in outcome.fine},
            settings,
            outcome.task,
            seed,
            groups_n=groups_n,
            time_n=time_n,
            folds=outcome.dataset.folds,
            again={each.name: again_of(project, each) for each in outcome.fine},
            baselines=baselines,
        )


def _first(cards: Mapping[str, Scorecard]) -> Mapping[str, object]:
    return next(iter(cards.values())).metrics if cards else {}


def _known(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        hint = suggestion(name, known)
        raise UsageError(
            f"{what}: expected one of {', '.join(known)}; received {name[:80]!r}" + (f". {hint}" if hint else "")
        )
    return name


def _scorecard(project: "Project", run_id: str) -> Scorecard:
    from bakeoff.loop.track import SCORECARD

    blob = project.records.runs.get(run_id).artifacts[SCORECARD]
    return Scorecard.from_json(msgspec.json.decode(project.blobs.get(blob)))


def _gates_of(verdict: Verdict) -> dict[str, Gate]:
    return {each.metric: Gate(min=each.min, max=each.max, confidence=each.confidence) for each in verdict.gates}


def _priced(card: Scorecard, factor: float) -> Scorecard:
    """With another price of the machine; what a service asks stays as it is."""
    return replace(card, cost_usd_per_1k=card.cost_usd_per_1k * factor) if card.takes_machine else card


def _settings(
    decide: DecideConfig, metric: str, gates: Mapping[str, Gate], *, margin: float | None, same_metric: bool
) -> DecideConfig:
    """The run's settings with these; a margin of one metric says nothing of another."""
    own = decide.margin if same_metric else None
    return decide.model_copy(
        update={"metric": metric, "gates": dict(gates), "margin": own if margin is None else margin}
    )


def _gate(name: str, limits: Mapping[str, float | None]) -> Gate:
    try:
        return Gate.model_validate(dict(limits))
    except ValidationError as error:
        first = error.errors()[0]
        received = f"{'.'.join(map(str, first['loc']))} = {first['input']!r}"
        raise UsageError(f"gate {name!r}: {first['msg'].lower()}; received {received[:80]}") from None


def _notes(
    outcome: RunOutcome, gates: Mapping[str, Gate], *, without_baselines: bool, without_rules: bool
) -> list[str]:
    notes: list[str] = []
    if without_rules:
        notes.append("this run kept no settings: the present ones stand for them; a new run keeps them")
    if without_baselines and outcome.baselines:
        notes.append("this run kept no answers of its baselines: nobody is held to them here; a new run keeps them")
    if any(each.confidence is not None for each in gates.values()):
        notes.append("a look like this costs nothing: a run pays for each look at its gates with a confidence")
    return notes
