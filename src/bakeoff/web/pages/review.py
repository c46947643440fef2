"""The review queue: how far it is, and one row at a time, to be labelled by keyboard."""

from functools import partial
from typing import Any
from urllib.parse import quote

from bakeoff.core.errors import BakeoffError, NotFoundError, UsageError
from bakeoff.feedback.review import ReviewRow
from bakeoff.web.pages.calls import PageCall, Redirect, Shown, number_of

__all__ = ["answer", "listing", "pick", "row", "take"]

MOST_BUDGET = 10_000
LONGEST = 20_000


def listing(call: PageCall) -> Shown:
    """The batches: how far each is, who answered, and the quality that the answers show."""
    review = call.any_project().review
    batches = [each for each in reversed(review.progress()) if call.principal.reaches("endpoint", each.batch.endpoint)]
    estimates: dict[str, Any] = {}
    for each in batches[:5]:
        try:
            estimates[each.batch.id] = review.estimate(each.batch.id) if each.done else None
        except BakeoffError as error:  # too few answers, or a metric that cannot be weighed: it is told in its place
            estimates[each.batch.id] = str(error)
    return Shown(template="review.html", values={"title": "Review", "batches": batches, "estimates": estimates})


def pick(call: PageCall) -> Redirect:
    """Ask for more rows."""
    budget = number_of("budget", call.form.get("budget", ""))
    if budget is not None and not (budget.is_integer() and 1 <= budget <= MOST_BUDGET):
        raise UsageError(f"budget: expected a whole number of rows from 1 to {MOST_BUDGET}, received {budget:g}")
    project = call.any_project()
    batch = call.project("endpoint", project.endpoint).review.pick(
        None if budget is None else int(budget), who=call.who
    )
    return Redirect(url="/review", done=f"{batch.rows} rows of {batch.population} are asked for.")


def take(call: PageCall) -> Redirect:
    """Lease the next row to the caller."""
    return _following(call, call.form.get("batch") or None)


def _following(call: PageCall, batch: str | None, done: str = "") -> Redirect:
    review, reaches = call.any_project().review, partial(call.principal.reaches, "endpoint")
    taken = review.next(who=call.who, batch_id=batch, reaches=reaches)
    if taken is None and batch is not None:  # of this batch all is done: of another there may be more
        taken = review.next(who=call.who, batch_id=None, reaches=reaches)
    if taken is None:
        return Redirect(url="/review", done="Nothing is left for you to label. Thank you.")
    return Redirect(url=f"/review/{quote(taken.batch)}/{taken.position}", done=done)


def _row(call: PageCall) -> ReviewRow:
    batch, position = call.path["batch"], call.path["position"]
    if not (position.isascii() and position.isdigit() and len(position) < 9):  # noqa: PLR2004 - as positions are
        raise UsageError(f"expected the position of a row, received {position[:40]!r}")
    name = f"{batch}/{int(position):06d}"
    queued = call.any_project().review.row(name)
    if not call.principal.reaches("endpoint", queued.endpoint):
        raise NotFoundError(f"expected a row of the review queue (BATCH/POSITION), received {name!r}")
    return queued


def row(call: PageCall) -> Shown:
    """One row: what was asked, what was predicted, why a person is asked, and the answers that there are."""
    review, queued = call.any_project().review, _row(call)
    progress = next(each for each in review.progress(queued.batch))
    return Shown(
        template="review_row.html",
        values={
            "title": "Label",
            "row": queued,
            "progress": progress,
            "mine": progress.by.get(call.who, 0),
            "classes": progress.batch.classes,
            "probabilities": sorted((queued.probabilities or {}).items(), key=lambda pair: -pair[1])[:8],
            "leased": queued.leased_to(call.who, call.now_ms),
        },
    )


def answer(call: PageCall) -> Redirect:
    """Take an answer, skip the row, or give it back; then the next one."""
    review, queued, what = call.any_project().review, _row(call), call.form.get("what", "")
    if what == "skip":
        review.skip(queued, who=call.who)
        return _following(call, queued.batch)
    if what == "back":
        review.give_back(queued, who=call.who)
        return Redirect(url="/review", done="The row is given back.")
    text, comment = call.form.get("label", ""), call.form.get("comment", "").strip() or None
    if not text.strip() or len(text) > LONGEST:
        raise UsageError(f"label: expected an answer of at most {LONGEST} characters, received {text[:40]!r}")
    recorded = review.answer(queued, text, who=call.who, comment=comment)
    if recorded.unusable:
        raise UsageError(f"label: expected one that means something to the model, received {text[:80]!r}")
    return _following(call, queued.batch, done="")
