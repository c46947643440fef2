"""Whether test rows were seen in training: equal texts, and texts whose word runs the training rows hold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Schema, Task
from bakeoff.prepare.rows.duplicates import texts_of
from bakeoff.prepare.text.words import shingles_of, units_of
from bakeoff.results import data as results

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["ContaminatedTexts", "contamination", "overlaps"]

RUN_WORDS = 8
COLLISION_WORDS = 13
SEEN_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminatedTexts:
    """What training texts hold of each of n test texts.

    `share_n`: the share of the text's word runs that occur in some training text (0 without words);
    `exact_n`: whether the whole text occurs there, but for case and what stands between words; `collided_n`: whether
    any run of 13 of its words does (the whole, of a shorter one).
    """

    share_n: "NDArray[np.float64]"
    exact_n: "NDArray[np.bool_]"
    collided_n: "NDArray[np.bool_]"

    def overlapping(self, share: float = SEEN_SHARE) -> "NDArray[np.int64]":
        """Numbers of the test texts of which training texts hold at least the share."""
        return np.flatnonzero(self.exact_n | (self.share_n >= share))


def contamination(train: "pl.Series", test: "pl.Series", *, words: int = RUN_WORDS) -> ContaminatedTexts:
    """Compare every test text with all training texts, by runs of `words` words.

    Source: n-gram overlap as in Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: a collision is
    any run of 13 words in common (the paper takes 8 to 13, by the data set). A text of fewer words is one run, so it
    overlaps only when it is equal; characters stand for words where a script writes no space between them.
    """
    seen, asked = shingles_of(train, words), shingles_of(test, words)
    held_s = np.isin(asked.hash_s, seen.hash_s)
    count_n = np.diff(asked.start_n)
    sums = np.concatenate(([0], np.cumsum(held_s)))
    held_n = sums[asked.start_n[1:]] - sums[asked.start_n[:-1]]
    share_n = np.divide(held_n, count_n, out=np.zeros(len(count_n)), where=count_n > 0)
    exact_n = np.zeros(len(count_n), dtype=bool)
    maybe = np.flatnonzero(share_n == 1.0)
    if len(maybe):
        exact_n[maybe] = _whole(test.gather(maybe)).is_in(_whole(train).unique().implode()).to_numpy()
    return ContaminatedTexts(share_n=share_n, exact_n=exact_n, collided_n=_collided(train, test))


def _collided(train: "pl.Series", test: "pl.Series") -> "NDArray[np.bool_]":
    seen, runs = shingles_of(train, COLLISION_WORDS), shingles_of(test, COLLISION_WORDS)
    sums = np.concatenate(([0], np.cumsum(np.isin(runs.hash_s, seen.hash_s))))
    return sums[runs.start_n[1:]] > sums[runs.start_n[:-1]]


def _whole(texts: "pl.Series") -> "pl.Series":
    return units_of(texts).list.join(" ")


def overlaps(
    table: "pl.DataFrame", schema: Schema, task: Task, *, train: "NDArray[np.int64]", test: "NDArray[np.int64]"
) -> results.Contamination:
    """Look for the test rows' text inputs among those of training rows and, for generation, their answers."""

    def of(texts: "pl.Series | None") -> results.Overlap | None:
        if texts is None:
            return None
        found = contamination(texts.gather(train), texts.gather(test))
        return results.Overlap(
            rows=len(found.overlapping()), exact=int(found.exact_n.sum()), collisions=int(found.collided_n.sum())
        )

    answers = table[schema.target] if task == "generation" else None
    return results.Contamination(
        test=len(test),
        texts=of(texts_of(table, schema)),
        answers=of(answers),
        words=RUN_WORDS,
        share=SEEN_SHARE,
    )
