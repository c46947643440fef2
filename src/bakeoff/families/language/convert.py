# pyright: basic
# torch and transformers come without complete types
"""Bring a model into one form, once: safetensors, tokenizer and chat template in a folder of the cache.

Decoders are kept in bfloat16 (half the bytes; what they are computed in where the processor can), encoders in
float32. A model folder copies these files, so that copies of one base share their bytes in the blob store.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bakeoff.core.errors import CandidateError
from bakeoff.core.hashing import digest_json
from bakeoff.core.protocols import Progress
from bakeoff.data.cache import Digests, place
from bakeoff.families.language.library_output import quietly
from bakeoff.families.language.sources import ModelSource

__all__ = ["Base", "Kind", "prepare"]

Kind: TypeAlias = Literal["decoder", "encoder"]
VERSION = 1
"""Grows when the same source would be written in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A pretrained model in the one form: its folder, and the digest of the files that it was made from."""

    name: str
    folder: Path
    digest: str
    kind: Kind


def prepare(source: ModelSource, kind: Kind, *, cache: Path, progress: Progress) -> Base:
    """The model in the cache, written there if it is not yet.

    Raises:
        CandidateError: the files cannot be read as a model of this kind, or there is no memory for it.
    """
    digest = digest_json([VERSION, kind, _digests(source, cache)])
    folder = cache / "language" / "bases" / digest[:32]

    def make(target: Path) -> None:
        progress(f"converting {source.name} to safetensors (once)")
        try:
            with quietly():
                _convert(source.path, kind, target)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error):
                raise unreadable(source.name, kind, error) from error
            raise CandidateError(
                f"no memory to load {source.name!r}: take a smaller model (bakeoff models available)"
            ) from error
        except Exception as error:  # readers of weights, configs and tokenizers raise errors of many classes
            raise unreadable(source.name, kind, error) from error

    place(folder, make, cache=cache)
    return Base(name=source.name, folder=folder, digest=digest, kind=kind)


def unreadable(name: str, kind: Kind, error: Exception) -> CandidateError:
    """The one error for files that are no model."""
    first = re.sub(r"\s+", " ", str(error))[:200]
    return CandidateError(
        f"expected the files of a {kind} that transformers knows as model {name!r}, found {type(error).__name__}: "
        f"{first}. The file may be corrupt: fetch it again, or name another model"
    )


def _digests(source: ModelSource, cache: Path) -> dict[str, str]:
    digests = Digests(cache)
    files = [source.path] if source.path.is_file() else sorted(p for p in source.path.iterdir() if p.is_file())
    return {file.name: digests.of(file.resolve()) for file in files}


def _convert(path: Path, kind: Kind, target: Path) -> None:
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    where, weights, words = path, {}, {}
    if path.is_file():
        from transformers import GgufConfig

        where, words = path.parent, {"gguf_file": path.name}
        weights = {"gguf_file": path.name, "quantization_config": GgufConfig(dequantize=True)}
    reader = AutoModelForCausalLM if kind == "decoder" else AutoModel
    model = reader.from_pretrained(
        where,
        dtype=torch.bfloat16 if kind == "decoder" else torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        **weights,
    )
    tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False, **words)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config._name_or_path = path.name  # noqa: SLF001 - else the machine's own path would be written
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
