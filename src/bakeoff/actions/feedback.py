"""What people said: the history of a prediction's labels, how far annotators agree, and ground truth out of tables."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.errors import DataError, NotFoundError, UsageError
from bakeoff.core.events import FeedbackEvent, KeyEvent, PredictionEvent, key_id
from bakeoff.core.retention import retention_hint
from bakeoff.core.types import Json
from bakeoff.data.batches import Batch
from bakeoff.data.labels import label_text
from bakeoff.feedback.keys import by_prediction, predictions_of
from bakeoff.feedback.resolve import Resolved, known_at, opinions
from bakeoff.metrics.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["AnnotatorAgreement", "FeedbackHistory", "TruthColumns", "agreement", "history", "truth_items"]

PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackHistory:
    """All that was said of a prediction, by when it was known, and what counts of it."""

    id: str
    items: tuple[FeedbackEvent, ...]
    resolved: Resolved

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff feedback history --json` has it."""
        return msgspec.to_builtins(self)


def history(project: "Project", name: str, *, endpoint: str, by_key: bool = False) -> FeedbackHistory:
    """The history of a prediction's feedback, by its id, or by its caller's key (then of the last prediction).

    Raises:
        NotFoundError: there is no such prediction, or nothing was said of it.
    """
    events = project.events
    if by_key:
        keyed = predictions_of(events, [key_id(endpoint, name)])[key_id(endpoint, name)]
        if not keyed:
            hint = retention_hint(events)
            raise NotFoundError(f"expected a key of a prediction of endpoint {endpoint!r}, received {name!r}{hint}")
        name = keyed[-1]
    prediction = next(iter(events.get(PredictionEvent, [name])), None)
    if prediction is None:
        raise NotFoundError(f"expected the id of a prediction, received {name!r}{retention_hint(events)}")
    keys = {event.id for event in events.read(KeyEvent) if event.prediction_id == name}
    items = sorted(events.get(FeedbackEvent, {name, *keys}), key=known_at)
    if not items:
        raise NotFoundError(f"expected feedback on prediction {name!r}, found none")
    return FeedbackHistory(
        id=name, items=tuple(items), resolved=project.truth_of(prediction.model_version).resolve(items)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorAgreement:
    """How far annotators agree; 1 is fully, 0 is by chance.

    Attributes:
        predictions: with labels of two annotators or more; `annotators` are all of them, by how many they labelled.
        alpha: Krippendorff's, over all of them: nominal for classes and texts, interval for numbers. None: undefined.
        fleiss: Fleiss' kappa, where all predictions have as many labels and they are classes.
        cohen: Cohen's kappa of each two annotators, as "ANN / BOB", with how many predictions both labelled.
        disputed: ids of predictions on which annotators differ, the first ones.
    """

    predictions: int
    annotators: Mapping[str, int]
    alpha: float | None
    fleiss: float | None
    cohen: Mapping[str, tuple[float | None, int]]
    disputed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff feedback agreement --json` has it."""
        return msgspec.to_builtins(self)


def agreement(project: "Project", endpoint: str, *, shown: int = 100) -> AnnotatorAgreement:
    """How far the annotators of an endpoint's predictions agree, by the latest label of each.

    Raises:
        NotFoundError: no prediction has labels of two annotators.
    """
    feedback = list(project.events.read(FeedbackEvent))
    named = predictions_of(project.events, {item.id for item in feedback})
    grouped = by_prediction(feedback, named)
    several = {name: items for name, items in grouped.items() if len({item.source for item in items}) >= PAIR}
    units: dict[str, dict[str, str | float]] = {}
    for event in project.events.get(PredictionEvent, several.keys()):
        if event.endpoint == endpoint and event.served:
            read = project.truth_of(event.model_version).read
            latest = opinions(several[event.id], read)
            meant = {item.source or "(not named)": read(item.truth) for item in latest}
            unit = {who: label for who, label in meant.items() if label is not None}
            if len(unit) >= PAIR:
                units[event.id] = unit
    if not units:
        raise NotFoundError(
            f"expected predictions of endpoint {endpoint!r} with labels of two annotators, found none: feedback says "
            "who labels by its `source`; 'bakeoff review pick --annotators 2' asks two people about each row"
        )
    numbers = project.config.project.task == "regression"
    labels = [list(unit.values()) for unit in units.values()]
    who = sorted({each for unit in units.values() for each in unit})
    classes = sorted({str(label) for unit in labels for label in unit})
    same_count = not numbers and len({len(unit) for unit in labels}) == 1
    cohen: dict[str, tuple[float | None, int]] = {}
    for one, other in combinations(who, 2):
        both = [unit for unit in units.values() if one in unit and other in unit]
        if both and not numbers:
            kappa = cohen_kappa([unit[one] for unit in both], [unit[other] for unit in both])
            cohen[f"{one} / {other}"] = (_known(kappa), len(both))
    return AnnotatorAgreement(
        predictions=len(units),
        annotators={each: sum(each in unit for unit in units.values()) for each in who},
        alpha=_known(krippendorff_alpha(labels, "interval" if numbers else "nominal")),
        fleiss=_known(fleiss_kappa([[unit.count(name) for name in classes] for unit in labels]))
        if same_count
        else None,
        cohen=cohen,
        disputed=tuple(name for name, unit in units.items() if len(set(unit.values())) > 1)[:shown],
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- ground truth out of a table --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthColumns:
    """Which columns of a table say what: the key or the id of a prediction, its label, and since when it is known."""

    label: str
    key: str | None = None
    id: str | None = None
    time: str | None = None
    source: str | None = None

    def check(self) -> None:
        """See that predictions can be known.

        Raises:
            UsageError: they cannot.
        """
        if (self.key is None) == (self.id is None):
            both = "neither" if self.key is None else "both"
            raise UsageError(f"expected the column of keys or that of prediction ids, received {both}")


def truth_items(parts: Generator[Batch], columns: TruthColumns) -> Generator[Batch]:
    """The rows of files as feedback items: what a column says, under the name that feedback has for it.

    Raises:
        DataError: a file lacks one of the columns.
    """
    names = {"key": columns.key, "id": columns.id, "label": columns.label, "time_ms": columns.time}
    wanted = {field: name for field, name in names.items() if name is not None}
    for part in parts:
        present = part.names or tuple(dict.fromkeys(name for row in part.rows for name in row))
        absent = [name for name in wanted.values() if name not in present]
        if absent and (part.rows or part.names):
            raise DataError(
                f"{part.file}: expected columns {', '.join(wanted.values())}; received {', '.join(present)}, without "
                f"{', '.join(absent)}"
            )
        yield replace(part, rows=[_truth_item(row, wanted, columns.source) for row in part.rows], names=None)


def _truth_item(row: Mapping[str, object], wanted: Mapping[str, str], source: str | None) -> dict[str, Any]:
    item = {field: row.get(name) for field, name in wanted.items()}
    for field in wanted.keys() & {"key", "id"}:
        item[field] = label_text(item[field], "exact")  # a number is a key too
    item["time_ms"] = _milliseconds(item.get("time_ms"))
    return item if source is None else item | {"source": source}


def _milliseconds(value: object) -> object:
    """A time in ISO 8601 (without a zone, UTC) as milliseconds since 1970; what is none as it came."""
    if isinstance(value, str) and not value.strip().isdigit():
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return value or None
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    return value
