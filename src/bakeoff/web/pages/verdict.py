"""The verdict of a run, and what it would be by other rules: worked out again from the rows that the run kept."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from bakeoff.actions.what_if import WhatIf
from bakeoff.core.errors import UsageError
from bakeoff.metrics.registry import is_higher_better
from bakeoff.report.html import html
from bakeoff.results.candidate import Slice
from bakeoff.web.pages.calls import PageCall, Shown, number_of
from bakeoff.web.pages.drawing import Dot, DrawnLine, dots, lines, span_of
from bakeoff.web.pages.site import one_file

__all__ = ["report", "verdict"]

MOST_RUNS, MOST_SLICES = 50, 20


def verdict(call: PageCall) -> Shown:
    """The verdict with the rules of the address; those that it leaves out are the run's."""
    project = call.project("experiment")
    finished = project.bake_offs(limit=MOST_RUNS, finished=True)
    if not finished:
        return Shown(template="verdict_none.html", values={"title": "Verdict"})
    run_id = call.query.get("run") or None
    values: dict[str, Any] = {"title": "Verdict", "bake_offs": finished, "problem": None}
    try:
        by_rules = project.what_if(
            run_id,
            metric=call.query.get("metric") or None,
            margin=call.number("margin"),
            price_per_hour_usd=call.number("price"),
            gates=_gates(call),
        )
    except UsageError as error:
        values["problem"] = str(error)
        by_rules = project.what_if(run_id)
    return Shown(template="verdict.html", values={**values, **_shown(by_rules)})


def _gates(call: PageCall) -> Mapping[str, Mapping[str, float | None]] | None:
    """The gates of the form; None where the address has none, which leaves those of the run."""
    names = call.query.getlist("gate")
    if not names:
        return None
    least, most = call.query.getlist("least"), call.query.getlist("most")
    sure = call.query.getlist("sure")
    gates: dict[str, Mapping[str, float | None]] = {}
    for name, low, high, confidence in zip(names, least, most, sure, strict=False):
        least_value, most_value = number_of(f"least {name}", low), number_of(f"most {name}", high)
        sureness = number_of(f"confidence {name}", confidence)
        if name and (least_value is not None or most_value is not None):
            gates[name] = {"min": least_value, "max": most_value, "confidence": sureness}
    return gates


def _shown(by_rules: WhatIf) -> dict[str, Any]:
    verdict, outcome = by_rules.verdict, by_rules.outcome
    names = [each.name for each in outcome.candidates]
    colours = {name: at for at, name in enumerate(names)}
    scores = {
        name: card.metrics[verdict.metric] for name, card in by_rules.cards.items() if verdict.metric in card.metrics
    }
    failed = {gate.candidate for gate in verdict.gates if not gate.passed}
    ranked = sorted(scores, key=lambda name: scores[name].value, reverse=_higher(by_rules))
    front = [
        Dot(
            name=name,
            colour=colours[name],
            x=by_rules.prices[name] * 1000,
            y=scores[name].value,
            low=scores[name].low,
            high=scores[name].high,
            hollow=name in failed,
        )
        for name in ranked
    ]
    text = f"{verdict.metric} and price of {len(front)} candidates; " + (
        f"no other is better and cheaper than {', '.join(verdict.pareto)}" if verdict.pareto else ""
    )
    return {
        "by_rules": by_rules,
        "verdict": verdict,
        "outcome": outcome,
        "colours": colours,
        "scores": scores,
        "ranked": ranked,
        "span": span_of(end for each in scores.values() for end in (each.value, each.low, each.high)),
        "against": {each.candidate: each for each in verdict.comparisons},
        "front": dots(front, description=text, x="$ per million predictions", y=verdict.metric) if front else None,
        "slices": _slices(by_rules, ranked),
        "calibration": _calibration(by_rules, ranked, colours),
        "differs": verdict.winner != outcome.verdict.winner,
    }


def _higher(by_rules: WhatIf) -> bool:
    return is_higher_better(by_rules.verdict.metric, by_rules.outcome.task) is not False


def _slices(by_rules: WhatIf, ranked: list[str]) -> list[tuple[Slice, dict[str, Slice]]]:
    """Slices with the candidates' values; those on which the first candidate is weakest come first."""
    together: dict[tuple[str, str], dict[str, Slice]] = {}
    for each in by_rules.outcome.fine:
        for part in each.slices:
            together.setdefault((part.column, part.slice), {})[each.name] = part
    first = ranked[0] if ranked else ""
    decided = by_rules.outcome  # slices have the metric of the run, whatever the metric of the question is
    sign = -1 if is_higher_better(decided.verdict.metric, decided.task) is False else 1
    listed = [(cells.get(first) or next(iter(cells.values())), cells) for cells in together.values()]
    return sorted(listed, key=lambda item: sign * item[0].value)[:MOST_SLICES]


def _calibration(by_rules: WhatIf, ranked: list[str], colours: Mapping[str, int]) -> Any:
    """How often answers of a confidence are right; on the diagonal both are the same."""
    series = [DrawnLine(name="what it should be", colour=7, points=[(0.0, 0.0), (1.0, 1.0)])]
    for name in ranked:
        candidate = by_rules.outcome.candidate(name)
        if candidate is not None and candidate.calibration is not None and candidate.calibration.bins:
            points = sorted((each.confidence, each.right) for each in candidate.calibration.bins if each.rows)
            series.append(DrawnLine(name=name, colour=colours[name], points=points))
    if len(series) == 1:
        return None
    return lines(series, description="Share of right answers by confidence", x="confidence", y="right")


def report(call: PageCall) -> Response:
    """The whole report of a run as one file."""
    project = call.project("experiment")
    run_id = call.path["run_id"]
    return one_file(html(project.report(None if run_id == "last" else run_id)))
