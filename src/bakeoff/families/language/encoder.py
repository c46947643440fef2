"""`encoder`: a sentence encoder fine-tuned for the task, with a head; with few rows, by comparing rows first.

Rows of one class are drawn together and rows of others apart; then a logistic head is fitted on the vectors.

Source: L. Tunstall et al. (2022), "Efficient Few-Shot Learning Without Prompts" (SetFit).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between
from bakeoff.core.types import Task
from bakeoff.families.language.full import FullFamily, WholeModel

__all__ = ["EncoderFamily", "EncoderParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderParams:
    """Parameters of `encoder`; as those of `full`.

    `contrastive`: whether rows are compared before a head is fitted; with up to `few` training rows a class, unless
    said.
    """

    model: str = "all-minilm-l6-v2"
    template: str | None = None
    contrastive: bool | None = field(default=None, metadata=only_for("classification"))
    few: Annotated[int, Field(ge=1)] = field(default=64, metadata=only_for("classification"))
    layers: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = field(default=1e-4, metadata=between(1e-5, 5e-4, log=True))
    epochs: Annotated[float, Field(gt=0)] = 3.0
    batch: Annotated[int, Field(ge=1)] = 16
    accumulate: Annotated[int, Field(ge=1)] = 1
    checkpointing: bool = False
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.06
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    checks: Annotated[int, Field(ge=1)] = 4
    patience: Annotated[int, Field(ge=1)] = 2
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_train_rows: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    validation_rows: Annotated[int, Field(ge=1)] = 500
    balanced: bool | None = field(default=None, metadata=only_for("classification"))
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    processes: Annotated[int, Field(ge=0)] = 0


class EncoderFamily(FullFamily):
    """Builds `TunedModel`s of sentence encoders."""

    name = "encoder"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params: type[Any] = EncoderParams
    adaptation = WholeModel(kind="encoder")
