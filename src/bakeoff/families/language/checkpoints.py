# pyright: basic
# torch comes without complete types
"""Where a training stands, in one file that is whole or not there: a killed fit goes on from it.

The file is safetensors: what learns, the optimiser's moments, the best weights so far; and in its header the position.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bakeoff.core.jobs import ignore_checkpoint
from bakeoff.data.cache import scratch

__all__ = ["Checkpoint", "Position"]

Tensor: TypeAlias = Any
FILE = "state.safetensors"


@dataclass(slots=True, kw_only=True)
class Position:
    """How far a training is: steps done of those planned, and the validation losses so far as (step, loss).

    `resumed`: after how many steps it went on from a checkpoint, each time.
    """

    planned: int
    step: int = 0
    best_step: int = 0
    checks: list[tuple[int, float]] = field(default_factory=list)
    smooth_loss: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    resumed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The file of one training; its folder is named by the content of all that decides the result.

    `keep` is told of each that is written.
    """

    folder: Path
    keep: Callable[[Path], None] = ignore_checkpoint

    def save(
        self, position: Position, learned: Sequence[Tensor], optimiser: Any, best: Sequence[Tensor] | None
    ) -> None:
        """Write everything; the file before stays until the new one is complete."""
        from safetensors.torch import save_file

        tensors = {f"p.{i}": tensor.detach() for i, tensor in enumerate(learned)}
        for i, tensor in enumerate(learned):
            for name, value in optimiser.state.get(tensor, {}).items():
                tensors[f"o.{i}.{name}"] = value
        tensors |= {f"b.{i}": tensor for i, tensor in enumerate(best or ())}
        self.folder.mkdir(parents=True, exist_ok=True)
        with scratch(self.folder) as folder:
            draft = folder / FILE
            ready = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
            save_file(ready, draft, metadata={"position": json.dumps(asdict(position))})
            draft.replace(self.folder / FILE)
        self.keep(self.folder / FILE)

    def step(self) -> int:
        """How many steps what was saved has; -1 where there is nothing that can be read."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / FILE, framework="pt") as file:
                return int(Position(**json.loads(file.metadata()["position"])).step)
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
            return -1

    def restore(self, learned: Sequence[Tensor], optimiser: Any) -> tuple[Position, list[Tensor] | None] | None:
        """Put back what was saved, if anything was that fits; the position and the best weights."""
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / FILE, framework="pt") as file:
                position = Position(**json.loads(file.metadata()["position"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        position.checks = [(int(step), float(loss)) for step, loss in position.checks]
        if any(f"p.{i}" not in tensors or tensors[f"p.{i}"].shape != t.shape for i, t in enumerate(learned)):
            return None
        with torch.no_grad():
            for i, tensor in enumerate(learned):
                tensor.copy_(tensors[f"p.{i}"])
                prefix = f"o.{i}."
                moments = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
                if moments:
                    optimiser.state[tensor] = _on(moments, tensor.device)
        best = [tensors[f"b.{i}"].to(t.device) for i, t in enumerate(learned)] if "b.0" in tensors else None
        return position, best


def _on(moments: Mapping[str, Tensor], device: Any) -> dict[str, Tensor]:
    return {name: value if name == "step" else value.to(device) for name, value in moments.items()}
