"""What a model can do beside predicting, as one record: what asks for an ability asks here, never for a class.

A model declares an ability by a method or property of the protocol that names it (`Metered`, `ChatModel`, …). A model
that is made of others has the record itself as its `abilities`, made of theirs, so that none is lost on the way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bakeoff.core.attribution import Attributing, Attribution
from bakeoff.core.generation import (
    ChatModel,
    Concurrent,
    Converted,
    Embedder,
    Embedding,
    Messages,
    Piece,
    Sampling,
    Speaking,
    Speech,
    Warming,
)
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import Likely, LookingBack, Losing, Metered, NumberWise, Recalling, RowWise, Usage
from bakeoff.core.types import Predictions

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Abilities", "abilities_of"]

Likelihood: TypeAlias = "Callable[[pl.DataFrame, Sequence[str]], tuple[NDArray[Any], NDArray[Any]]]"
Recall: TypeAlias = "Callable[[pl.DataFrame, Sequence[str], int], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a model can do beside predicting; None for what it cannot. Each is called as its protocol says.

    `rows_before` is a need rather than an ability.
    """

    predict_rows: Callable[[Sequence[Mapping[str, Any]]], Predictions | None] | None = None
    predict_numbers: "Callable[[NDArray[Any]], Predictions | None] | None" = None
    usage: Callable[[], Usage] | None = None
    losses: Callable[[], tuple[Loss, ...]] | None = None
    log_likelihood: "Likelihood | None" = None
    recall: "Recall | None" = None
    chat: Callable[[Messages, Sampling], Iterator[Piece]] | None = None
    speech: Callable[[], Speech | None] | None = None
    concurrency: Callable[[], int | None] | None = None
    weights_bytes: Callable[[], int | None] | None = None
    warm: Callable[[], None] | None = None
    embedder: Callable[[], Embedder | None] | None = None
    attribute: Callable[..., Attribution] | None = None
    rows_before: Callable[[], int] | None = None


def abilities_of(model: object) -> Abilities:
    """What a model can do."""
    own = getattr(model, "abilities", None)
    if isinstance(own, Abilities):
        return own
    return Abilities(
        predict_rows=model.predict_rows if isinstance(model, RowWise) else None,
        predict_numbers=model.predict_numbers if isinstance(model, NumberWise) else None,
        usage=(lambda: model.usage) if isinstance(model, Metered) else None,
        losses=model.losses if isinstance(model, Losing) else None,
        log_likelihood=model.log_likelihood if isinstance(model, Likely) else None,
        recall=model.recall if isinstance(model, Recalling) else None,
        chat=model.chat if isinstance(model, ChatModel) else None,
        speech=(lambda: model.speech) if isinstance(model, Speaking) else None,
        concurrency=(lambda: model.concurrency) if isinstance(model, Concurrent) else None,
        weights_bytes=(lambda: model.weights_bytes) if isinstance(model, Converted) else None,
        warm=model.warm if isinstance(model, Warming) else None,
        embedder=(lambda: model.embedder) if isinstance(model, Embedding) else None,
        attribute=model.attribute if isinstance(model, Attributing) else None,
        rows_before=(lambda: model.rows_before) if isinstance(model, LookingBack) else None,
    )
