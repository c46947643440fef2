"""One HTML file: no network, no scripts but its own, light and dark, on paper and on a phone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.metrics.intervals import Interval
from bakeoff.report import judge as judging
from bakeoff.report import memorisation as remembering
from bakeoff.report import numbers
from bakeoff.report.answer_charts import FEW_CLASSES
from bakeoff.report.charts import charts
from bakeoff.report.drawing import MOST_SERIES, NARROW, WIDE, svg
from bakeoff.report.explaining import explained_first, importances, others, sentences, skipped
from bakeoff.report.ledger import losses_of
from bakeoff.report.model import Report, ReportedCandidate
from bakeoff.report.phrases import baseline_row, by_fold, gates, headline
from bakeoff.report.templates import inline, templates
from bakeoff.results.candidate import Drop, Slice, WeakSlice

__all__ = ["html"]

FILTERS = (
    *("chance", "count", "cut", "dollars", "duration", "interval", "loss", "milliseconds"),
    *("moment", "number", "share", "signed", "size"),
)
LONG_TEXT = 60
LONGEST_LABEL, LONGEST_ANSWER = 80, 600
"""Characters of a label, and of a generated text, that are shown."""
MOST_CONFUSED = 10
EDGE = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart as the page shows it: SVG for wide and for narrow screens."""

    title: str
    told: str
    wide: Any
    narrow: Any


def html(report: Report, *, card: str | None = None) -> str:
    """The whole report as one page; `card` is the address of the data card, if there is one.

    Raises:
        MissingExtraError: jinja2 or vl-convert is not installed.
    """
    span = _span(report)
    filters: dict[str, Any] = {name: getattr(numbers, name) for name in FILTERS} | {"place": _place(span)}
    environment, markup = templates("an HTML report", filters)
    page = environment.get_template("page.html")
    figures, explained = _figures(report, markup), explained_first(report)
    recalled = remembering.remembering(report.candidates)
    return page.render(
        report=report,
        card=card,
        headline=headline(report),
        losses=losses_of(report.ledger) if report.ledger else None,
        span=span,
        figures=figures,
        colours=_colours(report),
        contents=_contents(report, figures),
        gates=gates(report),
        by_fold=by_fold(report),
        baselines=[baseline_row(each, report.verdict.metric) for each in report.baselines],
        kept_out={gate.candidate for gate in report.verdict.gates if not gate.passed},
        why=explained,
        why_skipped=skipped(explained) if explained else [],
        why_sentences=sentences(report),
        importances=importances(report),
        importance_names=others(report),
        gate_names=list(dict.fromkeys(gate.candidate for gate in report.verdict.gates)),
        classes=_classes(report),
        confused=_confused(report),
        texts=_texts(report),
        weak=_weak(report),
        slices=_slices(report),
        slice_names=[each.name for each in report.ranked if each.slices],
        drops=_drops(report),
        longest_answer=LONGEST_ANSWER if report.task == "generation" else LONGEST_LABEL,
        judged_heads=judging.HEADS,
        judged_rows=[judging.judged_row(each) for each in report.judge.candidates] if report.judge else [],
        judge_told=judging.sentences(report.judge) if report.judge else [],
        recalled_heads=remembering.heads(report.task),
        recalled_rows=[remembering.recalled_row(*each) for each in recalled],
        recalled_told=remembering.sentences(recalled, report.dataset.contamination, report.task),
        by_heart=[name for name, each in recalled if each.warning],
        recalled_warnings=remembering.warnings(recalled, report.task),
        drop_names=[each.name for each in report.ranked if each.robustness],
        rescaled=[each for each in report.ranked if each.calibration],
        **inline(markup, "page.css"),
    )


def _figures(report: Report, markup: Any) -> Mapping[str, Figure]:
    shown = dict(charts(report))
    shown.pop("leaderboard", None)  # the table has bars of its own
    if report.leader and report.leader.card and len(report.leader.card.classes) <= FEW_CLASSES:
        shown.pop("confusion", None)  # a table with numbers
    return {
        name: Figure(title=each.title, told=each.told, wide=markup(svg(each, WIDE)), narrow=markup(svg(each, NARROW)))
        for name, each in shown.items()
    }


def _colours(report: Report) -> dict[str, str]:
    return {each.name: f"var(--s{at % MOST_SERIES + 1})" for at, each in enumerate(report.candidates)}


