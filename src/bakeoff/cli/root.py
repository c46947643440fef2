"""The root of the command line: commands in groups, and options that may stand before or after the command."""

import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]
from typer.core import TyperGroup

__all__ = ["GROUPS", "CommandGroup", "Root", "arranged"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("init", "demo", "advise", "doctor"),
    "The loop": (
        "run",
        "report",
        "explain",
        "status",
        "serve",
        "endpoints",
        "replay",
        "package",
        "plan",
        "predict",
        "feedback",
        "review",
        "monitor",
        "loop",
        "ui",
        "up",
        "top",
    ),
    "Data and models": (
        "data",
        "models",
        "runs",
        "compare",
        "sql",
        "lineage",
        "reproduce",
        "env",
        "prompts",
        "fine-tune",
    ),
    "Before a merge": ("check", "ci", "diff", "hook"),
    "Security": ("tokens", "people", "audit", "certs", "keys", "forget"),
    "Care": ("config", "verify", "gc", "expire", "move", "import-mlflow", "export-mlflow"),
    "For programs": ("mcp", "completion", "schema"),
}
"""Each command stands in one of them."""
LONGEST, LEAST_WIDTH, WIDEST = 1_000, 20, 120
FIRST = frozenset({"-q", "--quiet", "-v", "--verbose"})
"""Options of the root, wherever they stand."""
FOOTER = (
    "Everywhere: -h for help, -q for no progress, -v for logs. With a project: -C FOLDER for it (else this folder, or "
    "the nearest above it with a bakeoff.toml). With results: --json for one JSON document."
)


class CommandGroup(TyperGroup):
    """A group of commands, whose help says of each what it does, in whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """All commands."""
        self.section(formatter, "Commands", self.list_commands(ctx))

    def section(self, formatter: Any, title: str, names: Iterable[str]) -> None:
        """Some of the commands under a title."""
        rows = [(name, self.commands[name].get_short_help_str(LONGEST)) for name in names if name in self.commands]
        with formatter.section(title):
            formatter.write_dl(rows, col_max=max(map(len, self.commands)))


class Root(CommandGroup):
    """The root: `bakeoff -C films --json run -q` is `bakeoff -q run -C films --json`."""

    def main(self, *args: Any, **how: Any) -> Any:
        """Run; or, when a shell asks for it, say what may come next."""
        completion_init()
        return super().main(*args, **how)

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Help as wide as the terminal, where that is not too wide to be read."""
        columns = max(LEAST_WIDTH, min(WIDEST, shutil.get_terminal_size().columns))
        return super().make_context(info_name, args, parent, **{"terminal_width": columns, **extra})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put options where the parser wants them."""
        return super().parse_args(ctx, arranged(args))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands, group by group."""
        del ctx
        for title, names in GROUPS.items():
            self.section(formatter, title, names)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """What all commands take."""
        del ctx
        formatter.write_paragraph()
        formatter.write_text(FOOTER)


def arranged(args: list[str]) -> list[str]:
    """Arguments with those of the root first, and those of its commands after the command.

    >>> arranged(["-C", "films", "--json", "runs", "show", "-q", "3f"])
    ['-q', 'runs', 'show', '3f', '-C', 'films', '--json']
    """
    before = args.index("--") if "--" in args else len(args)
    ours, rest = args[:before], args[before:]
    first = [each for each in ours if each in FIRST]
    ours = [each for each in ours if each not in FIRST]
    moved: list[str] = []
    while ours and (length := _of_commands(ours[0])):
        moved += ours[:length]
        ours = ours[length:]
    return [*first, *ours, *moved, *rest] if ours else [*first, *rest]


def _of_commands(option: str) -> int:
    """How many arguments an option of the commands takes with itself; 0: it is none."""
    if option == "--json" or option.startswith("--project=") or (option.startswith("-C") and option != "-C"):
        return 1
    return 2 if option in {"-C", "--project"} else 0
