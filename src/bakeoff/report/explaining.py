"""Why candidates answer as they do, in sentences and tables: what the page, the Markdown and the terminal say alike."""

from collections.abc import Mapping

from bakeoff.metrics.registry import is_higher_better
from bakeoff.report.explanation_charts import group_name, learning_sentence
from bakeoff.report.numbers import count, cut, duration, number
from bakeoff.results.explanation import Explanation, Importance
from bakeoff.results.outcome import RunOutcome

__all__ = ["explained_first", "importances", "others", "sentences", "skipped", "words_of"]

MOST = 15
FEW = 5
LONGEST = 40


def explained_first(outcome: RunOutcome) -> Explanation | None:
    """That of the winner, or else of the best."""
    return outcome.explanation(outcome.verdict.winner or outcome.verdict.best)


def sentences(outcome: RunOutcome) -> list[str]:
    """What explaining the winner (or the best) came to: what matters, which words count, what more rows would bring."""
    explained = explained_first(outcome)
    if explained is None:
        return []
    higher = is_higher_better(explained.metric, outcome.task) is not False
    lines: list[str] = []
    sure = [each for each in explained.importance if each.low > 0]
    if explained.importance:
        shown = ", ".join(f"{group_name(each.columns)} ({number(each.drop)})" for each in sure[:FEW])
        rest = f"; {count(len(sure) - FEW)} more matter" if len(sure) > FEW else ""
        least = "no column by itself is shown to matter: the intervals of all hold 0"
        lines.append(
            f"What {explained.metric} loses when a column is shuffled: {shown}{rest}." if sure else f"Columns: {least}."
        )
    lines += [
        f"Words for {output}: {words}." if output else f"Words: {words}." for output, words in words_of(explained)
    ]
    if explained.learning and (line := learning_sentence(explained.learning, higher_is_better=higher)):
        lines.append(line)
    if explained.rows:
        lines.append(
            f"Explained on up to {count(explained.rows)} test rows, in {duration(explained.seconds)} of the "
            f"{duration(explained.limit_s)} given."
        )
    return lines


def words_of(explained: Explanation) -> list[tuple[str, str]]:
    """For each output the words that add most to it."""
    listed: dict[str, list[str]] = {}
    for each in explained.words:
        if each.adds > 0 and len(listed.setdefault(each.output, [])) < FEW:
            listed[each.output].append(f"“{cut(each.word, LONGEST)}”")
    return [(output, ", ".join(words)) for output, words in listed.items() if words]


def skipped(explained: Explanation) -> list[str]:
    """What was left out of an explanation, and why."""
    return [f"{each.part}: {each.reason}" if each.part != "all" else each.reason for each in explained.skipped]


def others(outcome: RunOutcome) -> list[str]:
    """The candidates whose importances are known, the winner first."""
    return [each.candidate for each in outcome.explanations if each.importance]


def importances(outcome: RunOutcome) -> list[tuple[str, Mapping[str, Importance]]]:
    """The columns (or columns alike) that matter most to the winner, with what each candidate loses without them."""
    table: dict[tuple[str, ...], dict[str, Importance]] = {}
    for explained in outcome.explanations:
        for each in explained.importance:
            table.setdefault(each.columns, {})[explained.candidate] = each
    return [(", ".join(columns), cells) for columns, cells in list(table.items())[:MOST]]
