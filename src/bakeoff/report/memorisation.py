"""What language models know by heart, in words that the page, the Markdown and the terminal share."""

from collections.abc import Sequence

from bakeoff.core.types import Task
from bakeoff.report.numbers import count, number, part, share
from bakeoff.results.candidate import Candidate, Memorisation
from bakeoff.results.data import Contamination, Overlap

__all__ = ["heads", "recalled_row", "remembering", "sentences", "warnings"]


def remembering(candidates: Sequence[Candidate]) -> list[tuple[str, Memorisation]]:
    """The candidates that were asked what they know by heart, or were too slow to be asked."""
    return [(each.name, each.memorisation) for each in candidates if each.memorisation]


def heads(task: Task) -> tuple[str, ...]:
    """The heads of the table."""
    what = "Word for word" if task == "generation" else "Right label"
    return ("Candidate", f"{what}, training", f"{what}, held out", "Loss, training", "Loss, held out", "Ratio")


def recalled_row(name: str, found: Memorisation) -> tuple[str, ...]:
    """One candidate's cells under `heads`."""
    known, new = found.train, found.held_out
    if known is None or new is None:
        return name, "–", "–", "–", "–", "–"
    losses = (number(known.loss), number(new.loss), number(found.loss_ratio))
    return name, share(known.verbatim), share(new.verbatim), *losses


def sentences(found: Sequence[tuple[str, Memorisation]], contamination: Contamination | None, task: Task) -> list[str]:
    """What was asked, what it shows, and how far test rows were seen in training."""
    measured = [each for _, each in found if each.train]
    lines: list[str] = []
    if measured:
        rows, tokens = measured[0].rows, measured[0].tokens
        whole = f"says the true answer word for word (the first {tokens} tokens of a longer one)"
        what = whole if task == "generation" else "gives the true label"
        lines.append(
            f"How often a candidate {what}, on {count(rows)} training rows and on as many held-out rows, and its loss "
            "for each token of the truth: what it knows of training rows alone, it has learned by heart."
        )
        lines += warnings(found, task) or ["No candidate knows training rows much better than rows that it never saw."]
        lines += [
            f"{name} was trained on {part(each.seen)} of the training rows." for name, each in found if each.seen < 1
        ]
    lines += [f"{name} was not asked: {each.skipped}." for name, each in found if each.skipped]
    return [*lines, *_seen(contamination)]


def warnings(found: Sequence[tuple[str, Memorisation]], task: Task) -> list[str]:
    """A sentence for each candidate that knows training rows by heart."""
    what, risk = "labels of", "it may do worse on new rows than on those it learned from"
    if task == "generation":
        what, risk = "answers to", "what is private in them can be drawn out of it"
    return [
        f"{name} knows training rows by heart: it gives {share(each.train.verbatim)} of the {what} training rows and "
        f"{share(each.held_out.verbatim)} of those of held-out rows; {risk}."
        for name, each in found
        if each.warning and each.train and each.held_out
    ]


def _seen(found: Contamination | None) -> list[str]:
    parts = [] if found is None else [("text", found.texts), ("answer", found.answers)]
    overlaps = [_overlap(what, each, found.test) for what, each in parts if each and found]
    if found is None or not overlaps:
        return []
    rule = f"as runs of {found.words} words, to {share(found.share)} or more"
    return [f"Of {count(found.test)} test rows, {' and '.join(overlaps)} that training rows hold ({rule})."]


def _overlap(what: str, found: Overlap, test: int) -> str:
    whole = f", {count(found.exact)} of them whole" if found.exact else ""
    return (
        f"{count(found.rows)} ({part(found.rows / max(test, 1))}{whole}) have a{'n' if what == 'answer' else ''} {what}"
    )
