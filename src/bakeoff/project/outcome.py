"""The outcome of a run for a notebook: as tables, rows, figures and its page."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import NotFoundError
from bakeoff.core.markup import extended, paragraph
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Json
from bakeoff.project.forks import require_threads
from bakeoff.project.frames import Library, given_back, library_named
from bakeoff.results.candidate import Candidate
from bakeoff.results.outcome import RunOutcome

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.project.project import Project
    from bakeoff.report.drawing import Chart
    from bakeoff.report.model import Report

__all__ = ["ProjectOutcome", "outcome_of"]

HINT = "More: .leaderboard(), .rows(), .verdict, .figure(NAME) with a NAME of .figures, .report()"


class ProjectOutcome(RunOutcome):
    """What a run came to: candidates, verdict, dataset, and all that can be shown of them.

    Tables come in the library of the project (`Project(frames=...)`, or that of the frame it was given). `unchanged`
    says that nothing was done, as nothing had changed since the run that this is the outcome of.

    Example:
        >>> outcome = project.last()
        >>> outcome
        ProjectOutcome('films', run ...: linear wins with f1_macro ...)
        >>> outcome.verdict.winner, [candidate.name for candidate in outcome.candidates]
        ('linear', ['linear', 'boosting'])
        >>> outcome.leaderboard().columns[:5]
        ['candidate', 'family', 'f1_macro', 'low', 'high']
        >>> outcome.rows().columns
        ['review', 'year', 'truth', 'linear', 'linear_probability', 'linear_right', 'boosting', ...]
    """

    __slots__ = ("_frames", "_project", "_report", "unchanged")

    unchanged: bool
    _project: "Project"
    _frames: Library
    _report: "Report | None"

    def __reduce__(self) -> "tuple[Callable[..., Any], tuple[Any, ...]]":
        return _again, (self._project, self.run_id, self._frames, self.unchanged)

    @property
    def results(self) -> RunOutcome:
        """The outcome without the project, as `to_json` and the report read it."""
        return self

    @property
    def document(self) -> Mapping[str, Json]:
        """What `bakeoff run --json` prints; `to_json()`."""
        return self.to_json()

    def leaderboard(self, *, frames: str | None = None) -> Any:
        """A row for each candidate, the best first and those that failed last.

        Columns: `candidate`, `family`, the deciding metric with the ends (`low`, `high`) of its 95% interval, the other
        metrics, `won`, `passed` (all gates; missing without any), `latency_p95_ms`, `cost_usd_per_1k`, `train_s`,
        `size_bytes`, `model` (its version) and `error`.

        Args:
            frames: the library of the table: "polars", "pandas", "arrow" or "numpy".

        Raises:
            UsageError: there is no such library.

        Example:
            >>> project.last().leaderboard().select("candidate", "won").rows()
            [('linear', True), ('boosting', False)]
        """
        import polars as pl

        require_threads()
        metric = self.verdict.metric
        others = list(dict.fromkeys(name for each in self.ranked for name in each.metrics if name != metric))
        gates: dict[str, bool] = {}
        for gate in self.verdict.gates:
            gates[gate.candidate] = gates.get(gate.candidate, True) and gate.passed
        ranked = [*self.ranked, *(each for each in self.candidates if each not in self.ranked)]
        rows = [self._line(each, others, gates) for each in ranked]
        texts = ("candidate", "family", "model", "error")
        types: dict[str, Any] = {
            name: pl.String if name in texts else pl.Boolean if name in {"won", "passed"} else pl.Float64
            for name in rows[0]
        }
        return self._given(pl.DataFrame(rows, schema=types | {"size_bytes": pl.Int64}), frames)

    def _line(self, each: Candidate, others: list[str], gates: Mapping[str, bool]) -> dict[str, object]:
        score = self.score(each)
        return {
            "candidate": each.name,
            "family": each.family,
            self.verdict.metric: score and score.value,
            "low": score and score.low,
            "high": score and score.high,
            **{name: each.metrics[name].value if name in each.metrics else None for name in others},
            "won": each.name == self.verdict.winner,
            "passed": gates.get(each.name),
            "latency_p95_ms": each.latency_ms.get("p95"),
            "cost_usd_per_1k": each.cost_usd_per_1k,
            "train_s": each.train_s,
            "size_bytes": each.size_bytes,
            "model": each.model_version,
            "error": each.error,
        }

    def rows(self, *, inputs: bool = True, frames: str | None = None) -> Any:
        """The test rows in their order: what is true, what each candidate says, and how good that is.

        Columns: the inputs as they were read, `truth`, and for each candidate NAME its answer `NAME`,
        `NAME_probability` (of the answer, where it gives one), and as score `NAME_right` (classification),
        `NAME_error` (regression: answer − truth) or `NAME_f1` (generation: words in common with the truth). An input
        that has one of these names gets a `_` after its own.

        Args:
            inputs: with the columns of the data.
            frames: the library of the table: "polars", "pandas", "arrow" or "numpy".

        Raises:
            UsageError: there is no such library. NotFoundError: an earlier bakeoff made the run and kept no rows.

        Example:
            >>> rows = project.last().rows()
            >>> rows.filter(~rows["linear_right"]).height < rows.height
            True
        """
        import polars as pl

        from bakeoff.actions.report import outcomes_of

        columns: dict[str, pl.Series] = {}
        for each in self.fine:
            truth_n, predictions = outcomes_of(self._project, each)
            columns.setdefault("truth", self._values(truth_n))
            columns[each.name] = self._values(predictions.values_n)
            if predictions.probabilities_nk is not None:
                columns[f"{each.name}_probability"] = pl.Series(predictions.probabilities_nk.max(axis=1))
            name, score = _score(self.task, truth_n, predictions.values_n)
            columns[f"{each.name}_{name}"] = score
        results = pl.DataFrame([series.alias(name) for name, series in columns.items()])
        if inputs:
            read = self._project.rows("test", self.run_id, frames="polars").drop(
                self._project.config.data.target, strict=False
            )
            read = read.rename({name: f"{name}_" for name in read.columns if name in columns})
            results = pl.concat([read, results], how="horizontal")
        return self._given(results, frames)

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that there are of this run.

        Example:
            >>> project.last().figures
            ('leaderboard', 'front', 'differences', 'power', 'calibration', 'confusion')
        """
        from bakeoff.report.charts import charts

        return tuple(charts(self.report()))

    def figure(self, name: str) -> "Chart":
        """A figure of the report, which a notebook shows: with `.png()`, `.svg()`, `.spec` and `.save(file)`.

        Raises:
            NotFoundError: there is no such figure of this run; with the names that there are.

        Example:
            >>> project.last().figure("differences")
            Chart('Differences from linear, paired on the same rows')
        """
        from bakeoff.report.charts import charts

        made = charts(self.report())
        if name not in made:
            raise NotFoundError(
                f"name: expected a figure of this run, one of {', '.join(made)}; received {name!r}. "
                f"{suggestion(name, made)}".rstrip()
            )
        return made[name]

    def report(self) -> "Report":
        """The report of this run, with scorecards, slices and rows worth reading.

        Example:
            >>> from bakeoff.report.html import html
            >>> page = html(project.last().report())
            >>> page[:15]
            '<!doctype html>'
        """
        if self._report is None:
            object.__setattr__(self, "_report", self._project.report(self.run_id))
        assert self._report is not None
        return self._report

    def _values(self, values_n: "NDArray[Any]") -> "pl.Series":
        """Truth or answers; classes as the project's frame has them."""
        import polars as pl

        from bakeoff.project.answers import class_values

        if self.task != "classification":
            return pl.Series(values_n.tolist())
        names = [str(name) for name in values_n.tolist()]
        classes = class_values(list(dict.fromkeys(names)), self._project.config.data, self._project.folder)
        return pl.Series([classes[name] for name in names])

    def _given(self, table: "pl.DataFrame", frames: str | None) -> Any:
        return given_back(table, self._frames if frames is None else library_named(frames, argument="frames"))

    def _repr_html_(self) -> str:
        note = "Nothing had changed since this run. " if self.unchanged else ""
        return extended(super()._repr_html_(), paragraph(note + HINT, "muted"))


