"""Commands about feedback: what was true, ground truth out of files, the history of a label, agreement."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup
from bakeoff.core.errors import UsageError

__all__ = ["add_to"]

HERE = Path()
On = Annotated[
    str | None, typer.Option("--endpoint", "-e", metavar="NAME", help="The endpoint; the project's own by default.")
]


class _GiveByDefault(CommandGroup):
    """`bakeoff feedback ID LABEL` is `bakeoff feedback give ID LABEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["give", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Add the group `feedback` to the app; alone, it gives feedback."""
    group = typer.Typer(name="feedback", cls=_GiveByDefault, rich_markup_mode=None)
    group.callback()(feedback)
    group.command("import")(import_truth)
    for command in (give, history, agreement):
        group.command()(command)
    app.add_typer(group)


def feedback() -> None:
    """Say what was true of predictions (give, which may be left out), and look at what was said.

    For example: bakeoff feedback give ID fresh
    """


def give(
    prediction_id: Annotated[
        str | None, typer.Argument(help="The id of a prediction; with --key, the key that its caller gave it.")
    ] = None,
    label: Annotated[str | None, typer.Argument(help="What was true.")] = None,
    *,
    correction: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The answer that should have been given.")
    ] = None,
    rating: Annotated[float | None, typer.Option(metavar="NUMBER", help="How good the answer was: -1 or +1.")] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Anything to say about it.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Who says so.")] = None,
    key: Annotated[bool, typer.Option("--key", help="The prediction is named by its caller's own key.")] = False,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A file of items: anything that [data] source may name, or JSON; - reads JSON from stdin.",
        ),
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Send to a running endpoint.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Say what was true (or better) for predictions, by id; exit 1 when some of it does not count.

    For example: bakeoff feedback give ID fresh
    """
    from bakeoff.cli.answering import recording, show_recorded

    item: dict[str, Any] | None = None
    if prediction_id is not None:
        said = {"label": label, "correction": correction, "rating": rating, "comment": comment}
        item = {"key" if key else "id": prediction_id} | {
            kind: value for kind, value in said.items() if value is not None
        }
    if (file is None) == (item is None) or (item is not None and len(item) == 1):
        expected = "a prediction's id with its label, --correction, --rating or --comment, or --file"
        given = "neither" if file is None and item is None else "both" if file and item else "an id alone"
        raise UsageError(f"expected {expected}; received {given}")
    if item is not None and source is not None:
        item["source"] = source
    with recording(file, item, url, folder) as parts:
        show_recorded(parts, as_json=as_json, folder=folder)


def import_truth(
    file: Annotated[str, typer.Argument(help="The file: anything that [data] source may name.")],
    *,
    label: Annotated[str, typer.Option(metavar="COLUMN", help="The column that says what was true.")],
    key: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the keys that callers gave their predictions.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Or the column of the predictions' ids.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that says since when it is known.")
    ] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Who says so.")] = None,
    endpoint: On = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Take in ground truth out of a file, by key or by id; exit 1 when some of it does not count yet.

    For example: bakeoff feedback import orders.csv --key order_id --label outcome
    """
    from bakeoff.cli.answering import show_recorded

    with open_project(folder) as project:
        parts = project.import_feedback(file, label=label, key=key, id=ids, time=time, source=source, endpoint=endpoint)
        show_recorded(parts, as_json=as_json, folder=folder)


def history(
    prediction: Annotated[str, typer.Argument(help="The id of a prediction; with --key, its caller's key.")],
    *,
    key: Annotated[bool, typer.Option("--key", help="The prediction is named by its caller's own key.")] = False,
    endpoint: On = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """All that was said of a prediction, by whom, and what counts of it.

    For example: bakeoff feedback history ID
    """
    from datetime import UTC, datetime

    from bakeoff.cli.tables import table
    from bakeoff.feedback.resolve import known_at

    with open_project(folder) as project:
        found = project.feedback_history(prediction, by_key=key, endpoint=endpoint)
    if as_json:
        emit(found.to_json())
        return
    rows = [
        [
            f"{datetime.fromtimestamp(known_at(item) / 1000, UTC):%Y-%m-%d %H:%M:%S}",
            item.source or "",
            *("" if value is None else str(value) for value in (item.truth, item.rating, item.comment)),
        ]
        for item in found.items
    ]
    typer.echo(table(["known (UTC)", "source", "label", "rating", "comment"], rows, right=["rating"]))
    counts = found.resolved
    if counts.rule is not None:
        means = "no class or value of the model" if counts.label is None else repr(counts.label)
        typer.echo(f"counts as {means} ({counts.rule}; {counts.agreeing} of {counts.annotators} annotators)")


def agreement(*, endpoint: On = None, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """How far those who label an endpoint's predictions agree, corrected for chance.

    For example: bakeoff feedback agreement
    """
    from bakeoff.cli.tables import table

    with open_project(folder) as project:
        found = project.agreement(endpoint)
    if as_json:
        emit(found.to_json())
        return
    measures = [("Krippendorff's alpha", found.alpha), ("Fleiss' kappa", found.fleiss)]
    rows = [
        [name, "undefined" if value is None else f"{value:.3f}", f"{found.predictions:,}"] for name, value in measures
    ]
    rows += [
        [f"Cohen's kappa, {pair}", "undefined" if value is None else f"{value:.3f}", f"{count:,}"]
        for pair, (value, count) in found.cohen.items()
    ]
    typer.echo(table(["measure", "value", "predictions"], rows, right=["value", "predictions"]))
    typer.echo(f"{len(found.disputed):,} predictions are disputed")
    if found.disputed:
        next_step(f"feedback history {found.disputed[0]}", folder)
