# pyright: basic
# torch, transformers and peft come without complete types
"""An adapter put into the weights that it was trained on, so that whatever runs the base runs the result."""

import shutil
from pathlib import Path
from typing import Any

from bakeoff.core.errors import CorruptError
from bakeoff.families.language.library_output import quietly

__all__ = ["merge"]

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin")


def merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write the base with the adapter in its weights into a new folder: in the base's precision, added in float32.

    Raises:
        CorruptError: the adapter is not one of this base.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with quietly():
        model: Any = AutoModelForCausalLM.from_pretrained(
            base, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        kept = model.dtype
        try:
            merged = PeftModel.from_pretrained(model.to(torch.float32), str(adapter), local_files_only=True)
        except Exception as error:  # readers of adapters raise errors of many classes
            raise CorruptError(f"{adapter}: expected an adapter of {base}, found: {error}; fit it again") from error
        whole = merged.merge_and_unload(safe_merge=True).to(kept)
        shutil.copytree(base, folder, ignore=shutil.ignore_patterns(*WEIGHTS))
        whole.save_pretrained(folder)
