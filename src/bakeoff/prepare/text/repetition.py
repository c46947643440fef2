"""Gopher's repetition rules: how much of a text is lines, paragraphs and word runs that it has already said.

Source: Rae et al. 2021, §A1.1, "Repetition Removal", and the limits of table A1.
"""

from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.scripts import UNSPACED
from bakeoff.data.snapshot import mix
from bakeoff.prepare.text.segments import words_between_spaces

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["repetition"]

FACTOR = np.uint64(0x9E3779B97F4A7C15)
# Share of characters that the most frequent run of so many words may make up.
TOP_RUN = {2: 0.20, 3: 0.18, 4: 0.16}
# Share of characters that runs of so many words which occur again may make up, overlaps counted once.
REPEATED_RUNS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
LEAST_DENSE_RUN = 8
"""Of texts in which a quarter is in scripts without spaces: shorter runs are a few characters there, and come again in
honest texts (runs of five drop 14 of 42 chapters of a Chinese textbook, runs of eight and more one)."""
# What separates parts, and the shares of parts and of their characters that repeated ones may make up.
PARTS = {"line": ("\n", 0.30, 0.20), "paragraph": ("\n\n", 0.30, 0.20)}


def repetition(texts: "pl.Series") -> "pl.DataFrame":
    """For each text, which rules it breaks; missing texts break none."""
    import polars as pl

    texts = texts.alias("text").fill_null("")
    broken = [*_repeated_parts(texts), *_repeated_runs(texts)]
    return pl.DataFrame(broken)


def _repeated_parts(texts: "pl.Series") -> "list[pl.Series]":
    """A part counts as repeated each time that it comes after the first."""
    import polars as pl

    found: list[pl.Series] = []
    for name, (separator, most_parts, most_characters) in PARTS.items():
        parts = (
            texts.to_frame()
            .with_row_index("row")
            .select("row", part=pl.col("text").str.split(separator))
            .explode("part")
            .with_columns(part=pl.col("part").str.strip_chars())
            .filter(pl.col("part") != "")
            .with_columns(again=~pl.struct("row", "part").is_first_distinct(), length=pl.col("part").str.len_chars())
        )
        shares = parts.group_by("row").agg(
            count=pl.col("again").mean(),
            characters=pl.col("length").filter(pl.col("again")).sum() / pl.col("length").sum(),
        )
        aligned = pl.DataFrame({"row": np.arange(len(texts), dtype=np.uint32)}).join(
            shares, on="row", how="left", maintain_order="left"
        )
        found += [
            (aligned["count"] > most_parts).fill_null(value=False).alias(f"repeated_{name}s"),
            (aligned["characters"] > most_characters).fill_null(value=False).alias(f"repeated_{name}_characters"),
        ]
    return found


def _repeated_runs(texts: "pl.Series") -> "list[pl.Series]":
    """Runs are told apart by 64-bit hashes: among a million of a block two agree by chance once in 40 million times."""
    import polars as pl

    lists = words_between_spaces(texts)
    words = lists.explode(empty_as_null=False, keep_nulls=False)
    count_n = lists.list.len().to_numpy().astype(np.int64)
    text_w = np.repeat(np.arange(len(texts)), count_n)
    hash_w = words.hash().to_numpy()
    length_w = words.str.len_chars().to_numpy().astype(np.int64)
    total_n = np.maximum(np.bincount(text_w, weights=length_w, minlength=len(texts)), 1)
    ends = np.concatenate(([0], np.cumsum(length_w)))
    # A run of n words occurs twice in a text only where its first n - 1 do, so few places are left at once.
    at = np.arange(len(words))
    dense_n = (texts.str.count_matches(f"[{UNSPACED}]") * 4 > texts.str.len_chars()).to_numpy()
    run_r = mix(hash_w ^ mix(text_w.astype(np.uint64)))
    found: list[pl.Series] = []
    for n in range(2, max(REPEATED_RUNS) + 1):
        within = at + n - 1 < len(words)
        within[within] = text_w[at[within]] == text_w[at[within] + n - 1]
        at, run_r = at[within], run_r[within]
        run_r = mix(run_r * FACTOR + hash_w[at + n - 1])
        count_r = pl.DataFrame({"run": run_r}).select(pl.len().over("run")).to_series().to_numpy().astype(np.int64)
        again = count_r > 1
        at, run_r, count_r = at[again], run_r[again], count_r[again]
        if n in TOP_RUN:
            run_characters = count_r * (ends[at + n] - ends[at])
            share_n = _greatest(run_characters, text_w[at], len(texts)) / total_n
            found.append(pl.Series(f"top_run_of_{n}", (share_n > TOP_RUN[n]) & ~dense_n))
        if n in REPEATED_RUNS:
            share_n = _covered_characters(text_w, length_w, at, n, len(texts)) / total_n
            judged_n = ~dense_n | (n >= LEAST_DENSE_RUN)
            found.append(pl.Series(f"repeated_runs_of_{n}", (share_n > REPEATED_RUNS[n]) & judged_n))
    return found


def _greatest(values: "Ints", text: "Ints", texts: int) -> "Ints":
    """The greatest of the values of each text, 0 when it has none."""
    most_n = np.zeros(texts, dtype=np.int64)
    np.maximum.at(most_n, text, values)
    return most_n


def _covered_characters(text_w: "Ints", length_w: "Ints", at: "Ints", n: int, texts: int) -> "NDArray[np.float64]":
    """In each text, the characters within any of the runs of n words."""
    steps = np.bincount(at, minlength=len(text_w) + 1) - np.bincount(at + n, minlength=len(text_w) + 1)
    covered = np.cumsum(steps)[: len(text_w)] > 0
    return np.bincount(text_w[covered], weights=length_w[covered], minlength=texts).astype(np.float64)
