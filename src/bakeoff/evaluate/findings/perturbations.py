"""Changes to rows that leave their label as it is: typing mistakes, case, spaces, accents; noise and gaps."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bakeoff.core.conversation import conversation, conversation_columns, question_text
from bakeoff.core.types import Column, ColumnKind

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Perturbation", "perturbations"]

TextChange: TypeAlias = Callable[[str, np.random.Generator], str]

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
FEW_TYPOS, MANY_TYPOS = 0.02, 0.08
"""Shares of letters that are mistyped."""
WIDER_GAPS = 0.2
"""Share of the spaces that are doubled."""
NOISE = 0.1
"""Standard deviation of the noise, as a share of the column's."""
GAPS = 0.1
"""Share of the cells that go missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """A change by name, what it does, and the function that makes it to a table."""

    name: str
    told: str
    apply: "Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]"


def perturbations(columns: Sequence[Column]) -> list[Perturbation]:
    """Those that fit the input columns, the most telling first."""
    return [*_of_texts(_named(columns, "text"), conversation_columns(columns)), *_of_cells(columns)]


def _named(columns: Sequence[Column], *kinds: ColumnKind) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.kind in kinds)


def _neighbours() -> Mapping[str, str]:
    """The letters beside each letter of a QWERTY keyboard: left, right, above, below."""
    beside: dict[str, str] = {}
    for y, row in enumerate(KEYBOARD):
        for x, letter in enumerate(row):
            places = ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1))
            found = [KEYBOARD[b][a] for a, b in places if 0 <= b < len(KEYBOARD) and 0 <= a < len(KEYBOARD[b])]
            beside[letter], beside[letter.upper()] = "".join(found), "".join(found).upper()
    return MappingProxyType(beside)


BESIDE = _neighbours()


def _typos(share: float) -> TextChange:
    """Mistypes that share of letters: a neighbour's key, two letters swapped, or one left out; a third each."""

    def change(text: str, rng: np.random.Generator) -> str:
        letters = list(text)
        hit = np.flatnonzero(rng.random(len(letters)) < share).tolist()
        for at, how in zip(hit, rng.integers(0, 3, len(hit)).tolist(), strict=True):
            here = letters[at]
            if not here.isalpha():
                continue
            if how == 0 and here in BESIDE:
                letters[at] = BESIDE[here][int(rng.integers(len(BESIDE[here])))]
            elif how == 1 and at + 1 < len(letters) and letters[at + 1].isalpha():
                letters[at], letters[at + 1] = letters[at + 1], here
            else:
                letters[at] = ""
        return "".join(letters)

    return change


def _spaces(text: str, rng: np.random.Generator) -> str:
    parts = text.split(" ")
    wide = rng.random(len(parts)) < WIDER_GAPS
    return " " + "".join(part + ("  " if double else " ") for part, double in zip(parts, wide.tolist(), strict=True))


def _without_punctuation(text: str, _: np.random.Generator) -> str:
    return " ".join("".join(c if not unicodedata.category(c).startswith("P") else " " for c in text).split())


def _without_accents(text: str, _: np.random.Generator) -> str:
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _in_last(change: TextChange) -> TextChange:
    """The change of what the user says last, for conversations: their turns stay turns."""

    def changed(text: str, rng: np.random.Generator) -> str:
        turns = conversation(text)
        last = next((at for at in reversed(range(len(turns))) if turns[at]["role"] == "user"), None)
        if last is None:
            return text
        turns[last] = {**turns[last], "content": change(str(turns[last]["content"]), rng)}
        return question_text(turns)

    return changed


def _of_texts(names: tuple[str, ...], conversations: frozenset[str]) -> Iterator[Perturbation]:
    if not names:
        return

    def each(change: TextChange) -> "Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]":
        def apply(table: "pl.DataFrame", rng: np.random.Generator) -> "pl.DataFrame":
            import polars as pl

            def changed(values: "pl.Series") -> "pl.Series":
                how = _in_last(change) if values.name in conversations else change
                texts = [None if text is None else how(text, rng) for text in values.to_list()]
                return pl.Series(values.name, texts, dtype=pl.String)

            return table.with_columns([changed(table[name]) for name in names])

        return apply

    yield Perturbation(
        name="typos", told=f"{FEW_TYPOS:.0%} of letters mistyped, swapped or left out", apply=each(_typos(FEW_TYPOS))
    )
    yield Perturbation(
        name="many_typos",
        told=f"{MANY_TYPOS:.0%} of letters mistyped, swapped or left out",
        apply=each(_typos(MANY_TYPOS)),
    )
    yield Perturbation(name="no_punctuation", told="punctuation left out", apply=each(_without_punctuation))
    yield Perturbation(name="upper_case", told="all in capitals", apply=each(lambda text, _: text.upper()))
    yield Perturbation(name="whitespace", told=f"{WIDER_GAPS:.0%} of spaces doubled", apply=each(_spaces))
    yield Perturbation(name="no_accents", told="accents left out", apply=each(_without_accents))
    yield Perturbation(name="lower_case", told="all in small letters", apply=each(lambda text, _: text.lower()))


def _of_cells(columns: Sequence[Column]) -> Iterator[Perturbation]:
    numbers = _named(columns, "numeric")
    cells = _named(columns, "numeric", "categorical", "boolean", "datetime")

    def noisy(table: "pl.DataFrame", rng: np.random.Generator) -> "pl.DataFrame":
        spread = {name: _spread(table[name]) for name in numbers}
        return table.with_columns(
            [(table[name] + rng.normal(0.0, NOISE * spread[name], table.height)).alias(name) for name in numbers]
        )

    def gappy(table: "pl.DataFrame", rng: np.random.Generator) -> "pl.DataFrame":
        import polars as pl

        gone = {name: pl.Series(rng.random(table.height) < GAPS) for name in cells}
        return table.with_columns([pl.when(~gone[name]).then(pl.col(name)).alias(name) for name in cells])

    if numbers:
        yield Perturbation(
            name="noise", told=f"numbers with Gaussian noise of {NOISE:.0%} of their column's spread", apply=noisy
        )
    if cells:
        yield Perturbation(name="missing", told=f"{GAPS:.0%} of cells missing", apply=gappy)


def _spread(values: "pl.Series") -> float:
    """Standard deviation of the finite values; 0 when there are fewer than two."""
    numbers_n = values.drop_nulls().to_numpy().astype(np.float64)
    finite = numbers_n[np.isfinite(numbers_n)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
