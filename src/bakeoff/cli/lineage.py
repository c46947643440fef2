"""`bakeoff lineage`: what a thing was made from, what came of it; `bakeoff reproduce`: make it again."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

__all__ = ["add_to"]

HERE = Path()
DIFFERENT = 3


def add_to(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(lineage)
    app.command()(reproduce)


def lineage(
    thing: Annotated[
        str | None,
        typer.Argument(
            metavar="[THING]",
            help="A model version, the id of a prediction, release or run, a dataset's hash, a file, or KIND:NAME; "
            "the champion by default.",
        ),
    ] = None,
    *,
    direction: Annotated[
        Literal["up", "down", "both"],
        typer.Option(metavar="WHERE", help="up: what it was made from; down: what came of it; or both."),
    ] = "both",
    nearest: Annotated[
        int, typer.Option(metavar="N", help="Of a prediction: so many training rows that are nearest to it.", min=0)
    ] = 0,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the graph as a picture.")] = None,
    openlineage: Annotated[
        bool, typer.Option("--openlineage", help="Print events of OpenLineage, one in each line.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What a thing was made from, and what came of it: files, data, code, environment, runs, models.

    For example: bakeoff lineage champion --svg lineage.svg
    """
    import json
    from dataclasses import asdict

    from bakeoff.cli import lineage_page
    from bakeoff.cli.terminal import write_text

    with open_project(folder) as project:
        graph = project.lineage_of(thing, direction=direction)
        near = project.training_rows_near(graph.start.partition(":")[2], most=nearest) if nearest else []
        start = graph.node(graph.start)
        model = project.lineage(start.label).to_json() if start.kind == "model" and as_json else {}
        events = project.open_lineage(graph) if openlineage else []
    if svg is not None:
        from bakeoff.report.lineage_picture import lineage_svg

        write_text(svg, lineage_svg(graph))
    if openlineage:
        for event in events:
            typer.echo(json.dumps(event, ensure_ascii=False, default=str))
    elif as_json:
        emit({**model, **graph.to_json(), "nearest": [asdict(each) for each in near]})
    elif svg is not None:
        typer.echo(f"wrote {svg}")
    else:
        typer.echo(lineage_page.page(graph, near))
        next_step("data card", folder)


def reproduce(
    version: Annotated[str, typer.Argument(metavar="MODEL_VERSION", help="NAME/2, 2 or an alias.")] = "champion",
    *,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new or empty folder; by default reproduced-NAME-NUMBER.")
    ] = None,
    environment: Annotated[
        Literal["auto", "here", "new"],
        typer.Option(
            metavar="WHICH", help="new: the recorded one, by uv; here: this one; auto: new unless this is the same."
        ),
    ] = "auto",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a model version again in a clean folder from recorded code, data and environment; ends with 3 if it differs.

    For example: bakeoff reproduce champion --into again
    """
    from dataclasses import asdict

    from bakeoff.cli import lineage_page
    from bakeoff.registry.lineage import label

    with open_project(folder) as project:
        name = label(project.lineage(version).model).replace("/", "-")
        again = project.reproduce(version, into=into or Path(f"reproduced-{name}"), environment=environment)
    if as_json:
        emit(asdict(again))
    else:
        typer.echo(lineage_page.reproduction(again))
    if not again.same:
        raise typer.Exit(DIFFERENT)
