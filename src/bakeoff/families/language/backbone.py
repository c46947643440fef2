# pyright: basic
# torch and transformers come without complete types
"""A pretrained model in memory: token ids of texts, hidden states of token ids.

Decoders read batches that are padded at the right without a mask: what follows a token cannot change it. Their
vector is the last token's; an encoder's is the mean over its tokens.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import CandidateError, CorruptError, MissingExtraError
from bakeoff.families.language.convert import Kind, unreadable
from bakeoff.families.language.library_output import quietly

__all__ = ["Backbone", "Precision", "Quantised", "by_length", "device_of", "fastest_precision", "load"]
__all__ += ["need_quantisation"]

Precision: TypeAlias = Literal["bf16", "fp32"]
Quantised: TypeAlias = Literal["none", "8bit", "4bit"]
Tensor: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A loaded model with its tokenizer, as transformers and as we read it; `precision` is what it is computed in."""

    model: Any
    tokenizer: Any
    words: ChatTokens
    kind: Kind
    precision: Precision

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def context(self) -> int:
        """The most tokens that it can read."""
        return int(getattr(self.model.config, "max_position_embeddings", 512))

    @property
    def device(self) -> Any:
        """Where its weights are."""
        return next(self.model.parameters()).device

    def tokens(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of texts; spellings of control tokens in them are letters."""
        return self.words.texts(texts, special=special)

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids as one tensor (b, t), padded at the right, and their lengths (b,)."""
        import torch

        longest, fill = max(map(len, ids)), int(self.tokenizer.pad_token_id or 0)
        rows = [[*row, *[fill] * (longest - len(row))] for row in ids]
        lengths_b = torch.tensor([len(row) for row in ids], device=self.device)
        return torch.tensor(rows, device=self.device), lengths_b

    def body(self) -> Any:
        """The model without the part that makes logits."""
        return self.model.get_decoder() if self.kind == "decoder" else self.model

    def hidden(self, ids_bt: Tensor, lengths_b: Tensor) -> Tensor:
        """Hidden states of the last layer (b, t, d)."""
        if self.kind == "decoder":
            return self.body()(input_ids=ids_bt, use_cache=False).last_hidden_state
        import torch

        mask_bt = torch.arange(ids_bt.shape[1], device=ids_bt.device)[None] < lengths_b[:, None]
        return self.model(input_ids=ids_bt, attention_mask=mask_bt.long()).last_hidden_state

    def pooled(self, hidden_btd: Tensor, lengths_b: Tensor) -> Tensor:
        """One vector (b, d) for each text, in float32."""
        import torch

        if self.kind == "decoder":
            return hidden_btd[torch.arange(len(lengths_b), device=hidden_btd.device), lengths_b - 1].float()
        mask_bt = torch.arange(hidden_btd.shape[1], device=hidden_btd.device)[None] < lengths_b[:, None]
        return (hidden_btd.float() * mask_bt[..., None]).sum(1) / lengths_b[:, None]


def by_length(ids: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Positions in batches of like length, so that little padding is computed."""
    order = iter(sorted(range(len(ids)), key=lambda i: len(ids[i])))
    return list(iter(lambda: list(itertools.islice(order, size)), []))


def device_of() -> str:
    """The accelerator if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def fastest_precision() -> Precision:
    """bfloat16 where the processor multiplies in it (about twice as fast), else float32."""
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    can = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - no public way
    return "bf16" if can else "fp32"


def need_quantisation(quantised: Quantised) -> None:
    """See that frozen weights can be held in so few bits here.

    Raises:
        CandidateError: there is no CUDA device. MissingExtraError: bitsandbytes is not installed.
    """
    if quantised == "none":
        return
    import importlib.util

    import torch

    if not torch.cuda.is_available():
        raise CandidateError(
            f"expected a CUDA device for quantise_base = {quantised!r}, found none; leave quantise_base out "
            "(weights stay in bf16 or float32), or fit the candidate where there is one"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError.of(f"quantise_base = {quantised!r}", "gpu", "bitsandbytes")


def _quantisation(quantised: Quantised, dtype: Any) -> Any:
    """How transformers shall hold weights: of 8 bits, or of 4 (NF4 with quantised constants) computed in `dtype`.

    Source: T. Dettmers et al. (2022), "LLM.int8()"; T. Dettmers et al. (2023), "QLoRA".
    """
    from transformers import BitsAndBytesConfig

    if quantised == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def load(
    folder: Path,
    kind: Kind,
    *,
    precision: Precision,
    threads: int,
    device: str | None = None,
    quantised: Quantised = "none",
) -> Backbone:
    """Read a model in the form that `convert.prepare` writes, onto a device (the accelerator if there is one).

    Raises:
        CorruptError: a file is damaged. CandidateError: there is no memory for it.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    reader = AutoModelForCausalLM if kind == "decoder" else AutoModel
    dtype, device = torch.bfloat16 if precision == "bf16" else torch.float32, device or device_of()
    fewer: dict[str, Any] = {}
    if quantised != "none":
        fewer = {"quantization_config": _quantisation(quantised, dtype), "device_map": {"": device}}
    try:
        with quietly():
            model: Any = reader.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False, **fewer
            )
            if not fewer:
                model.to(device)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (SafetensorError, OSError) as error:
        raise CorruptError(f"{folder}: expected a readable model, found: {error}; fit the candidate again") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CandidateError("no memory to load the model; take a smaller one (bakeoff models available)") from error
    except Exception as error:  # readers of configs and tokenizers raise errors of many classes
        raise unreadable(folder.name, kind, error) from error
    model.requires_grad_(requires_grad=False)
    words = ChatTokens.read(folder)
    return Backbone(model=model.eval(), tokenizer=tokenizer, words=words, kind=kind, precision=precision)
