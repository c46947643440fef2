"""`bakeoff package`: a release in the form that somebody runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project

__all__ = ["add_to"]

HERE = Path()


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(package)


def package(
    endpoint: Annotated[str | None, typer.Argument(help="The endpoint; the project's own by default.")] = None,
    *,
    form: Annotated[
        Literal["oci", "docker", "k8s", "kserve", "systemd", "wheel"],
        typer.Option("--as", metavar="FORM", help="oci, docker, k8s, kserve, systemd or wheel."),
    ] = "wheel",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new or empty folder.")] = Path(
        "package"
    ),
    base: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="oci: the base image, an OCI layout or a root filesystem."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the image is called, for k8s and kserve where it is pulled."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="oci: a private key in PEM that signs the image.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="MODULE", help="The Python module's name; the endpoint's by default.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start what was made, and compare its predictions with the release's.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the live release of an endpoint as an image, manifests, a unit of systemd, or a wheel.

    For example: bakeoff package reviews --as wheel -o dist --check
    """
    from dataclasses import asdict

    with open_project(folder) as project:
        made = project.package(output, form=form, endpoint=endpoint, base=base, image=image, key=key, name=name)
        checked = project.check_package(made, endpoint=endpoint) if check else None
    if as_json:
        emit({**asdict(made), "check": checked and asdict(checked)})
        return
    typer.echo(f"{made.model_version} as {made.form} in {made.folder}" + (f", {made.digest}" if made.digest else ""))
    for line in (*made.files, *(f"note: {note}" for note in made.notes)):
        typer.echo(f"  {line}")
    if checked is not None:
        typer.echo(
            f"checked {checked.ran}: {checked.rows} rows answered alike (greatest difference "
            f"{checked.greatest_difference:.1g}), ready after {checked.ready_s:.1f} s"
        )
