"""Names that say nothing of what they hold are going: their number may fall, and never rises again."""

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "bakeoff"
EMPTY = {"found", "told", "said", "asked", "held", "kept"}
STILL = 781
"""How many places there still are; who renames some, writes the new number here."""


def names(tree):
    """Names of functions, arguments, fields and local variables, each once a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name.strip("_")
            yield from (argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))
            stored = (each for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
            yield from {each.id for each in stored}
        if isinstance(node, ast.ClassDef):
            fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
            yield from (each.id for each in fields if isinstance(each, ast.Name))


def test_empty_names_do_not_come_back():
    counts = Counter()
    for path in SOURCE.rglob("*.py"):
        counts[path.relative_to(SOURCE)] += sum(name in EMPTY for name in names(ast.parse(path.read_text("utf-8"))))
    assert counts.total() <= STILL, counts.most_common(10)
