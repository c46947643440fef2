"""What a language model knows by heart: answers that it says word for word, and how likely true answers are to it.

Held-out rows say what can be known without having seen a row; what goes beyond that was memorised. A text counts as
memorised when greedy decoding after its row says it (its first 50 tokens, when it is longer).

Source: Carlini et al., "Quantifying Memorization Across Neural Language Models", ICLR 2023, section 3 (50 tokens); the
ratio of losses: Carlini et al., "Extracting Training Data from Large Language Models", USENIX Security 2021.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.abilities import abilities_of
from bakeoff.core.protocols import Model
from bakeoff.core.types import Json
from bakeoff.data.row_numbers import FOLD, rows_of_fold

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TOKENS", "memorisation", "memorised"]

TOKENS = 50
NOTICEABLE = 0.2
"""A gap of shares between training and held-out rows from which a person is warned, if it is beyond chance."""
SURE = 1.96
BATCH = 10
LONGEST_S = 60.0
DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What a model says of rows: the share that it knows word for word, and the mean loss of a token of their truth."""

    verbatim: float
    loss: float | None

    def to_json(self) -> dict[str, Json]:
        return {"verbatim": self.verbatim, "loss": _short(self.loss)}


def memorised(
    model: Model,
    table: "pl.DataFrame",
    split: Mapping[str, NDArray[Any]],
    target: str,
    *,
    rows: int,
    seed: int,
    without_first_fold: Model | None = None,
) -> dict[str, Json]:
    """`memorisation` of an evaluation's model, on rows of the prepared table.

    With folds, the model that was fitted without the first one is asked: the other has seen all rows.
    """
    subject = without_first_fold or model
    train_n, held_n = split["train"], split["test"]
    if without_first_fold is not None:
        train_n, held_n = rows_of_fold(split, 0)[0], np.flatnonzero(split[FOLD] == 0)
    taken = subject.chosen.get("rows")  # what a fit that took a part of the training rows tells
    seen = taken / len(train_n) if isinstance(taken, int) and 0 < taken < len(train_n) else 1.0
    return memorisation(subject, table[train_n], table[held_n], target, rows=rows, seed=seed, seen=seen)


def memorisation(
    model: object,
    train: "pl.DataFrame",
    held_out: "pl.DataFrame",
    target: str,
    *,
    rows: int,
    seed: int,
    seen: float = 1.0,
    longest_s: float = LONGEST_S,
) -> dict[str, Json]:
    """What a model knows of a sample of training rows and of as many held-out rows, as JSON.

    `train` and `held_out` have a share `verbatim` and a `loss` (nats a token); `gap` is between the shares, and
    `loss_ratio` the training loss over the other. `warning`: training rows are known by heart. Or `skipped` says why
    nothing was looked at.

    Args:
        model: what is asked; it has the ability `recall`.
        train: the rows that it was, or may have been, trained on.
        held_out: rows that it was not.
        target: the column of the true texts.
        rows: how many of each side at most.
        seed: of the samples.
        seen: the share of the training rows that were taken for training.
        longest_s: nothing is looked at when the first rows show that it would take longer.
    """
    size = min(rows, train.height, held_out.height)
    if not size:
        return {"skipped": "there are no rows to compare"}
    rng = np.random.default_rng(seed)
    parts = [part[np.sort(rng.choice(part.height, size, replace=False))] for part in (train, held_out)]
    texts = [[str(value) for value in part[target].to_list()] for part in parts]
    recall = abilities_of(model).recall
    assert recall is not None, "it was asked whether it can"
    recall(parts[1].drop(target)[:1], texts[1][:1], TOKENS)  # loads what is loaded at the first call
    likely: list[list[float]] = [[], []]
    tokens: list[list[int]] = [[], []]
    verbatim: list[list[bool]] = [[], []]
    started = time.monotonic()
    for at in range(0, size, BATCH):
        for side, part in enumerate(parts):
            recalled = recall(part.drop(target)[at : at + BATCH], texts[side][at : at + BATCH], TOKENS)
            for measures, each in zip((likely, tokens, verbatim), recalled, strict=True):
                measures[side].extend(each.tolist())
        expected_s = (time.monotonic() - started) * size / min(at + BATCH, size)
        if at == 0 and expected_s > longest_s:
            fits = int(size * longest_s / expected_s)
            estimate = f"reading {2 * size:,} rows would take about {expected_s:,.0f} s"
            return {"skipped": f"{estimate}; [decide] memorisation = {fits} would take {longest_s:.0f} s"}
    known, new = (
        _Side(
            verbatim=float(np.mean(verbatim[side])),
            loss=-sum(likely[side]) / sum(tokens[side]) if sum(tokens[side]) else None,
        )
        for side in (0, 1)
    )
    gap = known.verbatim - new.verbatim
    beyond = gap > SURE * _spread(known.verbatim, new.verbatim, size)
    ratio = known.loss / new.loss if known.loss is not None and new.loss else None
    return {
        "rows": size,
        "tokens": TOKENS,
        "seen": _short(seen),
        "train": known.to_json(),
        "held_out": new.to_json(),
        "gap": gap,
        "loss_ratio": _short(ratio),
        "warning": bool(gap / seen > NOTICEABLE and beyond),
    }


def _spread(first: float, second: float, rows: int) -> float:
    """The standard error of the difference of two shares that are alike."""
    mean = (first + second) / 2
    return math.sqrt(2 * mean * (1 - mean) / rows)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