def outcome_of(results: RunOutcome, project: "Project", *, frames: Library, unchanged: bool = False) -> ProjectOutcome:
    """The outcome as the project shows it; `frames` is the library of its tables."""
    outcome = ProjectOutcome(**{each.name: getattr(results, each.name) for each in fields(RunOutcome)})
    for name, value in (("unchanged", unchanged), ("_project", project), ("_frames", frames), ("_report", None)):
        object.__setattr__(outcome, name, value)
    return outcome


def _again(project: "Project", run_id: str, frames: Library, unchanged: bool) -> ProjectOutcome:  # noqa: FBT001
    """An outcome in another process: read again from the project."""
    return outcome_of(project.outcome(run_id), project, frames=frames, unchanged=unchanged)


def _score(task: str, truth_n: "NDArray[Any]", values_n: "NDArray[Any]") -> "tuple[str, pl.Series]":
    """What a score is called, and it of each answer."""
    import numpy as np
    import polars as pl

    from bakeoff.metrics.texts import token_f1

    if task == "classification":
        return "right", pl.Series(truth_n.astype(np.str_) == values_n.astype(np.str_))
    if task == "regression":
        return "error", pl.Series(values_n.astype(np.float64) - truth_n.astype(np.float64))
    pairs = zip(truth_n, values_n, strict=True)
    return "f1", pl.Series([token_f1(str(truth), str(text)) for truth, text in pairs])
