"""The caller's own keys of predictions: from what feedback names to the predictions that it is on."""

from collections.abc import Collection, Iterable, Mapping

from bakeoff.core.events import KEY_PREFIX, FeedbackEvent, KeyEvent
from bakeoff.core.protocols import EventLog

__all__ = ["by_prediction", "predictions_of"]


def predictions_of(events: EventLog, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The ids of predictions by what feedback names: an id is its own, a key has those that were given it, or none."""
    named: dict[str, dict[str, None]] = {name: {} if name.startswith(KEY_PREFIX) else {name: None} for name in ids}
    keys = [name for name in ids if name.startswith(KEY_PREFIX)]
    for event in events.get(KeyEvent, keys) if keys else ():
        named[event.id][event.prediction_id] = None
    return {name: tuple(predictions) for name, predictions in named.items()}


def by_prediction(
    feedback: Iterable[FeedbackEvent], named: Mapping[str, tuple[str, ...]]
) -> dict[str, list[FeedbackEvent]]:
    """Feedback by the id of the prediction that it is on, in its order; `named` is what `predictions_of` gives."""
    history: dict[str, list[FeedbackEvent]] = {}
    for item in feedback:
        for prediction_id in named[item.id]:
            history.setdefault(prediction_id, []).append(item)
    return history
