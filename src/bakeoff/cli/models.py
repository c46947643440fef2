"""Commands about models: registered versions, the catalogue for this machine, and the LM Evaluation Harness."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.exporting import export
from bakeoff.cli.harness import harness
from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project, project_folder, show_progress
from bakeoff.cli.root import CommandGroup
from bakeoff.cli.versions import model_card, model_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakeoff.families.language.available import Available
    from bakeoff.families.language.footprint import Machine, Use

__all__ = ["add_to"]

HERE = Path()
GIB = 2**30


def add_to(app: typer.Typer) -> None:
    """Add the group `models` to the app; alone, it lists registered versions."""
    group = typer.Typer(name="models", cls=CommandGroup, invoke_without_command=True, rich_markup_mode=None)
    group.callback()(models)
    group.command()(available)
    group.command()(retire)
    group.command()(harness)
    group.command()(export)
    group.command("card")(model_card)
    group.command("diff")(model_diff)
    group.command()(sign)
    group.command()(verify)
    app.add_typer(group)


def models(context: typer.Context, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Registered model versions, newest first. With available: language models that fit this machine.

    For example: bakeoff models
    """
    if context.invoked_subcommand is not None:
        return
    from dataclasses import asdict

    with open_project(folder) as project:
        found = project.models()
    if as_json:
        emit({"models": [asdict(version) for version in found]})
    else:
        from bakeoff.cli.render import models_page

        typer.echo(models_page(found))
        next_step(f"lineage {found[0].name}/{found[0].number}" if found else "run", folder)


Model = Annotated[str, typer.Argument(metavar="MODEL", help="A version (name/2, 2) or an alias.")]


def sign(
    model: Model = "champion",
    *,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="A private key in PEM; it is not stored.")],
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Sign a model version (OpenSSF Model Signing), so that servers with require_signed load it.

    For example: bakeoff models sign champion --key release.pem
    """
    with open_project(folder) as project:
        signed = project.sign_model(model, key=key)
    if as_json:
        emit({"model": signed})
    else:
        typer.echo(f"{signed} is signed")


def verify(
    model: Model = "champion",
    *,
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="FILE", help="A public key in PEM; else those of [security].")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """See that a model version has exactly the files that a trusted key has signed.

    For example: bakeoff models verify champion --key release.pub.pem
    """
    with open_project(folder) as project:
        signer = project.verify_model(model, keys=key or ())
    if as_json:
        emit({"signer": signer})
    else:
        typer.echo(f"{model} is as it was signed, by the key {signer[:16]}")


def retire(
    *,
    after: Annotated[str, typer.Option(metavar="TIME", help="How long a version must have been unused.")] = "30d",
    apply: Annotated[bool, typer.Option("--apply", help="Archive them; nothing is deleted.")] = False,
    propose: Annotated[bool, typer.Option("--propose", help="Only name them, as without any option.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Model versions that nothing serves, compares with or may go back to: proposed for archiving.

    For example: bakeoff models retire --after 90d
    """
    from dataclasses import asdict

    from bakeoff.config.duration import seconds
    from bakeoff.core.errors import UsageError

    if apply and propose:
        raise UsageError("expected --propose or --apply, received both")
    with open_project(folder) as project:
        proposed = project.cycles.retire(after_days=seconds(after) / 86_400, apply=apply)
    if as_json:
        emit({"models": [asdict(each) for each in proposed], "archived": apply})
        return
    from bakeoff.cli.loop_page import retirements_page

    typer.echo(retirements_page(proposed, archived=apply))


def available(
    *,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="classification, regression or generation.")] = None,
    languages: Annotated[str, typer.Option(metavar="CODES", help="Codes that a model must know: en,de.")] = "",
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of the licence's name.")] = None,
    max_memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="Memory to serve with, in GiB.", min=0)
    ] = None,
    max_latency: Annotated[
        float | None, typer.Option(metavar="MS", help="Milliseconds for a row of 64 tokens.", min=0)
    ] = None,
    gpu_memory: Annotated[
        float | None,
        typer.Option(metavar="GIB", help="Predict for a GPU of so many GiB instead of this machine.", min=1),
    ] = None,
    gpu_tflops: Annotated[
        float | None, typer.Option(metavar="TFLOPS", help="Its speed in 16 bits, in TFLOP/s.", min=1)
    ] = None,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Only predict; do not time the models that are here.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Language models of the catalogue: what fits this machine for prompting, LoRA, full fine-tuning and serving.

    For example: bakeoff models available --languages en,de
    """
    from dataclasses import asdict

    from bakeoff.core.errors import UsageError
    from bakeoff.families.language.available import ModelQuery, available
    from bakeoff.families.language.footprint import assumed_gpu

    wanted = ModelQuery(
        task=task,
        languages=tuple(code.strip() for code in languages.split(",") if code.strip()),
        licence=licence,
        max_memory_bytes=None if max_memory is None else int(max_memory * GIB),
        max_latency_ms=max_latency,
    )
    folder = project_folder(folder)
    cache = folder / ".bakeoff" / "cache"
    if gpu_tflops is not None and gpu_memory is None:
        raise UsageError(f"expected --gpu-memory beside --gpu-tflops {gpu_tflops:g}, received none")
    machine, found = available(
        wanted,
        folder=folder,
        cache=cache if cache.is_dir() else None,
        progress=show_progress,
        probing=not no_probe,
        gpu=None if gpu_memory is None else assumed_gpu(gpu_memory, gpu_tflops),
    )
    if as_json:
        emit({"machine": asdict(machine), "models": [each.to_json() for each in found]})
    else:
        typer.echo(_page(machine, found))


def _page(machine: "Machine", found: "Sequence[Available]") -> str:
    from bakeoff.cli.tables import table

    uses: tuple[Use, ...] = ("prompt", "lora", "full", "serve")
    heads = ["model", "M", "licence", "here", *uses, "ms a row", "lora tok/s", "probe"]
    rows: list[list[str]] = []
    for each in found:
        needed = [
            f"{need.memory_bytes / GIB:.1f}{'' if need.fits else ' ✗'}" for need in map(each.needs.__getitem__, uses)
        ]
        probe = "" if each.probe is None else f"{each.probe.row_ms:.0f} ms ({each.probe.row_ms_error:+.0%})"
        speed = [_known(each.needs["serve"].row_ms), _known(each.needs["lora"].tokens_s)]
        told = [each.name, f"{each.entry.parameters_m:,.0f}", each.entry.licence, "yes" if each.at_hand else ""]
        rows.append([*told, *needed, *speed, probe])
    here = f"{machine.memory_bytes / GIB:.1f} GiB free, {machine.cores} cores, {machine.device}"
    if not machine.cores:
        here = f"predicted for a GPU of {machine.memory_bytes / GIB:.0f} GiB that is not here, never measured on it"
    lead = (
        f"{here}, {_known(machine.flops / 1e9)} GFLOP/s; "
        f"in GiB what each use needs (✗: does not fit). Rows of 64 tokens; a probe's error is the prediction's."
    )
    return f"{lead}\n\n{table(heads, rows, right=['M', *heads[4:10]])}"


def _known(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "–"
