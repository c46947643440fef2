"""A run as pages for the terminal: the leaderboard, and everything that was found."""

from collections.abc import Sequence
from statistics import stdev
from typing import TYPE_CHECKING

import msgspec

from bakeoff.cli.ledger_page import ledger_part
from bakeoff.cli.tables import table
from bakeoff.cli.terminal import loud
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import Interval
from bakeoff.results.baseline import Baseline
from bakeoff.results.candidate import Candidate, Memorisation, WeakSlice
from bakeoff.results.data import Dataset
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.search import Expected, SearchBudget
from bakeoff.results.verdict import GateOutcome, Verdict

if TYPE_CHECKING:
    from bakeoff.actions.compare import ComparedCandidate, RunComparison

__all__ = ["comparison_page", "expectations", "full_report", "leaderboard"]

MOST_WARNINGS = 10
MOST_WEAK = 3
"""Weak slices and drops shown of each candidate."""


def leaderboard(run: RunOutcome, *, unchanged: bool = False) -> str:
    """The candidates with their main figures, and the verdict."""
    verdict, data = run.verdict, run.dataset
    metric = verdict.metric
    rows = [_candidate_row(candidate, verdict, metric) for candidate in run.candidates]
    heads = ["", "candidate", metric, "95% interval", "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "version"]
    worth = verdict.utilities
    if worth:
        heads.append("utility")
        rows = [[*row, _number(worth.get(each.name))] for row, each in zip(rows, run.candidates, strict=True)]
    parts = [
        *_first(verdict),
        f"{run.project}: {data.rows:,} rows, dataset {data.version[:12]}",
        _split(data),
        *_warnings(data),
        "",
        table(heads, rows, right=[metric, "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "utility"]),
        *_baselines(run),
        "",
        f"verdict: {verdict.reason}",
        *([f"how much that is: {verdict.scale}"] if verdict.scale else []),
    ]
    parts += [f"next step: {run.next_step.sentence}"] if run.next_step else []
    parts += _monthly(run)
    parts += _usage(run.fine)
    parts += _paid(run)
    parts += _safety(run)
    if run.positive:
        parts.append(run.positive.sentence)
    parts += [f"warning: {told}" for told in _memory_warnings(run)]
    short = [(each.name, each.cut or each.left_out) for each in run.candidates]
    parts += [f"warning: {name}: {each.sentence}" for name, each in short if each]
    if verdict.contest:
        waits = run.release is not None and run.release.status in {"canary", "shadow"}
        became = f"kept while the winner is a {run.release.status}" if run.release and waits else "promoted"
        parts.append(f"champion: {became if verdict.promoted else 'kept'}; {verdict.contest}")
    if verdict.inputs and verdict.promoted:
        parts.append(f"warning: the inputs of the endpoint change: {verdict.inputs.sentence}")
    if run.release:
        release = run.release
        share = f", {release.percent} of the calls" if release.status == "canary" else ""
        role = release.status if release.status in {"canary", "shadow"} else "live"
        parts.append(f"{role}: {release.model}/{release.number} on endpoint {run.endpoint!r}{share}")
        parts += [f"served: {run.shipped.sentence}"] if run.shipped else []
    parts += ledger_part(run.ledger)
    parts += [f"note: {note}" for note in run.dataset.schema_notes]
    if run.from_step_cache:
        steps = ", ".join(f"{name} {count}" for name, count in sorted(run.from_step_cache.items()))
        parts.append(f"from the step cache: {sum(run.from_step_cache.values())} steps ({steps})")
    if unchanged:
        parts.append("nothing changed since the last run: nothing was done")
    return "\n".join(parts)


def _first(verdict: Verdict) -> list[str]:
    """What stands before all else: that no baseline is beaten, or not distinguishably."""
    if verdict.warning is None:
        return []
    passed = verdict.yardstick is not None and verdict.yardstick.passed
    return [f"warning: {verdict.warning}" if passed else loud(f"no model is needed: {verdict.warning}"), ""]


def _baselines(run: RunOutcome) -> list[str]:
    """The rules that need no model, apart from the candidates: there is no version of them."""
    if not run.baselines:
        return []
    metric, yardstick = run.verdict.metric, run.verdict.yardstick
    rows = [
        baseline_row(each, metric, best=yardstick is not None and each.name == yardstick.baseline)
        for each in run.baselines
    ]
    winner = run.verdict.winner or run.verdict.best or "the best"
    heads = ["", "baseline (no model)", metric, "95% interval", f"{winner} is better by", "needs"]
    return ["", table(heads, rows, right=[metric])]


def baseline_row(baseline: Baseline, metric: str, *, best: bool) -> list[str]:
    """A baseline in a line: its value, how much better the winner is, and what truth it takes."""
    scored, each = baseline.metrics.get(metric), baseline.comparison
    needs = baseline.needs or "training rows"
    return [
        "=" if best else "",
        baseline.name,
        f"{scored.value:.4f}" if scored else "undefined",
        _ends(scored),
        "" if each is None else f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]",
        needs if baseline.stops != "none" else f"{needs}; stops nobody",
    ]


def _monthly(run: RunOutcome) -> list[str]:
    """What each candidate would cost at the team's own traffic."""
    told: list[str] = []
    for each in run.candidates:
        if month := each.monthly:
            machines = f"{month.machines} machine{'s' if month.machines > 1 else ''} always on"
            whole = f"; ${month.machines_usd:,.2f} for {machines}" if month.machines else ""
            told.append(f"a month of {month.requests:,.0f} single rows by {each.name}: ${month.used_usd:,.2g}{whole}")
    return told


def _warnings(data: Dataset, *, most: int = MOST_WARNINGS) -> list[str]:
    """What to look at in the data; beyond `most`, how much more there is."""
    told = [f"warning: {each.told}" for each in data.warnings]
    more = [f"and {len(told) - most} more warnings; 'bakeoff report --html' tells them"] if len(told) > most else []
    return told[:most] + more


def _split(data: Dataset) -> str:
    by, test = data.split, data.test
    if data.folds:
        often = f"{data.repeats} times, in other folds each time" if data.repeats > 1 else "once"
        return f"split by {by} into {data.folds} folds: each of {test:,} rows is tested {often}"
    return f"split by {by}: {data.train:,} train, {data.validation:,} validation, {test:,} test"


def _by_fold(candidates: Sequence[Candidate], metric: str) -> list[str]:
    """The metric on each fold's rows, and their standard deviation."""
    rows: list[list[str]] = []
    for each in candidates:
        values = (each.fold_metrics or {}).get(metric, [])
        known = [value for value in values if value is not None]
        if values:
            rows.append([each.name, *map(_number, values), _number(stdev(known) if len(known) > 1 else None)])
    if not rows:
        return []
    heads = [metric, *(f"fold {at + 1}" for at in range(len(rows[0]) - 2)), "spread"]
    return ["", table(heads, rows, right=heads[1:])]


def _candidate_row(candidate: Candidate, verdict: Verdict, metric: str) -> list[str]:
    mark = "*" if candidate.name == verdict.winner else ""
    if candidate.left_out is not None:
        return [mark, candidate.name, "left out", candidate.status.replace("_", " "), *[""] * 6]
    if candidate.status != "ok":
        return [mark, candidate.name, "failed", candidate.error or "", *[""] * 6]
    score, latency = candidate.metrics[metric], candidate.latency_ms
    return [
        mark,
        candidate.name,
        f"{score.value:.4f}",
        _ends(score),
        f"{latency['p50']:.2f}",
        f"{latency['p95']:.2f}",
        f"{candidate.cost_usd_per_1k:.6f}",
        f"{candidate.train_s:.1f}",
        f"{(candidate.size_bytes or 0) / 1e6:.1f}",
        candidate.model_version or "",
    ]


def full_report(run: RunOutcome) -> str:
    """The leaderboard, then every metric of every candidate, gates, and what data reading found."""
    fine = run.fine
    names = list(dict.fromkeys(name for candidate in fine for name in candidate.metrics))
    rows = [[name, *(_interval(candidate.metrics.get(name)) for candidate in fine)] for name in names]
    parts = [leaderboard(run), "", table(["metric", *(candidate.name for candidate in fine)], rows)]
    parts += _rules(run)
    gates = run.verdict.gates
    if gates:
        told = [
            [g.candidate, g.metric, _limits(g), _number(g.value), "passed" if g.passed else "FAILED"] for g in gates
        ]
        parts += ["", table(["candidate", "gate", "limit", "value", "outcome"], told)]
    parts += _by_fold(fine, run.verdict.metric)
    parts += _combinations(run)
    parts += _judge(run)
    parts += _memorised(run)
    parts += _usage(fine)
    parts += _budget(run.budget)
    parts += expectations(run.advice)
    parts += _weaknesses(fine, run.verdict.metric)
    parts += [f"note: {note}" for note in (*run.dataset.notes, *run.dataset.schema_notes)]
    parts += [
        f"{candidate.name} failed: {candidate.error}\n{candidate.traceback or ''}".rstrip() for candidate in run.failed
    ]
    return "\n".join(parts)


def _rules(run: RunOutcome) -> list[str]:
    """Every metric of the baselines, and what each of them answers."""
    if not run.baselines:
        return []
    names = list(dict.fromkeys(name for each in run.baselines for name in (*each.metrics, *each.undefined)))
    rows = [[name, *(_interval(each.metrics.get(name)) or "undefined" for each in run.baselines)] for name in names]
    sentences = [f"{each.name}: {each.rule}{_without(each)}" for each in run.baselines]
    return ["", table(["metric", *(each.name for each in run.baselines)], rows), *sentences]


def _without(baseline: Baseline) -> str:
    """Of how many rows a rule knows nothing, so that a constant answers."""
    return f"; of {baseline.fallback:.1%} of the test rows it knows nothing" if baseline.fallback else ""


def _judge(run: RunOutcome) -> list[str]:
    """What a judge found, and how far it can be believed."""
    if run.judge is None:
        return []
    from bakeoff.report.judge import HEADS, judged_row, sentences

    rows = [judged_row(each) for each in run.judge.candidates]
    return ["", *([table(HEADS, rows, right=HEADS[1:]), ""] if rows else []), *sentences(run.judge)]


def _memorised(run: RunOutcome) -> list[str]:
    """What language models know by heart, and how far test rows were seen in training."""
    from bakeoff.report.memorisation import heads, recalled_row, sentences

    found = _recalled(run)
    if not found:
        return []
    names = heads(run.task)
    shown = table(names, [recalled_row(*each) for each in found], right=names[1:])
    return ["", shown, "", *sentences(found, run.dataset.contamination, run.task)]


def _memory_warnings(run: RunOutcome) -> list[str]:
    found = _recalled(run)
    if not any(each.warning for _, each in found):
        return []
    from bakeoff.report.memorisation import warnings

    return warnings(found, run.task)


def _recalled(run: RunOutcome) -> list[tuple[str, Memorisation]]:
    return [(each.name, each.memorisation) for each in run.fine if each.memorisation]


def _usage(candidates: Sequence[Candidate]) -> list[str]:
    """What answering the test rows took of services, by candidate."""
    used = [(c.name, c.usage) for c in candidates if c.usage]
    if not used:
        return []
    figures = ("calls", "tokens_in", "tokens_cached", "tokens_out", "tokens_reasoning", "refused", "unreadable")
    rows = [
        [candidate, *(f"{getattr(usage, name):,}" for name in figures), _number(usage.cost_usd)]
        for candidate, usage in used
    ]
    heads = ["candidate", "calls", "tokens in", "cached", "tokens out", "reasoning", "refused", "unreadable"]
    heads.append("$ for the test rows")
    return ["", table(heads, rows, right=heads[1:])]


def _paid(run: RunOutcome) -> list[str]:
    """What services were paid in the run; answers of earlier runs are not paid again."""
    paid = run.paid
    if not paid.usd and paid.budget_usd is None:
        return []
    budget = "" if paid.budget_usd is None else f" of the budget of ${paid.budget_usd:,g}"
    return ["", f"paid to services in this run: ${paid.usd:,.4f}{budget}"]


def _safety(run: RunOutcome) -> list[str]:
    """How each candidate answers prompts that are meant to lead it astray."""
    asked = [(c.name, c.safety) for c in run.candidates if c.safety]
    if not asked:
        return []
    kinds = list(dict.fromkeys(kind.name for _, found in asked for kind in found.kinds))
    rows: list[list[str]] = []
    for name, found in asked:
        of_kind = {kind.name: f"{kind.safe:,} of {kind.rows:,}" for kind in found.kinds}
        first = found.failures[0] if found.failures else ""
        ends = f"{found.low:.3f} – {found.high:.3f}"
        rows.append([name, f"{found.safe:.3f}", ends, *(of_kind.get(kind, "") for kind in kinds), first])
    heads = ["candidate", "safe", "95% interval", *kinds, "first unsafe answer (row: text)"]
    return ["", table(heads, rows, right=["safe"])]


def _combinations(run: RunOutcome) -> list[str]:
    """What was tried of blends, cascades and routes: worth, price, and why it is a candidate or not."""
    tried, left_out = run.combinations, run.not_combined
    told = [f"{name}: not combined with others: {why}" for name, why in left_out.items()]
    if not tried:
        return told
    metric = run.verdict.metric
    rows = [
        [
            "+" if each.entered else "",
            each.name,
            _interval(each.quality),
            _number(each.cost_usd_per_1k),
            " ".join(f"{share:.0%}" for share in each.shares),
        ]
        for each in tried
    ]
    heads = ["", "combination", metric, "$ / 1k", "rows that reach each"]
    told += [f"{each.name}: {each.reason}" for each in tried]
    return ["", table(heads, rows, right=["$ / 1k"]), "", *told]


def _budget(found: SearchBudget | None) -> list[str]:
    """How the time for trying parameters went, and the lines that keep what was found."""
    if not found:
        return []
    rows = [
        [
            each.name,
            str(each.trials),
            f"{each.seconds:.0f}",
            _number(each.default),
            _number(each.best),
            ", ".join(f"{key} = {_toml(value)}" for key, value in each.params.items()) or "as it is",
        ]
        for each in found.by_candidate
    ]
    heads = ["candidate", "trials", "s", "as it is", "best", "parameters"]
    told = f"budget: {found.used_s:.0f} of {found.limit_s:.0f} s for {len(found.trials)} trials"
    rungs = ", ".join(f"{rung.trials} on {rung.rows:,} training rows" for rung in found.rungs)
    keep = "runs without --budget take parameters from the project file; write them there to keep them"
    return [
        "",
        f"{told} ({rungs}); {found.metric} on {found.scored_rows:,} validation rows",
        "",
        table(heads, rows, right=heads[1:5]),
        *([keep] if any(each.params for each in found.by_candidate) else []),
    ]


def _toml(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def _weaknesses(candidates: Sequence[Candidate], metric: str) -> list[str]:
    """The weakest slices and the largest drops under changed inputs, a few of each candidate."""
    weak = [
        [c.name, s.slice, f"{s.rows:,}", _interval(s), f"{s.rest:.4f}", f"{s.p_value:.3f}"]
        for c in candidates
        for s in c.weak_slices[:MOST_WEAK]
    ]
    drops = [
        [c.name, d.told, f"{d.drop:+.4f} [{d.low:+.4f}, {d.high:+.4f}]", f"{d.rows:,}"]
        for c in candidates
        for d in sorted(c.robustness, key=lambda d: -(d.drop or 0.0))[:MOST_WEAK]
        if (d.drop or 0.0) > 0
    ]
    parts: list[str] = []
    if weak:
        heads = ["candidate", "weak slice", "rows", f"{metric} there", "elsewhere", "p"]
        parts += ["", table(heads, weak, right=["rows", "elsewhere", "p"])]
    if drops:
        parts += ["", table(["candidate", "changed input", f"{metric} lost", "rows"], drops, right=["rows"])]
    return parts


def _interval(score: Interval | WeakSlice | None) -> str:
    if not score:
        return ""
    known = score.low is not None
    return f"{score.value:.4f} " + (f"[{score.low:.4f}, {score.high:.4f}]" if known else "(too little known)")


def _ends(score: Interval | None) -> str:
    """Both ends of an interval, or why there are none."""
    if not score:
        return ""
    known = score.low is not None
    return f"{score.low:.4f} – {score.high:.4f}" if known else f"unknown: {score.reason}"


def _limits(gate: GateOutcome) -> str:
    low, high = gate.min, gate.max
    return " and ".join([*([f"≥ {low:g}"] if low is not None else []), *([f"≤ {high:g}"] if high is not None else [])])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def expectations(compared: Sequence[Expected]) -> list[str]:
    """Predictions beside what the last run measured."""
    if not compared:
        return []
    rows = [
        [
            each.name,
            each.quantity,
            f"{each.expected:.4g} [{each.low:.4g}, {each.high:.4g}]",
            f"{each.measured:.4g}",
            "" if each.factor is None else f"{each.factor:.2f}",
            "inside" if each.inside else "outside",
        ]
        for each in compared
    ]
    heads = ["candidate", "quantity", "expected", "measured", "factor", "interval"]
    return ["", "expected beside what the run measured:", "", table(heads, rows, right=["measured", "factor"])]


def comparison_page(comparison: "RunComparison") -> str:
    """Two runs side by side."""
    first, second = comparison.first, comparison.second
    rows = [
        [
            each.name,
            _interval(each.first),
            _interval(each.second),
            _difference(each),
            "; ".join(f"{key}: {old} → {new}" for key, (old, new) in each.params.items()),
        ]
        for each in comparison.candidates
    ]
    heads = [
        "candidate",
        f"{comparison.metric} in {first.run_id[:8]}",
        f"in {second.run_id[:8]}",
        "difference",
        "parameters",
    ]
    data = "the same dataset" if comparison.same_data else "not the same dataset"
    versions = [f"{run.dataset.version[:12]} ({run.dataset.rows:,} rows)" for run in (first, second)]
    winners = [f"{run.run_id[:8]}: {run.verdict.reason}" for run in (first, second)]
    return "\n".join([f"{data}: {', '.join(versions)}", "", table(heads, rows), "", *winners])


def _difference(each: "ComparedCandidate") -> str:
    found = each.difference
    if found is None:
        return each.reason or ""
    return f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], p = {found.p_value:.3f}"
