"""What a judge found, in sentences that the page, the Markdown and the terminal share."""

from bakeoff.metrics.intervals import Interval
from bakeoff.report.numbers import count, interval, number, share
from bakeoff.results.judge import JudgedCandidate, JudgeOutcome

__all__ = ["HEADS", "judged_row", "sentences"]

HEADS = ("Candidate", "Score", "As people would score", "Answers people would like", "Unreadable votes")
NOTICEABLE = 0.05
"""A judge that names the first answer more (or less) often than half by this much has a bias worth a word."""


def judged_row(each: JudgedCandidate) -> tuple[str, str, str, str, str]:
    """One candidate's cells under `HEADS`."""
    return each.name, _cell(each.score), _cell(each.corrected), _cell(each.accepted), count(each.unreadable)


def _cell(found: Interval | None) -> str:
    return "–" if found is None else f"{number(found.value)} [{interval(found)}]"


def sentences(judge: JudgeOutcome) -> list[str]:
    """Who judged what, how far the place decided, how far people agree, what it cost."""
    if judge.error is not None:
        return [f"The judge {judge.model} could not be asked: {judge.error}"]
    against = "the true answers" if judge.against == "reference" else f"the answers of {judge.against}"
    what = f"the answers to {count(judge.rows)} test rows with {against}, each pair in both orders"
    told = [
        f"{judge.model} compared {what}, by: {judge.criteria}",
        "A score of 0.5 is as good as the other side; answers equal to it are a tie without being asked about.",
        *_unread(judge),
        *_places(judge),
    ]
    for what, found in (("compared pairs", judge.pairs), ("rated answers", judge.ratings)):
        if found is not None:
            kappa = "" if found.kappa is None else f", kappa {number(found.kappa)}"
            told.append(
                f"It agrees with people on {share(found.share)} of {count(found.n)} {what} "
                f"[{share(found.low)} to {share(found.high)}]{kappa}."
            )
    if judge.pairs is None and judge.ratings is None:
        told.append("Nobody has said yet how far it can be believed: name [judge] labels, or collect ratings.")
    told += [
        f"{each.name}: not corrected by people: {each.uncorrected}" for each in judge.candidates if each.uncorrected
    ]
    price = "" if judge.cost_usd is None else f", ${judge.cost_usd:.4f}"
    return [*told, f"{count(judge.calls)} calls, {count(judge.tokens)} tokens{price}."]


def _unread(judge: JudgeOutcome) -> list[str]:
    if not judge.unread:
        return []
    rows = f"{count(judge.unread)} of {count(judge.rows)} rows ({share(judge.unread / judge.rows)})"
    return [f"{rows} have no score: a vote on them could not be read, though it was asked for twice."]


def _places(judge: JudgeOutcome) -> list[str]:
    bias = judge.bias
    if bias is None:
        return []
    sure = (bias.low > 0.5 or bias.high < 0.5) and abs(bias.first - 0.5) >= NOTICEABLE  # noqa: PLR2004 - half
    word = "It is swayed by the order" if sure else "The order hardly sways it"
    votes = f"{share(bias.first)} of {count(bias.decided)} decided votes [{share(bias.low)} to {share(bias.high)}]"
    return [
        f"{word}: {votes} are for the answer shown first.",
        f"{share(bias.swapped)} of the pairs change sides when swapped; both orders together cancel it in the scores.",
    ]
