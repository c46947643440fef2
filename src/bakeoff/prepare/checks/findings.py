"""What a person should know about training rows before a model learns from them.

Looked for once per dataset, on a sample that follows from the seed. Everything found is a question, not a
verdict: only who knows the data can say whether a column is known when predictions are asked for.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Json, Schema, Task
from bakeoff.metrics.names import MetricName
from bakeoff.prepare.checks.finding import Finding
from bakeoff.prepare.checks.leakage import leaks
from bakeoff.prepare.columns.constants import largest_share
from bakeoff.results.data import ClassRows

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Findings", "find"]

SAMPLE_ROWS = 20_000
FEW_ROWS = 20
IMBALANCE = 20.0
"""How often the most frequent class may come for each row of the rarest one."""
NEARLY_ALL = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found, and for classification the classes, the most frequent first."""

    found: tuple[Finding, ...]
    classes: tuple[ClassRows, ...] = ()

    @property
    def imbalance(self) -> float | None:
        """Rows of the most frequent class for each row of the rarest; None without classes."""
        return self.classes[0].rows / self.classes[-1].rows if self.classes else None

    def to_json(self) -> dict[str, Json]:
        """As it stands in the document of a run, under `dataset`."""
        body: dict[str, Json] = {"warnings": [each.to_json() for each in self.found]}
        if self.classes:
            classes: list[Json] = [{"name": c.name, "rows": c.rows, "share": c.share} for c in self.classes]
            body |= {"classes": classes, "imbalance": self.imbalance}
        return body


def find(table: "pl.DataFrame", schema: Schema, task: Task, *, seed: int) -> Findings:
    """Look at training rows, in their order: leaks of the target, then constants and copies, then classes."""
    classes = _classes(table[schema.target]) if task == "classification" else ()
    size = min(SAMPLE_ROWS, table.height)
    sample = table[np.sort(np.random.default_rng(seed).choice(table.height, size, replace=False))]
    findings = [*leaks(sample, schema, task, seed=seed), *_alike(sample, schema), *_balance(classes, schema.target)]
    return Findings(found=tuple(findings), classes=classes)


def _alike(sample: "pl.DataFrame", schema: Schema) -> Iterator[Finding]:
    """Columns that hardly differ between rows, and those that do not differ from one another."""
    if sample.height < FEW_ROWS:
        return
    same: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name in schema.inputs:
        series = sample[name]
        share = largest_share(series)
        if share == 1:
            sentence = f"column {name!r} has the same value in all training rows looked at: nothing to learn from"
            yield Finding(kind="constant", column=name, told=sentence, value=share)
            continue
        if share >= NEARLY_ALL:
            sentence = (
                f"column {name!r} has the same value in {share:.1%} of the training rows: hardly anything to learn"
            )
            yield Finding(kind="near_constant", column=name, told=sentence, value=share)
        same[str(series.dtype), int(series.hash().sum())].append(name)
    for first, *others in same.values():
        for other in others:
            if not sample[first].ne_missing(sample[other]).any():
                sentence = f"columns {first!r} and {other!r} are the same: one of them is enough"
                yield Finding(kind="duplicate", column=other, told=sentence)


def _classes(target: "pl.Series") -> tuple[ClassRows, ...]:
    counts = target.alias("name").value_counts(name="rows").sort("rows", "name", descending=[True, False])
    return tuple(ClassRows(name=str(name), rows=rows, share=rows / len(target)) for name, rows in counts.iter_rows())


def _balance(classes: tuple[ClassRows, ...], target: str) -> Iterator[Finding]:
    few = [each for each in classes if each.rows < FEW_ROWS]
    if few:
        named = ", ".join(f"{each.name!r} ({each.rows})" for each in few[-5:])
        sentence = f"{len(few)} of {len(classes)} classes have fewer than {FEW_ROWS} training rows: {named}"
        yield Finding(kind="few_rows", column=target, told=sentence, value=float(few[-1].rows))
    elif classes and (ratio := classes[0].rows / classes[-1].rows) >= IMBALANCE:
        rare, often = classes[-1], classes[0]
        recall, area = (MetricName(base=base, arguments=(rare.name,)) for base in ("recall", "pr_auc"))
        sentence = (
            f"classes are out of balance: {ratio:.0f} training rows are {often.name!r} for each {rare.name!r} "
            f"({rare.share:.2%}); accuracy says little, look at f1_macro, {recall} or {area}"
        )
        yield Finding(kind="imbalance", column=target, told=sentence, value=ratio)