def _span(report: Report) -> tuple[float, float]:
    """The scale of the leaderboard's bars."""
    ends = [end for each in report.ranked for end in _ends(report.scored(each))] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    room = (high - low) * EDGE or 1.0
    return low - room, high + room


def _ends(scored: Interval) -> tuple[float, float]:
    """Where the bar of a value starts and ends; at the value when too little is known."""
    if scored.low is None or scored.high is None:
        return scored.value, scored.value
    return scored.low, scored.high


def _place(span: tuple[float, float]) -> Callable[[float], float]:
    """A value's place on the scale, in percent."""
    return lambda value: round(100 * (value - span[0]) / (span[1] - span[0]), 2)


def _contents(report: Report, figures: Mapping[str, Figure]) -> list[tuple[str, str]]:
    card = report.leader.card if report.leader else None
    parts = [
        ("leaderboard", "Leaderboard", bool(report.ranked)),
        ("baselines", "Baselines", bool(report.baselines)),
        ("differences", "Differences", bool(report.verdict.comparisons)),
        ("front", "Quality and price", "front" in figures),
        ("gates", "Gates", bool(report.verdict.gates)),
        ("combinations", "Combinations", bool(report.combinations or report.not_combined)),
        ("advice", "Advice", bool(report.advice)),
        ("budget", "Budget", report.budget is not None),
        ("why", "Why it answers so", explained_first(report) is not None),
        ("calibration", "Calibration", "calibration" in figures),
        ("classes", "Classes", bool(card and card.per_class)),
        ("slices", "Slices", any(each.slices for each in report.ranked)),
        ("robustness", "Robustness", any(each.robustness for each in report.ranked)),
        ("memorisation", "Memorisation", any(each.memorisation for each in report.candidates)),
        ("judge", "Judge", report.judge is not None),
        ("rows", "Rows to read", bool(report.rows)),
        ("candidates", "Candidates", True),
        ("ledger", "What was lost", report.ledger is not None),
        ("data", "Data", True),
        ("lineage", "Lineage", True),
    ]
    return [(anchor, title) for anchor, title, there in parts if there]


def _classes(report: Report) -> list[str]:
    """Classes of the leader, the weakest by F1 first."""
    scores = report.leader.card.per_class if report.leader and report.leader.card else {}
    return sorted(scores, key=lambda name: scores[name].f1.value)


def _confused(report: Report) -> list[tuple[str, str, int]]:
    """The pairs of classes that the leader confuses most: true, predicted, rows."""
    card = report.leader.card if report.leader else None
    if card is None or len(card.classes) <= 2:  # noqa: PLR2004
        return []
    pairs = [
        (card.classes[at], card.classes[to], rows)
        for at, line in enumerate(card.confusion)
        for to, rows in enumerate(line)
        if at != to and rows
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:MOST_CONFUSED]


def _texts(report: Report) -> list[str]:
    """Input columns that are read as language: those of that kind, or with long values."""
    kinds = {column.name: column.kind for column in report.origin.columns} if report.origin else {}
    names = report.rows[0].inputs if report.rows else {}
    return [
        name
        for name in names
        if kinds.get(name) == "text" or any(len(row.inputs[name]) > LONG_TEXT for row in report.rows)
    ]


def _weak(report: Report) -> list[tuple[ReportedCandidate, WeakSlice]]:
    return [(each, part) for each in report.ranked for part in each.weak_slices]


def _slices(report: Report) -> list[tuple[Slice, dict[str, Slice]]]:
    """Slices with the candidates' values, those on which the leader is weakest first."""
    found: dict[tuple[str, str], dict[str, Slice]] = {}
    for each in report.ranked:
        for part in each.slices:
            found.setdefault((part.column, part.slice), {})[each.name] = part
    first = report.leader.name if report.leader else ""
    sign = 1 if report.higher_is_better else -1
    listed = [(cells.get(first) or next(iter(cells.values())), cells) for cells in found.values()]
    return sorted(listed, key=lambda item: sign * item[0].value)


def _drops(report: Report) -> list[tuple[str, dict[str, Drop]]]:
    """What each perturbation costs each candidate."""
    found: dict[str, dict[str, Drop]] = {}
    for each in report.ranked:
        for drop in each.robustness:
            found.setdefault(drop.told, {})[each.name] = drop
    return list(found.items())
