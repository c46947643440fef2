"""The command that answers logged calls again."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

if TYPE_CHECKING:
    from bakeoff.actions.replay import Replay

__all__ = ["add_to"]

HERE = Path()


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(replay)


def replay(
    model: Annotated[
        str,
        typer.Argument(help='A model version ("name/2", "2"), an alias, a candidate of the last run, or a release id.'),
    ],
    *,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Calls from then on: 2h or 7d ago, or 2026-01-31[T12:00] (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Calls before then, likewise.")] = None,
    limit: Annotated[int, typer.Option(metavar="ROWS", min=1, help="The most rows; of more, the last ones.")] = 10_000,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "-e", metavar="NAME", help="The endpoint; the project's own by default.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Answer logged calls again with another model, and compare answers, quality and latency.

    For example: bakeoff replay reviews/3 --since 7d
    """
    with open_project(folder) as project:
        replayed = project.replay(
            model, endpoint=endpoint, since_ms=_moment_ms(since), until_ms=_moment_ms(until), limit=limit
        )
    if as_json:
        emit(replayed.to_json())
    else:
        typer.echo(_page(replayed))
        next_step(f"endpoints canary {replayed.model_version}", folder)


def _moment_ms(text: str | None) -> int | None:
    """A time as people write it: so long ago, or a date (UTC).

    Raises:
        UsageError: it is none.
    """
    from bakeoff.config.duration import seconds
    from bakeoff.core.errors import UsageError

    if text is None:
        return None
    try:
        return int((time.time() - seconds(text)) * 1e3)
    except UsageError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"expected a time such as 2h, 7d, 2026-01-31 or 2026-01-31T12:00, received {text!r}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e3)


def _page(replayed: "Replay") -> str:
    from bakeoff.cli.tables import table

    lines = [f"{replayed.model_version} on {replayed.rows:,} logged rows of endpoint {replayed.endpoint!r}"]
    if replayed.left_out:
        lines.append(f"left out: {replayed.left_out:,} earlier rows (--limit)")
    if replayed.expired:
        lines.append(f"gone: {replayed.expired:,} older predictions of that time are past their retention (keep)")
    lines += [
        f"failed: {rows:,} rows ({error}), the first: {replayed.failures[error]}"
        for error, rows in replayed.failed.items()
    ]
    if replayed.agreement is not None:
        share = replayed.agreement
        lines.append(f"the same answer: {share.value:.1%} [{share.low or 0:.1%}, {share.high or 0:.1%}]")
    if replayed.mean_difference is not None:
        lines.append(f"answers are {replayed.mean_difference:+.4g} from the logged ones, in the mean")
    if replayed.comparison is not None:
        beside = replayed.comparison
        numbers = f"{beside.difference:+.4f} [{beside.low:+.4f}, {beside.high:+.4f}]"
        lines.append(f"{beside.metric} beside the logged answers: {numbers} on {replayed.labelled:,} rows with labels")
    else:
        lines.append(f"quality: {replayed.reason}")
    if replayed.other_classes:
        what = f"{replayed.other_classes:,} rows whose label or logged answer is no class of {replayed.model_version}"
        lines.append(f"left out of that: {what}")
    of = replayed.latency
    if of.p50_ms is not None and of.p95_ms is not None:
        before = "none" if of.logged_p50_ms is None else f"{of.logged_p50_ms:.2f} and {of.logged_p95_ms:.2f}"
        lines.append(
            f"latency of single rows, p50 and p95 in ms: {of.p50_ms:.2f} and {of.p95_ms:.2f}; logged: {before}"
        )
    rows = [
        [each.id[:8], str(each.logged), str(each.answer), "" if each.truth is None else str(each.truth)]
        for each in replayed.differing
    ]
    parts = ["\n".join(lines)]
    parts += [table(["prediction", "logged", "replayed", "truth"], rows)] if rows else []
    return "\n\n".join(parts)
