"""Join predictions with the feedback on them: what monitoring scores and what joins the dataset."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgspec
import numpy as np

from bakeoff.core.protocols import EventLog
from bakeoff.core.types import Json, Predictions, Signature

__all__ = ["Labelled", "Pair", "as_rows", "judged", "labelled"]

Event: TypeAlias = Mapping[str, Json]


class Pair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A prediction and the last feedback on it.

    `row` holds the inputs as they were sent; `said` is the label or value that was predicted; `label` is the
    truth (a correction counts as one), or None when only a `rating` came. Times are of the log.
    """

    id: str
    time_ms: int
    known_ms: int
    release_id: str
    model_version: str
    row: Mapping[str, Json]
    said: str | float | None
    probabilities: Mapping[str, float] | None
    label: str | float | None
    rating: float | None
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Pairs in the order of prediction; how many were `predicted`, and feedback ids without a prediction."""

    pairs: tuple[Pair, ...]
    predicted: int
    unmatched: int


def labelled(
    events: EventLog, endpoint: str, *, since_ms: int = 0, until_ms: int | None = None, release_id: str | None = None
) -> Labelled:
    """Predictions of the endpoint in since_ms ≤ time < until_ms with the feedback that came on them, ever.

    The last feedback on an id wins. `unmatched` counts the ids for which no endpoint has a prediction in
    the window: with since_ms = 0 and no until_ms, those that nobody ever predicted. With `release_id` only that
    release's predictions count. One pass over each log.
    """
    given = {cast("str", item["id"]): item for item in events.read("feedback", since_ms=since_ms)}
    found: dict[str, Pair] = {}
    matched = predicted = 0
    for event in events.read("prediction", since_ms=since_ms, until_ms=until_ms):
        if event.get("status") == "error":
            continue
        ours = event["endpoint"] == endpoint and (release_id is None or event["release_id"] == release_id)
        predicted += ours
        feedback = given.get(cast("str", event["id"]))
        if feedback is None:
            continue
        matched += 1
        if ours:
            pair = _pair(event, feedback)
            found[pair.id] = pair
    return Labelled(pairs=tuple(found.values()), predicted=predicted, unmatched=len(given) - matched)


def as_rows(
    pairs: Labelled, target: str, *, time: str | None = None, rejected: str | None = None
) -> list[dict[str, Json]]:
    """Labelled pairs as rows of a dataset: the inputs, the truth under `target`, and nothing without a label.

    With `time`, a row whose inputs lack that column gets the prediction's time (ISO 8601, UTC). With `rejected`,
    that column has the text that was said where the truth is another one, else None: together, a preference.

    >>> pair = Pair(id="a", time_ms=0, known_ms=0, release_id="r", model_version="m/1", row={"x": 1.0},
    ...             said="no", probabilities=None, label="yes", rating=None, source=None)
    >>> as_rows(Labelled(pairs=(pair,), predicted=1, unmatched=0), "late", time="at")
    [{'x': 1.0, 'late': 'yes', 'at': '1970-01-01T00:00:00.000'}]
    """
    rows: list[dict[str, Json]] = []
    for pair in pairs.pairs:
        if pair.label is None:
            continue
        row = {**pair.row, target: pair.label}
        if rejected is not None:
            row[rejected] = _turned_down(pair)
        if time is not None and row.get(time) is None:
            row[time] = _iso(pair.time_ms)
        rows.append(row)
    return rows


def judged(pairs: Labelled, signature: Signature) -> tuple[list[str | float], Predictions]:
    """Truth and what was said, as measures take them: the pairs that have a label which fits the task.

    A number that was expected and a text that came (or the reverse) cannot be compared and is left out, as are
    answers of a release with other classes than the signature's.
    """
    text, classes = signature.task != "regression", frozenset(signature.classes)
    known = [pair for pair in pairs.pairs if _comparable(pair, classes, text=text)]
    truth = [cast("str | float", pair.label) for pair in known]
    values_n = np.asarray([pair.said for pair in known], dtype=np.str_ if text else np.float64)
    if signature.task != "classification":
        return truth, Predictions(values_n=values_n)
    shares = [pair.probabilities for pair in known]
    if any(share is None for share in shares):
        return truth, Predictions(values_n=values_n, classes=signature.classes)
    columns = [[share.get(name, 0.0) for name in signature.classes] for share in shares if share is not None]
    probabilities_nk = np.asarray(columns, dtype=np.float64).reshape(len(known), len(signature.classes))
    return truth, Predictions(values_n=values_n, probabilities_nk=probabilities_nk, classes=signature.classes)


def _comparable(pair: Pair, classes: frozenset[str], *, text: bool) -> bool:
    kind = str if text else (int, float)
    known = pair.probabilities is None or pair.probabilities.keys() <= classes
    return known and isinstance(pair.label, kind) and isinstance(pair.said, kind)


def _turned_down(pair: Pair) -> str | None:
    said, label = pair.said, pair.label
    if not isinstance(said, str) or not isinstance(label, str):
        return None
    return said if said.strip() and said.strip() != label.strip() else None


def _iso(time_ms: int) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def _pair(event: Event, feedback: Event) -> Pair:
    said = event.get("label", event.get("value"))
    label = feedback.get("label", feedback.get("correction"))
    logged_ms = cast("int", feedback["time_ms"])
    return Pair(
        id=cast("str", event["id"]),
        time_ms=cast("int", event["time_ms"]),
        known_ms=cast("int", feedback.get("known_ms", logged_ms)),
        release_id=cast("str", event["release_id"]),
        model_version=cast("str", event["model_version"]),
        row=cast("Mapping[str, Json]", event["row"]),
        said=cast("str | float | None", said),
        probabilities=cast("Mapping[str, float] | None", event.get("probabilities")),
        label=_as_label(label, number=isinstance(said, int | float)),
        rating=cast("float | None", feedback.get("rating")),
        source=cast("str | None", feedback.get("source")),
    )


def _as_label(label: Json, *, number: bool) -> str | float | None:
    """The truth as the task has it: class names are text (true is "true", 1 is "1"), quantities are numbers.

    Where a number was said, a text that is none says nothing.
    """
    if label is None:
        return None
    if number:
        try:
            value = float(cast("float | str", label))
        except ValueError:
            return None
        return value if math.isfinite(value) else None
    if isinstance(label, str):
        return label
    return str(label).lower() if isinstance(label, bool) else str(label)
