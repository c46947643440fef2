"""Write docs/reference/ from the code: the project file, the command line, HTTP, the SDK, errors.

    python tools/reference.py            # write the pages
    python tools/reference.py --check    # exit 1 and name the pages that do not say what the code says

What is there is what the code declares (pydantic sections, dataclasses of parameters, typer commands, routes, public
docstrings); nothing is typed a second time. The suite runs the check (tests/test_reference.py).
"""

import ast
import dataclasses
import functools
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
import typer.core
from pydantic import BaseModel

import bakeoff
from bakeoff.config import sections as config
from bakeoff.config.params import TASKS
from bakeoff.core import errors, plugins

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
WRITTEN = "Written by `tools/reference.py` from the code; do not edit."
WRAPPERS = {"blend", "cascade", "calibrated", "prepared"}
"""Families that bakeoff itself puts around others; no project names them."""


def prose(documented: object) -> str:
    """A docstring as Markdown: sections of arguments and errors as lists, examples as code."""
    text = inspect.getdoc(documented) or ""
    text = re.sub(r"^Example:\n((?: {4}.*\n?|\n)+)", lambda found: inspect.cleandoc(found[1]), text, flags=re.MULTILINE)
    text = re.sub(r"^(Args|Raises|Returns|Attributes):\n((?: {4}.*\n?|\n)+)", _listed, text, flags=re.MULTILINE)
    return re.sub(r"^(>>> .*(?:\n.+)*)", r"```pycon\n\1\n```", text, flags=re.MULTILINE).strip()


def _listed(section: re.Match[str]) -> str:
    items = re.split(r"\n(?=\S)|(?<=[.]) (?=[A-Z]\w+Error: )", inspect.cleandoc(section[2]))
    entries = [" ".join(item.split()) for item in items if item.strip()]
    named = [re.sub(r"^([\w.*`]+(?:, [\w.]+)*):", r"`\1`:", each) for each in entries]
    return f"{section[1]}:\n\n" + "\n".join(f"- {each}" for each in named) + "\n\n"


CONFIG = """\
`bakeoff.toml`; every value can be set by an environment variable too: `BAKEOFF_SECTION__KEY`. `bakeoff config` prints
each with where it came from. Unknown keys fail with the nearest name."""
CLI = """\
Exit codes: 0 done, 1 error, 2 usage (also a wrong project file), 3 a gate failed, 130 interrupted. With `--json` a
command prints one JSON document on stdout; progress and logs go to stderr."""
HTTP = """\
Errors have a status, `error.message`, `error.type` and, on the routes of OpenAI and Anthropic, their shape."""
ERRORS = """\
All in `bakeoff.core.errors`; `bakeoff.BakeoffError` is the root. Each is of a standard type too, says what was
expected, what was received and what to do, and ends a command with its exit code."""
NAMES = {"str": "string", "int": "whole number", "float": "number", "bool": "true or false"}


def type_name(annotation: Any) -> str:
    """An annotation as a reader of TOML would say it."""
    parts = typing.get_args(annotation)
    origin = typing.get_origin(annotation) or annotation
    name = str(getattr(origin, "__name__", origin))
    if origin is typing.Annotated:
        name = type_name(parts[0])
    elif origin is typing.Literal:
        name = ", ".join(f'"{part}"' if isinstance(part, str) else str(part) for part in parts)
    elif origin in (typing.Union, types.UnionType):
        name = " or ".join(type_name(part) for part in parts if part is not type(None))
    elif name in {"tuple", "list", "frozenset", "Sequence"}:
        name = f"list of {type_name(parts[0])}" if parts else "list"
    elif name in {"dict", "Mapping"} or (isinstance(origin, type) and issubclass(origin, BaseModel)):
        name = "table"
    return NAMES.get(name, name)


def shown_default(default: Any) -> str:
    """A default as TOML would write it; nothing where there is none."""
    if default is None or default is dataclasses.MISSING or repr(default) == "PydanticUndefined":
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, (tuple, list, frozenset)):
        return "[" + ", ".join(shown_default(each) for each in default) + "]"
    if isinstance(default, (int, float)):
        return f"{default:g}" if isinstance(default, float) else str(default)
    return "" if isinstance(default, (dict, BaseModel)) else str(default)


