"""`bakeoff models harness`: tasks of the LM Evaluation Harness on a candidate of the last run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

if TYPE_CHECKING:
    from bakeoff.actions.harness import HarnessReport

__all__ = ["harness"]

HERE = Path()


def harness(
    candidate: Annotated[str, typer.Argument(help="A candidate of the last run, with a language model's weights.")],
    *,
    tasks: Annotated[str, typer.Option(metavar="NAMES", help="Names of tasks or groups: hellaswag,my_task.")],
    include_path: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder with tasks of your own (YAML).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Documents of each task; all by default.", min=1)
    ] = None,
    shots: Annotated[
        int | None, typer.Option(metavar="N", help="Examples before each; as the task says by default.", min=0)
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the model's chat template.")] = False,
    batch: Annotated[int, typer.Option(metavar="N", help="What the model reads at once.", min=1)] = 8,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Run tasks of the LM Evaluation Harness on a candidate of the last run; results are kept with its run.

    For example: bakeoff models harness lora --tasks hellaswag --limit 100
    """
    from bakeoff.core.errors import UsageError

    names = tuple(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
    if not names:
        raise UsageError(f"expected --tasks with names, such as hellaswag,my_task; received {tasks!r}")
    with open_project(folder) as project:
        report = project.harness(
            candidate, names, include=include_path, limit=limit, shots=shots, chat=chat, batch=batch
        )
    if as_json:
        emit(report.to_json())
    else:
        typer.echo(_page(report))
        next_step("report", folder)


def _page(report: "HarnessReport") -> str:
    from bakeoff.cli.tables import table

    rows = [
        [
            task.name,
            task.version or "",
            "" if task.shots is None else str(task.shots),
            "" if task.rows is None else f"{task.rows:,}",
            each.name + ("" if each.filter == "none" else f" ({each.filter})"),
            "–" if each.value is None else f"{each.value:.4f}",
            "" if each.stderr is None else f"± {each.stderr:.4f}",
        ]
        for task in report.tasks
        for each in task.metrics
    ]
    heads = ["task", "version", "shots", "documents", "metric", "value", "standard error"]
    about = (
        f"{report.candidate} ({report.family}, {report.model_version}, {report.precision}), "
        f"LM Evaluation Harness {report.harness}; kept with run {report.run_id}"
    )
    return f"{table(heads, rows, right=['shots', 'documents', 'value'])}\n\n{about}"
