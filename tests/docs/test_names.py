"""Names that say nothing of what they hold are going: their number may fall, and never rises again."""

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "bakeoff"
EMPTY = {"found", "told", "said", "asked", "held", "kept"}
STILL = 619
"""How many places there still are; who renames some, writes the new number here."""
CASTS = 18
"""Calls of `typing.cast`, each a claim that nobody checks: read JSON into a class, or check it with `core.narrow`."""


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


@cache
def sources():
    """Each module of the source: where it is, and its text."""
    return {path.relative_to(SOURCE): path.read_text("utf-8") for path in SOURCE.rglob("*.py")}


def modules(pattern):
    """Those in which it stands, parsed: to parse them all takes seconds."""
    return {path: ast.parse(text) for path, text in sources().items() if re.search(pattern, text)}


def test_empty_names_do_not_come_back():
    parsed = modules(rf"\b_*({'|'.join(EMPTY)})_*\b")
    counts = Counter({path: sum(name in EMPTY for name in names(tree)) for path, tree in parsed.items()})
    assert counts.total() <= STILL, counts.most_common(10)


def test_casts_do_not_come_back():
    counts = Counter()
    for path, tree in modules(r"\bcast\b").items():
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        counts[path] += sum(isinstance(called, ast.Name) and called.id == "cast" for called in calls)
    assert counts.total() <= CASTS, counts.most_common(10)


def test_no_two_public_classes_share_a_name():
    """Who reads `Report` in a message or a trace must not have to ask which."""
    places = defaultdict(list)
    for path, text in sources().items():
        for name in re.findall(r"^class ([A-Za-z]\w*)", text, re.MULTILINE):
            places[name].append(str(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
