"""The report as Markdown for a pull request: short, and safe with whatever names the data has."""

import re
from collections.abc import Iterable, Sequence

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
from bakeoff.report.telling import gates, headline

__all__ = ["markdown"]

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@!])")
LONGEST = 200


def markdown(report: Report) -> str:
    """Verdict, leaderboard, differences, gates and data in a page that any Markdown reader shows."""
    verdict, data = report.verdict, report.dataset
    parts = [f"## {_safe(report.project)}: {_safe(headline(report))}", _safe(verdict.reason, longest=2000)]
    if verdict.contest:
        parts.append(f"Champion {'promoted' if verdict.promoted else 'kept'}: {_safe(verdict.contest)}.")
    if report.fine:
        parts.append(_leaderboard(report))
    parts += [f"**{_safe(each.name)} failed:** {_safe(each.error or '')}" for each in report.failed]
    if verdict.comparisons:
        parts.append(_differences(report))
    if verdict.gates:
        parts.append(_gates(report))
    if report.combinations:
        parts.append(_combinations(report))
    if report.agreement:
        found = report.agreement
        parts.append(
            f"All candidates are right on {share(found.all_right / data.test)} of the test rows, all are wrong on "
            f"{share(found.all_wrong / data.test)}, and only some are right on {share(found.mixed / data.test)}."
        )
    parts.append(
        f"{count(data.rows)} rows: {count(data.train)} train, {count(data.validation)} validation, {count(data.test)} "
        f"test (split: {data.split}). Dataset `{data.version[:12]}`, run `{report.run_id}`."
    )
    return "\n\n".join(parts) + "\n"


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
        for each in report.fine
    ]
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
    lines = [[_safe(head) for head in heads], rule, *([_safe(cell, longest=longest) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _safe(text: str, *, longest: int = LONGEST) -> str:
    """Text in one line that is read as text, not as Markdown or HTML."""
    return SPECIAL.sub(r"\\\1", " ".join(cut(text, longest).split()))
