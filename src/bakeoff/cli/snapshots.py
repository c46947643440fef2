"""Commands about snapshots of files: `bakeoff data snapshot`, `list`, `status`, `diff`, `checkout` and others."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.terminal import one_line

if TYPE_CHECKING:
    from bakeoff.core.records import Version
    from bakeoff.project.snapshots import FilesDifference, SnapshotTransfer

__all__ = ["SNAPSHOT_COMMANDS"]

HERE = Path()
DAMAGED = 1
MOST = 40
Snapshot = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="NAME/NUMBER, NAME/TAG, NAME (the newest), or a hash.")
]
Remote = Annotated[str, typer.Argument(metavar="REMOTE", help="A folder that others reach, or s3://BUCKET/PREFIX.")]


def snapshot(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a folder.")],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="By default that of the file or folder.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag of the version; may be repeated.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Keep a file or folder as it is now, as a version; what did not change is neither read nor stored again.

    For example: bakeoff data snapshot images --tag first
    """
    with open_project(folder) as project:
        version = project.snapshots.take(path, name=name, tags=tuple(tag or ()))
    if as_json:
        emit(asdict(version))
    else:
        typer.echo(_line(version))
        next_step(f"data status {path}", folder)


def list_snapshots(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Snapshots of files and folders, newest first, then dataset versions.

    For example: bakeoff data list
    """
    with open_project(folder) as project:
        snapshots, datasets = project.snapshots.list(), project.datasets()
    if as_json:
        emit({"snapshots": [asdict(each) for each in snapshots], "datasets": [asdict(each) for each in datasets]})
        return
    for version in snapshots:
        typer.echo(_line(version))
    for version in datasets:
        typer.echo(f"dataset  {version.name}/{version.number}  {version.content[:12]}  {version.lineage['rows']} rows")
    if not (snapshots or datasets):
        typer.echo("nothing yet: bakeoff data snapshot PATH takes a snapshot, bakeoff run makes a dataset")


def status(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or folder of which there is a snapshot.")],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The snapshot's, if it is not the folder's.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What of a folder changed since its newest snapshot; ends with 3 if anything did.

    For example: bakeoff data status images
    """
    with open_project(folder) as project:
        _differs(project.snapshots.status(path, name=name), as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A snapshot, dataset:NUMBER, or a file or folder here.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    key: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Tells rows of a table apart; may be repeated.")
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="FILE", help="The file to compare row by row.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw how far columns moved (.png, .svg or .json).")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """What differs of two versions: files; of a table rows added, removed, changed, columns, and distributions.

    For example: bakeoff data diff dataset:1 dataset:2 --plot shift.svg
    """
    with open_project(folder) as project:
        difference = project.snapshots.difference(first, second, key=tuple(key or ()), table=table)
    if plot is not None and difference.table is not None:
        from bakeoff.report.shift_chart import shift_chart

        shift_chart(difference.table.shifts, first, second).save(plot)
        typer.echo(f"wrote {plot}", err=True)
    _differs(difference, as_json=as_json, fails=False)


def checkout(
    which: Snapshot,
    into: Annotated[Path, typer.Argument(metavar="TARGET", help="A new or empty folder; of a file, the file.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a snapshot out, every byte verified.

    For example: bakeoff data checkout images/1 before
    """
    with open_project(folder) as project:
        written = project.snapshots.checkout(which, into)
    if as_json:
        emit({"written": str(written)})
    else:
        typer.echo(f"wrote {written}")


def tag(
    which: Snapshot,
    tags: Annotated[list[str], typer.Argument(metavar="TAG …", help="Tags; one that another version has moves.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Give a snapshot tags.

    For example: bakeoff data tag images/1 reviewed
    """
    with open_project(folder) as project:
        version = project.snapshots.tag(which, *tags)
    if as_json:
        emit(asdict(version))
    else:
        typer.echo(_line(version))


def verify(
    which: Annotated[str | None, typer.Argument(metavar="[SNAPSHOT]", help="One; all without.")] = None,
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Read every byte of snapshots and name the files that are not what was stored; ends with 1 if there is one.

    For example: bakeoff data verify images/1
    """
    with open_project(folder) as project:
        damaged = project.snapshots.verify(which)
    if as_json:
        emit({"damaged": damaged})
    else:
        for name in damaged:
            typer.echo(f"damaged  {one_line(name)}")
        if not damaged:
            typer.echo("all that is stored is what was written")
    if damaged:
        raise typer.Exit(DAMAGED)


def push(
    remote: Remote,
    which: Annotated[list[str] | None, typer.Argument(metavar="[SNAPSHOT …]", help="All without.")] = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Send all of it: what is damaged there becomes whole.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Send snapshots to a folder or bucket that others reach; what is there already is not sent.

    For example: bakeoff data push s3://team/data
    """
    with open_project(folder) as project:
        transferred = project.snapshots.push(remote, *(which or ()), repair=repair)
    _transferred(transferred, "there", as_json=as_json)


def pull(
    remote: Remote,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME …]", help="All without.")] = None,
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Fetch snapshots from a folder or bucket that they were pushed to.

    For example: bakeoff data pull s3://team/data images
    """
    with open_project(folder) as project:
        transferred = project.snapshots.pull(remote, *(names or ()))
    _transferred(transferred, "here, as the remote says", as_json=as_json)


SNAPSHOT_COMMANDS = {
    "snapshot": snapshot,
    "list": list_snapshots,
    "status": status,
    "diff": diff,
    "checkout": checkout,
    "tag": tag,
    "verify": verify,
    "push": push,
    "pull": pull,
}


def _line(version: "Version") -> str:
    made = version.snapshot_origin
    tags = f"  [{', '.join(version.aliases)}]" if version.aliases else ""
    size = f"{made.files:,} files, {made.size_bytes / 1e6:,.1f} MB"
    return one_line(f"snapshot {version.name}/{version.number}  {version.content[:12]}  {size}{tags}")


def _transferred(transferred: "SnapshotTransfer", where: str, *, as_json: bool) -> None:
    if as_json:
        emit(asdict(transferred))
        return
    for name in transferred.snapshots:
        typer.echo(one_line(name))
    for tag, was in transferred.moved_tags.items():
        typer.echo(one_line(f"the tag {tag} moved {where}: {was} had it"))
    typer.echo(f"{transferred.bytes_sent / 1e6:,.1f} MB were new to the other side")


def _differs(difference: "FilesDifference", *, as_json: bool, fails: bool = True) -> None:
    if as_json:
        emit(difference.to_json())
    else:
        from bakeoff.cli.data_pages import difference_page

        typer.echo(difference_page(difference))
    if fails and difference:
        raise typer.Exit(3)