def limits(metadata: Iterable[Any]) -> str:
    """What pydantic's constraints say: "≥ 0, < 1"."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    constraints = [
        part for each in metadata for part in (each.metadata if hasattr(each, "metadata") else [each])
    ]  # a Field within Annotated carries its own
    return ", ".join(
        f"{sign} {getattr(each, name)}" for each in constraints for name, sign in signs.items() if hasattr(each, name)
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def keys_of(section: type[BaseModel]) -> str:
    """The keys of a section of the project file."""
    rows = [
        (
            f"`{key}`",
            ", ".join(filter(None, (type_name(field.annotation), limits(field.metadata)))),
            "required"
            if field.is_required()
            else f"`{shown_default(field.default)}`"
            if shown_default(field.default)
            else "",
        )
        for key, field in section.model_fields.items()
    ]
    return table(("key", "value", "default"), rows)


def params_of(declared: type) -> str:
    """The parameters of a family or step."""
    hints = typing.get_type_hints(declared, include_extras=True)
    rows = []
    for field in dataclasses.fields(declared):
        annotation = hints[field.name]
        parts = typing.get_args(annotation)
        metadata = annotation.__metadata__ if typing.get_origin(annotation) is typing.Annotated else ()
        if not metadata:  # the constraint may stand within "… | None"
            metadata = tuple(each for part in parts for each in getattr(part, "__metadata__", ()))
        only = field.metadata.get(TASKS)
        rows.append(
            (
                f"`{field.name}`" + (f" ({', '.join(only)})" if only else ""),
                ", ".join(filter(None, (type_name(annotation), limits(metadata)))),
                f"`{shown_default(field.default)}`" if shown_default(field.default) else "",
            )
        )
    return table(("parameter", "value", "default"), rows) if rows else "No parameters."


def sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections of the project file with their names."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        for part in (annotation, *typing.get_args(annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield prefix + name, part


def built_in(group: plugins.Group) -> Iterator[tuple[str, Any]]:
    """What bakeoff itself registers; what other packages register has its own pages."""
    for name in plugins.names(group):
        each = plugins.load(group, name)
        owner = each if hasattr(each, "__module__") else type(each)
        if owner.__module__.startswith("bakeoff."):
            yield name, each


def config_page() -> str:
    """The project file: sections, families, steps."""
    parts = [
        "# The project file",
        CONFIG,
    ]
    for name, section in sections(config.Config):
        title = f"[{name}.NAME]" if name == "candidates" else f"[{name}]"
        parts += [f"## `{title}`", prose(section), keys_of(section)]
    parts += ["### A gate of `[decide] gates`", prose(config.Gate), keys_of(config.Gate)]
    parts += ["### A search of `[candidates.NAME.search]`", prose(config.SearchConfig), keys_of(config.SearchConfig)]
    parts += ["### `[store.encryption]`", prose(config.EncryptionConfig), keys_of(config.EncryptionConfig)]
    parts += ["### `[store.step_cache]`", prose(config.StepCacheConfig), keys_of(config.StepCacheConfig)]
    parts.append("## Families and their parameters")
    for name, family in built_in("bakeoff.families"):
        if name in WRAPPERS:
            continue
        parts += [
            f"### `{name}`",
            prose(sys.modules[family.__module__]),
            prose(family.params),
            params_of(family.params),
        ]
    parts.append("## Preparation steps and their parameters")
    for name, step in built_in("bakeoff.prepare"):
        description = (
            prose(step.params) if step.params.__doc__ and not step.params.__doc__.startswith("NoParams(") else ""
        )
        parts += [f"### `{name}`", f"Kind: {step.kind}; version {step.version}.", description, params_of(step.params)]
    return "\n\n".join(filter(None, parts))


def commands(group: typer.core.TyperGroup, context: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every command below a group, depth first, in the order of `--help`."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = typer.Context(command, info_name=name, parent=context)
        yield f"{path} {name}", command, inner
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, inner, f"{path} {name}")


def cli_page() -> str:
    """The command line."""
    from bakeoff.cli.main import app

    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    parts = [
        "# The command line",
        CLI,
    ]
    for path, command, context in commands(root, typer.Context(root, info_name="bakeoff"), "bakeoff"):
        parts += [f"## `{path}`", inspect.cleandoc(command.help or "")]
        if isinstance(command, typer.core.TyperGroup):
            continue
        rows = [record for each in command.get_params(context) if (record := _parameter(each, context))]
        if rows:
            parts.append(table(("argument or option", "meaning"), rows))
    return "\n\n".join(filter(None, parts))


def _parameter(each: Any, context: Any) -> tuple[str, str] | None:
    if isinstance(each, typer.core.TyperArgument):
        name = each.metavar or str(each.name).upper()
        return (f"`{name}`" if each.required else f"`[{name}]`"), each.help or ""
    record = each.get_help_record(context)
    return None if record is None or "--help" in record[0] else (f"`{record[0]}`", record[1])


def http_page() -> str:
    """The routes of `bakeoff serve`."""
    from unittest.mock import MagicMock

    from bakeoff.web.permissions import permission_of
    from bakeoff.web.serving.app import create_app

    served = create_app(MagicMock(), MagicMock())
    rows = []
    for route in served.routes:
        methods = ", ".join(sorted(set(route.methods or ()) - {"HEAD"}))
        rows.append(
            (f"`{methods} {route.path}`", str(permission_of(route.endpoint)), prose(route.endpoint).split("\n\n")[0])
        )
    return "\n\n".join(
        (
            "# HTTP: `bakeoff serve`",
            HTTP,
            table(("route", "permission", "what it does"), rows),
        )
    )


def errors_page() -> str:
    """The errors that are raised on purpose."""
    raised = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    rows = [
        (
            f"`{each.__name__}`",
            ", ".join(f"`{base.__name__}`" for base in each.__bases__),
            str(each.exit_code),
            prose(each).split("\n\n")[0],
        )
        for each in raised
        if issubclass(each, errors.BakeoffError)
    ]
    return "\n\n".join(
        (
            "# Errors",
            ERRORS,
            table(("error", "is a", "exit code", "when"), rows),
        )
    )


def python_page() -> str:
    """The public names of `bakeoff` and the methods of its classes."""
    parts = ["# Python", "What `import bakeoff` offers. Everything else may change between versions."]
    for name in bakeoff.__all__:
        each = getattr(bakeoff, name)
        if isinstance(each, str):
            continue
        parts += [f"## `bakeoff.{name}`", *_signed(name, each), prose(each)]
        if isinstance(each, type) and not issubclass(each, Exception):
            for method, function in _public(each):
                parts += [f"### `{name}.{method}`", *_signed(method, function), prose(function)]
    return "\n\n".join(filter(None, parts))


def _public(owner: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(owner).items():
        if not name.startswith("_") and isinstance(
            member, (types.FunctionType, property, functools.cached_property, classmethod, staticmethod)
        ):
            yield name, member.__func__ if isinstance(member, (classmethod, staticmethod)) else member


def _signed(name: str, each: object) -> list[str]:
    """A function's signature as its source writes it."""
    if not inspect.isfunction(each):
        return []
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list, function.body = [], [ast.Pass()]
    function.args.args = [one for one in function.args.args if one.arg not in {"self", "cls"}]
    written = ast.unparse(function).removeprefix("def ").removesuffix(":\n    pass")
    written = re.sub(r"'([\w.]*[A-Z][^']*)'", r"\1", written)  # annotations that are not evaluated
    return [f"```python\n{name}{written.removeprefix(function.name)}\n```"]


PAGES: dict[str, Callable[[], str]] = {
    "config.md": config_page,
    "cli.md": cli_page,
    "http.md": http_page,
    "errors.md": errors_page,
    "python.md": python_page,
}


def stale() -> list[str]:
    """The pages that are not what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text("utf-8") != whole(page)
    ]


def whole(page: Callable[[], str]) -> str:
    """A page with its head, as it stands in the file."""
    title, _, body = page().partition("\n\n")
    return f"{title}\n\n{WRITTEN}\n\n{body}\n"


def main() -> None:
    """Write the pages, or check them."""
    if "--check" in sys.argv:
        names = stale()
        sys.exit(f"not what the code says: {', '.join(names)}; run python tools/reference.py" if names else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(whole(page), encoding="utf-8")


if __name__ == "__main__":
    main()
