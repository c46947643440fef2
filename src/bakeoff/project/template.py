"""Write a first project file from a look at the data."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from bakeoff.core.config import FILE_NAME, DataConfig, loads
from bakeoff.core.errors import UsageError
from bakeoff.core.plugins import names
from bakeoff.core.types import Schema, Task

__all__ = ["write_project"]

MANY_CLASSES = 30
EMBEDDING_MODULES = ("onnxruntime", "tokenizers")


def write_project(folder: Path, *, name: str | None, source: str, target: str, task: str | None) -> Path:
    """Write `bakeoff.toml` into the folder (made if need be) and check it; the file's path.

    Raises:
        UsageError: there is one already, or the name or the task cannot be used.
        DataError: the data or its target cannot be used.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise UsageError(f"expected no project file yet, found {str(file)!r}; edit it, or choose another folder")
    if task not in {None, "classification", "regression", "generation"}:
        raise UsageError(f"expected the task classification, regression or generation, received {task!r}")
    chosen, schema = _look(folder, source, target, cast("Task | None", task))
    slug = re.sub(r"[^a-z0-9_.-]+", "-", (name or folder.resolve().name).lower()).strip("-_.") or "project"
    text = _text(slug, chosen, source, schema)
    loads(text, folder=folder, environ={})
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _look(folder: Path, source: str, target: str, task: Task | None) -> tuple[Task, Schema]:
    import tempfile

    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer
    from bakeoff.data.sources import resolve

    config = DataConfig(source=(source,), target=target)
    with tempfile.TemporaryDirectory() as cache:
        files = resolve(source, folder=folder.resolve(), cache=Path(cache), progress=_quiet)
        table = read(config, {"source": files}).table
        if task is None:
            numeric = target in table.columns and table.schema[target].is_numeric()
            task = "regression" if numeric and table[target].n_unique() > MANY_CLASSES else "classification"
        return task, infer(table, config, task).schema


def _quiet(line: str) -> None:
    del line


def _has_embedding() -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) for module in EMBEDDING_MODULES) and "embedding" in names("bakeoff.families")


def _text(name: str, task: Task, source: str, schema: Schema) -> str:
    texts = schema.of_kind("text")
    candidates = ["linear", "boosting"]
    if texts and _has_embedding():
        candidates.append("embedding")
    metric = "rmse" if task == "regression" else "f1_macro"
    lines = [
        "[project]",
        f"name = {json.dumps(name)}",
        f"task = {json.dumps(task)}",
        "",
        "[data]",
        f"source = {json.dumps(source)}",
        f"target = {json.dumps(schema.target)}",
        *_columns("text", texts),
        *_columns("categorical", schema.of_kind("categorical")),
        *_columns("numeric", schema.of_kind("numeric")),
        *_columns("datetime", schema.of_kind("datetime")),
        *_columns("boolean", schema.of_kind("boolean")),
        "",
        "[decide]",
        f"metric = {json.dumps(metric)}",
        "# gates = { latency_p95_ms = { max = 50 } }",
        "",
        *(f"[candidates.{candidate}]" for candidate in candidates),
        "",
        "[endpoint]",
        f"name = {json.dumps(name)}",
        "",
    ]
    return "\n".join(lines)


def _columns(kind: str, columns: Sequence[str]) -> list[str]:
    return [f"{kind} = {json.dumps(list(columns), ensure_ascii=False)}"] if columns else []
