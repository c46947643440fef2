"""Models of trees that differ in their seed alone, as one: LightGBM's text of the mean of their scores.

A score is the sum of a leaf of each tree, so the mean over s models is the sum over all their trees with leaves divided
by s. What reads, serves, explains or packs one model does the same with the mean.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

__all__ = ["averaged"]

SIZES, TREE, END = "tree_sizes=", "Tree=", "end of trees"
SCALED = ("leaf_value=", "internal_value=")
IMPORTANCES, PARAMETERS = "feature_importances:", "parameters:"


def averaged(texts: Sequence[str]) -> str:
    """The text of the mean of these models, which have the same features and outputs, and equally many trees.

    The order of trees within a round stays, as of several classes each tree is of the class of its place. How often
    features are used is left out: it stands in no use, and that of one model would not be that of all.
    """
    if len(texts) == 1:
        return texts[0]
    parts = [_parts(text) for text in texts]
    header, _, tail = parts[0]
    trees = [_scaled(tree, len(texts)) for _, trees, _ in parts for tree in trees]
    trees = [f"{TREE}{at}{tree[tree.index(chr(10)) :]}" for at, tree in enumerate(trees)]
    sizes = SIZES + " ".join(str(len(tree.encode())) for tree in trees)
    lines = [sizes if line.startswith(SIZES) else line for line in header.splitlines()]
    return "\n".join(lines) + "\n\n" + "".join(trees) + tail


def _parts(text: str) -> tuple[str, list[str], str]:
    """What stands before the trees, the trees, and what stands behind them without the importances."""
    header, _, body = text.partition("\n\n")
    line = next(line for line in header.splitlines() if line.startswith(SIZES))
    content = body.encode()
    ends = [0, *accumulate(int(size) for size in line.removeprefix(SIZES).split())]
    trees = [content[start:end].decode() for start, end in pairwise(ends)]
    tail = content[ends[-1] :].decode()
    assert all(tree.startswith(TREE) for tree in trees), "sizes of trees are where they begin"
    assert tail.startswith(END), "nothing but trees is counted"
    return header, trees, f"{END}\n\n{tail[tail.index(PARAMETERS) :]}" if IMPORTANCES in tail else tail


def _scaled(tree: str, parts: int) -> str:
    """A tree whose values are a share of what they were."""
    return "\n".join(_divided(line, parts) if line.startswith(SCALED) else line for line in tree.split("\n"))


def _divided(line: str, parts: int) -> str:
    name, _, values = line.partition("=")
    return f"{name}=" + " ".join(repr(float(value) / parts) for value in values.split())
