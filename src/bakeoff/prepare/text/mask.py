"""Masking: addresses and numbers become one word for each kind, so that models learn of the kind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.prepare.text.cleaning import Rewrite, TextStep, digest

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MaskKind", "MaskParams", "mask"]

MaskKind: TypeAlias = Literal["url", "email", "number"]

# In the order in which they are replaced. Rust syntax: linear in the length of the text.
PATTERNS: dict[MaskKind, str] = {
    "url": r"""(?i)(?:(?:https?|ftp)://|\bwww\.)[^\s<>"]*[^\s<>"'.,;:!?)\]}]""",
    "email": r"[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,24}\b",
    "number": r"\b\d+(?:[.,]\d+)*\b",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskParams:
    """`kinds` to mask; `template` is what stands for one, with `{kind}` in it."""

    kinds: tuple[MaskKind, ...] = ("url", "email", "number")
    template: str = "<{kind}>"


def _mask(params: MaskParams) -> Rewrite:
    words: dict[MaskKind, str] = {
        kind: params.template.replace("{kind}", kind) for kind in PATTERNS if kind in params.kinds
    }

    def rewrite(texts: "pl.Series") -> "pl.Series":
        for kind, word in words.items():
            texts = texts.str.replace_all(PATTERNS[kind], word.replace("$", "$$"))
        return texts

    return rewrite


mask = TextStep(name="mask", version=2, make=_mask, params=MaskParams, content=digest(PATTERNS.values()))
"""URLs, e-mail addresses and numbers as `<url>`, `<email>`, `<number>`."""
