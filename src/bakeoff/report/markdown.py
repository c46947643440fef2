"""The report as Markdown for a pull request: short, and safe with whatever names the data has."""

import re
from collections.abc import Iterable, Sequence

from bakeoff.core.ledger import Ledger
from bakeoff.report.explaining import importances, others
from bakeoff.report.explaining import sentences as explained
from bakeoff.report.judge import HEADS, judged_row, sentences
from bakeoff.report.ledger import losses_of
from bakeoff.report.memorisation import heads, recalled_row, remembering
from bakeoff.report.memorisation import sentences as recalled_told
from bakeoff.report.model import Report
from bakeoff.report.numbers import (
    chance,
    count,
    cut,
    dollars,
    duration,
    interval,
    milliseconds,
    number,
    share,
    signed,
    size,
)
from bakeoff.report.phrases import baseline_row, by_fold, gates, headline, sides
from bakeoff.results.search import SearchBudget

__all__ = ["markdown", "safe"]

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@!])")
LONGEST = 200
MOST_COLUMNS = 8


def markdown(report: Report) -> str:
    """Verdict, leaderboard, differences, gates and data in a page that any Markdown reader shows."""
    verdict, data = report.verdict, report.dataset
    parts = [f"## {safe(report.project)}: {safe(headline(report))}"]
    parts += [f"**{safe(verdict.warning, longest=2000)}**"] if verdict.warning else []
    parts.append(safe(verdict.reason, longest=2000))
    parts += [f"How much that is: {safe(verdict.scale, longest=500)}"] if verdict.scale else []
    parts += _notes(report)
    if report.ranked:
        parts.append(_leaderboard(report))
    if report.baselines:
        parts.append(_baselines(report))
    if by_fold(report):
        parts.append(_by_fold(report))
    parts += [f"**{safe(each.name)} failed:** {safe(each.error or '')}" for each in report.failed]
    parts += [
        f"**{safe(each.name)}:** {safe(each.left_out.sentence, longest=500)}"
        for each in report.left_out
        if each.left_out
    ]
    if verdict.comparisons:
        parts.append(_differences(report))
    if verdict.gates:
        parts.append(_gates(report))
    if report.combinations:
        parts.append(_combinations(report))
    if report.judge:
        parts.append(_table(HEADS, [judged_row(each) for each in report.judge.candidates], right=range(1, len(HEADS))))
        parts.append(safe(" ".join(sentences(report.judge)), longest=2000))
    parts += _explained(report)
    parts += _recalled(report)
    if report.budget:
        parts.append(_budget(report.budget))
    if report.advice:
        parts.append(_advice(report))
    if report.agreement:
        found = report.agreement
        parts.append(
            f"All candidates are right on {share(found.all_right / data.test)} of the test rows, all are wrong on "
            f"{share(found.all_wrong / data.test)}, and only some are right on {share(found.mixed / data.test)}."
        )
    parts.append(f"{count(data.rows)} rows: {sides(data)}. Dataset `{data.version[:12]}`, run `{report.run_id}`.")
    parts += _ledger(report.ledger) if report.ledger else []
    if data.warnings:
        parts.append("\n".join(f"- ⚠ {safe(each.told, longest=500)}" for each in data.warnings))
    return "\n\n".join(parts) + "\n"


def _notes(report: Report) -> list[str]:
    verdict = report.verdict
    notes = [safe(report.positive.sentence)] if report.positive else []
    if verdict.contest:
        notes.append(f"Champion {'promoted' if verdict.promoted else 'kept'}: {safe(verdict.contest)}.")
    if report.shipped:
        notes.append(f"Served: {safe(report.shipped.sentence, longest=500)}.")
    return notes


def _leaderboard(report: Report) -> str:
    metric = report.verdict.metric
    heads = ["Candidate", metric, "95% interval", "$ / million", "p95", "Training", "Size"]
    rows = [
        [
            each.name + (" (winner)" if each.name == report.verdict.winner else ""),
            number(report.scored(each).value),
            interval(report.scored(each)),
            dollars(each.cost_usd_per_1k),
            milliseconds(each.latency_ms.get("p95")),
            duration(each.train_s),
            size(each.size_bytes),
        ]
        for each in report.ranked
    ]
    worth = report.verdict.utilities
    if worth:
        heads.append("Utility")
        rows = [[*row, number(worth.get(each.name))] for row, each in zip(rows, report.ranked, strict=True)]
    return _table(heads, rows, right=range(1, len(heads)))


def _baselines(report: Report) -> str:
    metric = report.verdict.metric
    heads = ["Baseline (no model)", metric, "95% interval", "The winner is better by", "Rule"]
    return _table(heads, [baseline_row(each, metric) for each in report.baselines], right=(1, 2, 3), longest=400)


