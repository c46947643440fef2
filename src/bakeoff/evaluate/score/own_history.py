"""Conversations of several turns with the model's own answers: what its earlier answers do to its last one.

Test rows hold what was answered before in the data. In use a model reads what it said itself, and errors add up. So of
some rows each earlier answer of the assistant is asked for anew, in order, and the last one is scored on that history.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation, conversation_columns, question_text
from bakeoff.core.generation import Message
from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.findings.robustness import Drop, drop_of, rows_of
from bakeoff.metrics.measure import Measure

if TYPE_CHECKING:
    import polars as pl

__all__ = ["own_history"]

NAME, TOLD = "own_history", "the model's own earlier answers in place of those in the data"


def own_history(
    predict: "Callable[[pl.DataFrame], Predictions]",
    table: "pl.DataFrame",
    truth_n: NDArray[Any],
    predictions: Predictions,
    measure: Measure,
    *,
    inputs: Sequence[Column],
    most: int,
    seed: int,
    groups_n: NDArray[Any] | None,
) -> list[Drop]:
    """What the measure loses, on at most so many rows with earlier answers and without tools, if there are some."""
    names = sorted(conversation_columns(inputs))
    if len(names) != 1 or not most:
        return []
    turns_n = [conversation(str(value)) if value is not None else [] for value in table[names[0]].to_list()]
    several = [at for at, turns in enumerate(turns_n) if _earlier(turns)]
    rows = np.sort(np.random.default_rng(seed).permutation(several)[:most]).astype(np.int64)
    if len(rows) < 2:  # noqa: PLR2004 - of one row there is no interval
        return []
    sample = table[rows]
    try:
        spoken = _spoken(predict, sample, names[0], [list(turns_n[at]) for at in rows.tolist()])
        said = predict(sample.with_columns(spoken))
    except Exception as error:  # noqa: BLE001 - that a model cannot answer such rows is what is found
        return [Drop(name=NAME, told=TOLD, skipped=f"the model fails: {error}"[:300])]
    groups = None if groups_n is None else groups_n[rows]
    plain = rows_of(predictions, rows)
    return [drop_of(NAME, TOLD, truth_n[rows], plain, said, measure, seed=seed, groups_n=groups)]


def _earlier(turns: Sequence[Message]) -> bool:
    """Whether there are earlier answers, all of which are texts."""
    tools = any(turn["role"] == "tool" or turn.get("tool_calls") for turn in turns)
    return not tools and any(turn["role"] == "assistant" for turn in turns)


def _spoken(
    predict: "Callable[[pl.DataFrame], Predictions]",
    sample: "pl.DataFrame",
    name: str,
    turns_n: list[list[Message]],
) -> "pl.Series":
    """The conversations with the model's own answers, all first ones asked for at once, then all second ones."""
    import polars as pl

    places_n = [[at for at, turn in enumerate(turns) if turn["role"] == "assistant"] for turns in turns_n]
    for depth in range(max(map(len, places_n))):
        asked = [row for row, places in enumerate(places_n) if len(places) > depth and places[depth] > 0]
        texts = [question_text(turns_n[row][: places_n[row][depth]]) for row in asked]
        part = sample[asked].with_columns(pl.Series(name, texts, dtype=pl.String))
        for row, answer in zip(asked, predict(part).values_n.tolist() if asked else [], strict=True):
            turns_n[row][places_n[row][depth]] = {"role": "assistant", "content": str(answer)}
    return pl.Series(name, [question_text(turns) for turns in turns_n], dtype=pl.String)
