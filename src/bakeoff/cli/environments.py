"""Commands around environments: `bakeoff env …`."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup
from bakeoff.cli.tables import table

__all__ = ["add_to"]

HERE = Path()
VULNERABLE = 3
Which = Annotated[
    str | None,
    typer.Argument(metavar="[WHICH]", help="Its number, the beginning of its hash, or a model; else this one."),
]


def add_to(app: typer.Typer) -> None:
    """Add the group `env` to the app."""
    group = typer.Typer(
        name="env",
        help="Environments that models were made in: see, compare, lock, make again, bill, audit.\n\n"
        "For example: bakeoff env show champion",
        cls=CommandGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (show, diff, lock, create, sbom, audit):
        group.command()(command)
    app.add_typer(group)


def show(which: Which = None, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """An environment: Python, platform, packages. With --json: all of it.

    For example: bakeoff env show champion
    """
    with open_project(folder) as project:
        environment, known = project.environment(which), project.environments()
    if as_json:
        emit(environment.to_json())
        return
    typer.echo(f"Python {environment.python}, {environment.platform}, {len(environment.packages)} packages")
    rows = [
        (name, version, "a folder or an address" if name in environment.local else "")
        for name, version in sorted(environment.packages.items())
    ]
    typer.echo(table(("package", "version", "installed from"), rows))
    next_step("env diff 1" if known else "run", folder)


def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="An environment or model version.")],
    second: Which = None,
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What differs of two environments.

    For example: bakeoff env diff 1
    """
    from dataclasses import asdict

    from bakeoff.environment.rebuild import difference

    with open_project(folder) as project:
        differs = difference(project.environment(first), project.environment(second))
    if as_json:
        emit(asdict(differs))
        return
    pairs = {"Python": differs.python, "platform": differs.platform, **differs.packages}
    rows = [(name, pair[0] or "-", pair[1] or "-") for name, pair in pairs.items() if pair]
    typer.echo(table(("what", first, second or "here"), rows) if rows else "no difference")


def lock(
    which: Which = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="A file; else stdout.")] = None,
    hashes: Annotated[bool, typer.Option("--hashes/--no-hashes", help="Ask the package index for hashes.")] = True,
    folder: Folder = HERE,
) -> None:
    """Pins of an environment with the hashes of their files, for pip --require-hashes.

    For example: bakeoff env lock champion --out requirements.txt
    """
    from bakeoff.environment.rebuild import lock, pins

    with open_project(folder) as project:
        environment = project.environment(which)
    text = lock(environment) if hashes else pins(environment)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    for name in environment.local:
        typer.echo(f"left out: {name}, which was installed from a folder or an address", err=True)


def create(
    which: Annotated[str, typer.Argument(metavar="WHICH", help="An environment or model version.")],
    into: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make the environment again in a folder, with the same Python, by uv.

    For example: bakeoff env create champion again
    """
    from bakeoff.environment.rebuild import build

    with open_project(folder) as project:
        built = build(project.environment(which), into)
    if as_json:
        emit({"folder": str(built.folder), "packages": built.packages, "left_out": built.left_out})
        return
    typer.echo(f"{built.packages} packages in {built.folder}")
    for name in built.left_out:
        typer.echo(f"left out: {name}, which was installed from a folder or an address", err=True)


def sbom(
    which: Which = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="A file; else stdout.")] = None,
    folder: Folder = HERE,
) -> None:
    """A bill of materials (CycloneDX 1.6): packages, models and data.

    For example: bakeoff env sbom champion --out sbom.json
    """
    import json

    with open_project(folder) as project:
        text = json.dumps(project.sbom(which), indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def audit(
    which: Which = None,
    *,
    database: Annotated[
        Path, typer.Option("--database", metavar="PATH", help="OSV records: a folder, or PyPI's all.zip of osv.dev.")
    ],
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Known vulnerabilities of an environment's packages; ends with 3 when there is one. Needs no network.

    For example: bakeoff env audit champion --database all.zip
    """
    from dataclasses import asdict

    from bakeoff.environment.vulnerabilities import audited

    with open_project(folder) as project:
        result = audited(project.environment(which).packages, database)
    if as_json:
        emit(asdict(result))
    else:
        rows = [
            (each.package, each.version, each.id, ", ".join(each.fixed), each.summary)
            for each in result.vulnerabilities
        ]
        if rows:
            typer.echo(table(("package", "version", "id", "mended in", "what"), rows))
        typer.echo(f"{len(rows)} known vulnerabilities of {result.packages} packages, by {result.records} records")
        if result.unread:
            typer.echo(f"{result.unread} records could not be read", err=True)
        if odd := result.unreadable_versions:
            typer.echo(f"{len(odd)} packages have versions that cannot be compared: {', '.join(odd)}", err=True)
    if result.vulnerabilities:
        raise typer.Exit(VULNERABLE)