def _by_fold(report: Report) -> str:
    heads = ["Candidate", *(f"Fold {fold + 1}" for fold in range(report.dataset.folds)), "Spread (SD)"]
    rows = [[name, *map(number, values), number(spread)] for name, values, spread in by_fold(report)]
    return _table(heads, rows, right=range(1, len(heads)))


def _differences(report: Report) -> str:
    heads = [f"Against {report.verdict.best}", "Difference", "95% interval", "p (Holm)"]
    rows = [
        [each.candidate, signed(each.difference), f"{signed(each.low)} to {signed(each.high)}", chance(each.p_holm)]
        for each in report.verdict.comparisons
    ]
    return _table(heads, rows, right=range(1, len(heads)))


def _combinations(report: Report) -> str:
    heads = ["Combination", report.verdict.metric, "$ / million", "Entered", "Why"]
    rows = [
        [
            each.name,
            number(each.quality.value if each.quality else None),
            dollars(each.cost_usd_per_1k),
            "yes" if each.entered else "no",
            each.reason,
        ]
        for each in report.combinations
    ]
    return _table(heads, rows, right=(1, 2), longest=500)


def _explained(report: Report) -> list[str]:
    """What matters to whom, and what explaining the winner came to."""
    lines, names = explained(report), others(report)
    if not lines:
        return []
    parts = [safe(" ".join(lines), longest=2000)]
    if names:
        rows = [
            [columns, *(number(cells[name].drop) if name in cells else "" for name in names)]
            for columns, cells in importances(report)[:MOST_COLUMNS]
        ]
        heads = [f"{report.verdict.metric} lost without", *names]
        parts.append(_table(heads, rows, right=range(1, len(heads))))
    return parts


def _recalled(report: Report) -> list[str]:
    found = remembering(report.candidates)
    if not found:
        return []
    names = heads(report.task)
    told = recalled_told(found, report.dataset.contamination, report.task)
    shown = _table(names, [recalled_row(*each) for each in found], right=range(1, len(names)))
    return [shown, safe("Memorisation: " + " ".join(told), longest=2000)]


def _budget(budget: SearchBudget) -> str:
    told = (
        f"{duration(budget.used_s)} of {duration(budget.limit_s)} went into {count(len(budget.trials))} trials of "
        f"parameters, compared on {count(budget.scored_rows)} validation rows:"
    )
    heads = ["Searched", "Trials", "Time", "As it is", "Best", "Parameters"]
    rows = [
        [
            each.name,
            count(each.trials),
            duration(each.seconds),
            number(each.default),
            number(each.best),
            ", ".join(f"{key} = {value}" for key, value in each.params.items()) or "as it is",
        ]
        for each in budget.by_candidate
    ]
    return told + "\n\n" + _table(heads, rows, right=range(1, 5))


def _advice(report: Report) -> str:
    heads = ["Advised", "Quantity", "Expected", "Interval", "Measured", "Factor"]
    rows = [
        [
            each.name,
            each.quantity,
            number(each.expected),
            interval(each) + ("" if each.inside else " (missed)"),
            number(each.measured),
            "" if each.factor is None else f"{each.factor:.2f}",
        ]
        for each in report.advice
    ]
    return _table(heads, rows, right=(2, 3, 4, 5))


def _ledger(ledger: Ledger) -> list[str]:
    losses = losses_of(ledger)
    parts = [f"{safe(losses.headline[0].upper() + losses.headline[1:], longest=500)}."]
    if loud := (*losses.alarms, *(f"in doubt: {each}" for each in losses.doubts)):
        parts.append("\n".join(f"- ⚠ **{safe(each, longest=600)}**" for each in loud))
    if losses.lines:
        heads, right = [head.capitalize() for head in losses.heads], map(losses.heads.index, losses.numbers)
        parts.append(_table(heads, [each.cells for each in losses.lines], right=right))
    return parts + ([safe(losses.chosen, longest=600)] if losses.chosen else [])


def _gates(report: Report) -> str:
    names = list(dict.fromkeys(gate.candidate for gate in report.verdict.gates))
    rows = [
        [gate, *(f"{'✓' if cells[n].passed else '✗'} {number(cells[n].value)}" if n in cells else "" for n in names)]
        for gate, cells in gates(report)
    ]
    return _table(["Gate", *names], rows)


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), longest: int = LONGEST
) -> str:
    to_right = set(right)
    rule = ["---:" if at in to_right else "---" for at in range(len(heads))]
    lines = [[safe(head) for head in heads], rule, *([safe(cell, longest=longest) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def safe(text: str, *, longest: int = LONGEST) -> str:
    """Text in one line that is read as text, not as Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(cut(text, longest).split()))
