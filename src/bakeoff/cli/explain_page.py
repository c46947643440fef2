"""Explanations as pages for the terminal."""

from bakeoff.cli.tables import table
from bakeoff.report.explaining import explained_first, importances, others, sentences, skipped
from bakeoff.report.numbers import cut
from bakeoff.results.explanation import AnswerPart, RowExplanation
from bakeoff.results.outcome import RunOutcome

__all__ = ["outcome_page", "row_page"]

MOST = 15
WIDE = 48


def outcome_page(outcome: RunOutcome) -> str:
    """What explaining the candidates of a run came to: sentences about the winner, and what matters to whom."""
    explained = explained_first(outcome)
    if explained is None:
        return "no candidate was explained: the run was made without ([decide] explain), or by an earlier bakeoff"
    parts = [f"why {explained.candidate} answers so:", *(f"  {line}" for line in sentences(outcome))]
    names = others(outcome)
    if names:
        rows = [
            [cut(columns, WIDE), *(_drop(cells[name].drop, cells[name].low) if name in cells else "" for name in names)]
            for columns, cells in importances(outcome)
        ]
        parts += ["", table([f"{explained.metric} lost without", *names], rows, right=names)]
        parts.append("* its 95% interval lies above 0; columns that say nearly the same are shuffled together")
    for each in outcome.explanations:
        parts += [f"{each.candidate}, left out: {line}" for line in skipped(each)]
    more = "'bakeoff report --html' draws it; 'bakeoff explain ROW' tells why one row is answered so"
    return "\n".join([*parts, "", more])


def row_page(explained: RowExplanation) -> str:
    """From the average to the row's own score, column by column, and the words that count."""
    sure = "" if explained.probability is None else f" ({explained.probability:.1%})"
    toward = f" for {explained.output}" if explained.output else ""
    rows = [[cut(each.column, WIDE), cut(each.value, WIDE), f"{each.adds:+.4g}"] for each in explained.columns[:MOST]]
    rest = explained.columns[MOST:]
    if rest:
        rows.append([f"{len(rest)} more columns", "", f"{sum(each.adds for each in rest):+.4g}"])
    parts = [
        f"{explained.model} answers {explained.answer}{sure}",
        f"{explained.unit}{toward}: {explained.base:.4g} on average, {explained.score:.4g} here",
        "",
        table(["column", "value", "adds"], rows, right=["adds"]),
        f"by {explained.how}; beside {explained.background} test rows; in all {explained.score - explained.base:+.4g}",
    ]
    if explained.words:
        parts += ["", f"words ({explained.words_how}):", f"  for:     {_words(explained.words, 1)}"]
        parts.append(f"  against: {_words(explained.words, -1)}")
    return "\n".join(parts)


def _words(words: tuple[AnswerPart, ...], sign: int) -> str:
    shown = [f"{each.word} {each.adds:+.3g}" for each in words if each.adds * sign > 0][:MOST]
    return ", ".join(shown) or "none"


def _drop(drop: float, low: float) -> str:
    return f"{drop:.4f}{'*' if low > 0 else ' '}"
