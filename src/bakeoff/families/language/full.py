# pyright: basic
# torch comes without complete types
"""`full`: all weights of a model (or of its top layers) trained for the task: a small decoder or an encoder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Task
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.convert import Kind
from bakeoff.families.language.engine_choice import CapacityParams, check_quantisation
from bakeoff.families.language.finetune import tune
from bakeoff.families.language.finetuned import TunedModel
from bakeoff.families.language.generator import SpokenModel, load_tuned_or_spoken, spoken
from bakeoff.families.language.library_output import need_llm, quietly
from bakeoff.families.language.network import Network

__all__ = ["FullFamily", "FullParams", "WholeModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullParams(CapacityParams):
    """Parameters of `full`; as those of `lora`, without adapters. `layers` = 0 trains the embeddings, too."""

    model: str = "all-minilm-l6-v2"
    template: str | None = None
    instruction: str | None = None
    system: str | None = None
    chat: bool | None = None
    head: Literal["linear", "labels"] = field(default="linear", metadata=only_for("classification"))
    layers: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = field(default=1e-4, metadata=between(1e-5, 5e-4, log=True))
    epochs: Annotated[float, Field(gt=0)] = 2.0
    batch: Annotated[int, Field(ge=1)] = 16
    accumulate: Annotated[int, Field(ge=1)] = 1
    checkpointing: bool = False
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.06
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    checks: Annotated[int, Field(ge=1)] = 4
    patience: Annotated[int, Field(ge=1)] = 2
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    learn: Literal["last", "all"] = field(default="last", metadata=only_for("generation"))
    max_new_tokens: Annotated[int, Field(ge=1)] = field(default=128, metadata=only_for("generation"))
    engine: str = field(default="auto", metadata=only_for("generation"))
    quantisation: str = field(default="q8_0", metadata=only_for("generation"))
    max_train_rows: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    validation_rows: Annotated[int, Field(ge=1)] = 500
    balanced: bool | None = field(default=None, metadata=only_for("classification"))
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    processes: Annotated[int, Field(ge=0)] = 0
    preference_beta: Annotated[float, Field(ge=0)] = field(default=0.1, metadata=only_for("generation"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeModel:
    """Every weight of the layers that learn; of the rest, too, when all layers do."""

    kind: Kind | None

    def prepare(self, network: Network, seed: int) -> None:
        """See `Adaptation`."""
        del seed
        model = network.backbone.model
        learning = [model] if not network.cut else [_stack(model, network.depth)[i] for i in network.learning_layers]
        for module in learning:
            for tensor in module.parameters():
                tensor.requires_grad_(requires_grad=True)
                tensor.data = tensor.data.float()  # small updates would be lost in bfloat16

    def write(self, network: Network, folder: Path) -> None:
        """See `Adaptation`."""
        import torch

        model, target = network.backbone.model, folder / storing.BASE
        with quietly():
            model.to(torch.bfloat16 if network.backbone.kind == "decoder" else torch.float32)
            model.save_pretrained(target)
            network.backbone.tokenizer.save_pretrained(target)


def _stack(model: Any, depth: int) -> Any:
    """The model's list of layers."""
    import torch

    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth)


class FullFamily:
    """Builds `TunedModel`s whose weights are all their own."""

    name = "full"
    tasks: frozenset[Task] = frozenset({"classification", "regression", "generation"})
    params: type[Any] = FullParams
    requires = ("torch", "transformers", "peft", "tokenizers", "numpy", "polars")
    extra: str | None = "llm"
    reads_texts = True
    adaptation = WholeModel(kind=None)

    def fit(self, job: FitJob) -> TunedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        if job.task == "generation":
            check_quantisation(job)
        return spoken(job, tune(job, self.name, self.adaptation))

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> TunedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        return load_tuned_or_spoken(folder, self.name, threads, cache)
