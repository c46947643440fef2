# pyright: basic
# peft comes without complete types
"""`lora`: a decoder with low-rank adapters on its top layers, trained for the task.

Classes are told by a linear head over the last token's state, or by the labels' own tokens; numbers by a head; texts
(task generation) by the model's own words, learned from the answers alone.

Source: E. Hu et al. (2022), "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Task
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.backbone import Quantised, need_quantisation
from bakeoff.families.language.convert import Kind
from bakeoff.families.language.engine_choice import CapacityParams, check_quantisation
from bakeoff.families.language.finetune import tune
from bakeoff.families.language.finetuned import TunedModel
from bakeoff.families.language.generator import SpokenModel, load_tuned_or_spoken, spoken
from bakeoff.families.language.library_output import need_llm, quietly
from bakeoff.families.language.network import Network

__all__ = ["LoraFamily", "LoraParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraParams(CapacityParams):
    """Parameters of `lora`.

    `model`: see `bakeoff models available`. `prompt` (a file with what system and user say) stands for `system` and
    `template`. `rank` and `dropout` of the adapters, `layers`: how many of the top layers have them (0: all). `head`: a
    linear head over the bare text, or the labels' first tokens after a prompt (`instruction`, `chat`). `learning_rate`
    rises over the first `warmup` share of the steps and falls to nothing; `batch` · `accumulate` rows make a step.
    Validation loss is looked at `checks` times, on at most `validation_rows` rows; after `patience` looks without a
    better one training ends; the best weights stay. `max_train_rows` takes a stratified sample, `max_minutes` plans no
    more steps than fit. `checkpointing` needs less memory and more time. `precision`: what is fast here, unless said.
    Texts keep `max_tokens` tokens (256 unless given).

    `quantise_base` holds the frozen weights in 8 or 4 bits during training (CUDA, extra `gpu`); what is saved and
    served is the adapter on the base as it was. Each of `processes` reads its share of every batch (0: one for each
    CUDA device, else one); the step is that of a single process. With the compute backend `ray` they are processes of
    the whole cluster.

    Task generation: a conversation keeps `max_tokens` tokens (1,024 unless given), its answer among them: its oldest
    turns go first; what of the answer is over is not learned, nor that it would end there. `learn` "all" takes every
    turn of the assistant, not the last alone. `system` is a system turn that stands before all others. Rows that have a
    rejected answer are pairs, too: the answer shall gain on the rejected one, at strength `preference_beta` (smaller:
    further from the base; 0: rejected answers are not used). What is generated has at most `max_new_tokens` tokens and
    comes from `engine` (llama.cpp where it is installed, else transformers; "vllm", "vllm:URL"), which may convert the
    weights to `quantisation`; `slots`, `context` and `kv_cache` are what it holds.
    """

    model: str = "smollm2-135m-instruct"
    template: str | None = None
    instruction: str | None = None
    system: str | None = None
    chat: bool | None = None
    head: Literal["linear", "labels"] = field(default="linear", metadata=only_for("classification"))
    rank: Annotated[int, Field(ge=1, le=256)] = field(default=8, metadata=between(2, 32, log=True))
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layers: Annotated[int, Field(ge=0)] = 10
    learning_rate: Annotated[float, Field(gt=0)] = field(default=2e-3, metadata=between(2e-4, 5e-3, log=True))
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
    quantise_base: Quantised = "none"
    processes: Annotated[int, Field(ge=0)] = 0
    preference_beta: Annotated[float, Field(ge=0)] = field(default=0.1, metadata=only_for("generation"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adapters:
    """Low-rank matrices beside every linear layer of the layers that learn."""

    rank: int
    dropout: float
    base: str
    kind: Kind | None = "decoder"

    def prepare(self, network: Network, seed: int) -> None:
        """See `Adaptation`."""
        import torch
        from peft import inject_adapter_in_model

        config = self._config(network)
        torch.manual_seed(seed)
        with quietly():
            inject_adapter_in_model(config, network.backbone.model)
        for name, tensor in network.backbone.model.named_parameters():
            tensor.requires_grad_("lora_" in name)
            if tensor.requires_grad:
                tensor.data = tensor.data.float()

    def write(self, network: Network, folder: Path) -> None:
        """See `Adaptation`."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        target = folder / storing.ADAPTER
        target.mkdir()
        found: dict[str, Any] = get_peft_model_state_dict(network.backbone.model, save_embedding_layers=False)
        tensors = {f"base_model.model.{name}": tensor.detach().cpu().contiguous() for name, tensor in found.items()}
        save_file(dict(sorted(tensors.items())), target / "adapter_model.safetensors", metadata={"format": "pt"})
        config = self._config(network)
        config.inference_mode = True
        config.save_pretrained(str(target))

    def _config(self, network: Network) -> Any:
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            lora_alpha=2 * self.rank,
            lora_dropout=self.dropout,
            target_modules=network.linear_names,
            layers_to_transform=network.learning_layers,
            layers_pattern="layers",
            base_model_name_or_path=self.base,
        )


class LoraFamily:
    """Builds `TunedModel`s that are a base and an adapter."""

    name = "lora"
    tasks: frozenset[Task] = frozenset({"classification", "regression", "generation"})
    params = LoraParams
    requires = ("torch", "transformers", "peft", "tokenizers", "numpy", "polars")
    extra: str | None = "llm"
    reads_texts = True

    def require(self, params: LoraParams) -> None:
        """See `bakeoff.core.families.require_here`."""
        need_quantisation(params.quantise_base)

    def fit(self, job: FitJob) -> TunedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        params: LoraParams = job.params
        need_quantisation(params.quantise_base)
        adapters = _Adapters(rank=params.rank, dropout=params.dropout, base=params.model)
        if job.task == "generation":
            check_quantisation(job)
        return spoken(job, tune(job, self.name, adapters))

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> TunedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        return load_tuned_or_spoken(folder, self.name, threads, cache)
