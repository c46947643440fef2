"""`bakeoff models export`: a language model as files for llama.cpp, Ollama, vLLM and transformers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project

__all__ = ["export"]

HERE = Path()


def export(
    model: Annotated[str, typer.Argument(help="A candidate of the last run, or a version: NAME/2, 2, champion.")],
    to: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    form: Annotated[
        Literal["gguf", "safetensors"],
        typer.Option("--as", metavar="FORM", help="gguf: llama.cpp, Ollama. safetensors: vLLM."),
    ] = "gguf",
    merge: Annotated[bool, typer.Option("--merge", help="Put the adapter into the weights.")] = False,
    quantisation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another precision than the measured one: bf16, q4_0."),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a language model as files for other programs, and check that they answer as the trained one does.

    For example: bakeoff models export champion exported --as gguf
    """
    from dataclasses import asdict

    with open_project(folder) as project:
        made = project.export(model, to, form=form, merged=merge, quantisation=quantisation)
    if as_json:
        emit(asdict(made))
        return
    kind = f" in {made.quantisation}" if made.quantisation else ""
    typer.echo(
        f"{len(made.files)} files in {made.folder}{kind}; {made.mean_gap:.3f} nats a token from what was trained"
    )
    for line in (*made.files, *(f"note: {note}" for note in made.notes)):
        typer.echo(f"  {line}")
