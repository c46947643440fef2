"""Judged runs in the terminal."""

from bakeoff.cli.tables import table
from bakeoff.results.judged_runs import JudgedRuns

__all__ = ["judged_page"]


def judged_page(judged: JudgedRuns) -> str:
    """The verdict, the runs, how far they are apart, and what a person must know beside."""
    verdict, priced = judged.verdict, any(each.cost_usd_per_1k is not None for each in judged.runs)
    grouped = "" if judged.groups is None else f" in {judged.groups:,} groups"
    runs = [
        [
            each.name,
            *(f"{each.values[name].value:.4f} {each.values[name].ends()}" for name in judged.metrics),
            *([f"{each.cost_usd_per_1k:.4g}"] if each.cost_usd_per_1k is not None else []),
            f"{each.rows:,}",
            each.source,
            each.run_id[:8],
        ]
        for each in judged.runs
    ]
    apart = [
        [
            each.candidate,
            each.versus,
            each.metric,
            f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]",
            f"{each.p_holm:.4f}",
        ]
        for each in judged.differences()
    ]
    prices = ["$ per 1,000"] if priced else []
    return "\n".join(
        [
            verdict.reason,
            "",
            table(["run", *judged.metrics, *prices, "rows", "logged as", "id"], runs, right=[*prices, "rows"]),
            "",
            f"{judged.rows:,} rows{grouped}, paired by {judged.key}; better by (95%, all at once):",
            "",
            table(["run", "against", "metric", "better by", "p"], apart, right=["better by", "p"]),
            *(["", *judged.sentences] if judged.sentences else []),
        ]
    )
