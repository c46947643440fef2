"""Runs judged by what each logged of the same rows: the verdict, and what could not be paired."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from bakeoff.core.ledger import Loss
from bakeoff.core.markup import notebook, paragraph, table
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import Interval
from bakeoff.results.verdict import Comparison, Verdict

__all__ = ["JudgedRun", "JudgedRuns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """One of the runs. `name` stands for it in the verdict; `source` is what it logged its rows in, `rows` how many.

    `values` are its metrics on the paired rows; `cost_usd_per_1k` is the price of 1,000 rows, where it counts.
    """

    name: str
    run_id: str
    source: str
    rows: int
    values: Mapping[str, Interval]
    cost_usd_per_1k: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRuns:
    """Runs judged by the `rows` that all of them logged, paired by `key`.

    The first of `metrics` decides: `verdict`. `beside_baseline` are all others against the `baseline`, in the deciding
    metric, with intervals that hold at once with those of all pairs. `further` are all others against the best of the
    verdict in the other metrics, with intervals that hold at once for all of these. `lower` are metrics of which less
    is better. `left_out` are rows that could not be paired, with the run (`subject`) and the reason.
    """

    runs: tuple[JudgedRun, ...]
    rows: int
    key: str
    metrics: tuple[str, ...]
    verdict: Verdict
    lower: tuple[str, ...] = ()
    baseline: str | None = None
    beside_baseline: tuple[Comparison, ...] = ()
    further: tuple[Comparison, ...] = ()
    groups: int | None = None
    left_out: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether a run wins and, where a baseline was named, is shown to be better than it."""
        if self.verdict.winner is None:
            return False
        winner = self.verdict.winner
        return self.baseline is None or any(each.superior for each in self.beside_baseline if each.candidate == winner)

    def run(self, name: str) -> JudgedRun:
        """The run that is called so here."""
        return next(each for each in self.runs if each.name == name)

    def differences(self) -> Iterator[Comparison]:
        """Every comparison that was made, each once: against the best, against the baseline, of the other metrics."""
        known = {(each.candidate, each.versus, each.metric): each for each in self.verdict.comparisons}
        known |= {(each.candidate, each.versus, each.metric): each for each in self.beside_baseline}
        known |= {(each.candidate, each.versus, each.metric): each for each in self.further}
        yield from known.values()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person must know beside the verdict's reason."""
        lines = list(self.notes)
        if self.baseline is not None and not self.passed:
            winner = self.verdict.winner
            verb = "nobody is" if winner in {None, self.baseline} else f"{winner} is not"
            lines.append(f"{verb} shown to be better than the baseline {self.baseline} in {self.verdict.metric}.")
        return (
            *lines,
            *(
                f"left out of {each.subject}: {each.count:,} of {each.of:,} rows: {each.reason}"
                for each in self.left_out
            ),
        )

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return {**msgspec.json.decode(msgspec.json.encode(self)), "passed": self.passed}

    def __repr__(self) -> str:
        return f"JudgedRuns({len(self.runs)} runs, {self.rows:,} rows, {self.verdict!r})"

    def _repr_html_(self) -> str:
        verdict = self.verdict
        title = f"{verdict.winner} wins" if verdict.winner else "Nobody wins"
        head = ("run", *self.metrics, "$ per 1,000", "rows", "logged as", "id")
        values = [
            (
                each.name,
                *(f"{each.values[name].value:.4g} {each.values[name].ends('.4g')}" for name in self.metrics),
                each.cost_usd_per_1k,
                each.rows,
                each.source,
                each.run_id[:8],
            )
            for each in self.runs
        ]
        apart = [(c.candidate, c.versus, c.metric, c.difference, c.low, c.high, c.p_holm) for c in self.differences()]
        return notebook(
            title,
            verdict.reason,
            table(head, values),
            table(("run", "against", "metric", "better by", "from", "to", "p"), apart) if apart else "",
            *(paragraph(each, "muted") for each in self.sentences),
        )
