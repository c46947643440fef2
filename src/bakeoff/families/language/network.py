# pyright: basic
# torch comes without complete types
"""A model in training: which layers learn, and hidden states of examples.

Only the top layers may learn. What the frozen ones below make of an example never changes, so it is computed once and
kept in memory; every later pass over the example runs the top alone.
"""

import copy
from collections.abc import Sequence
from typing import Any, TypeAlias

from bakeoff.families.language.backbone import Backbone
from bakeoff.families.language.examples import Example

__all__ = ["Network"]

Tensor: TypeAlias = Any
KEPT_SHARE = 0.25
"""Share of the free memory that kept states may take."""
CLOSE = 0.05


class Network:
    """A backbone of `depth` layers, of which those from `cut` on learn; adapters go beside its `linear_names`."""

    def __init__(self, backbone: Backbone, *, top: int, share: float = 1.0) -> None:
        """Cut a backbone, of which the `top` layers learn; it may keep states in this `share` of the free memory."""
        self.backbone = backbone
        body = backbone.body()
        layers = getattr(body, "layers", None)
        self.depth = int(backbone.model.config.num_hidden_layers)
        self.cut = self.depth - top if 0 < top < self.depth else 0
        self.linear_names = _linear_names(layers)
        self._trunk: Any = None
        self._top: Any = body
        self._kept: dict[tuple[str, int], Tensor] = {}
        self._room = int(_free_bytes(backbone.device) * KEPT_SHARE * share)
        if self.cut and layers is not None and hasattr(body, "norm") and _alike(backbone.model.config):
            import torch

            self._trunk = _with(body, layers[: self.cut], norm=torch.nn.Identity())
            self._top = _with(body, layers[self.cut :])
            if not self._splits_well():
                self._trunk, self._top = None, body

    def _splits_well(self) -> bool:
        """Whether trunk and top one after the other are the whole: some architectures do more between layers."""
        import torch

        with torch.inference_mode():
            ids_bt = torch.arange(12, device=self.backbone.device)[None] + 5
            whole = self.backbone.body()(input_ids=ids_bt, use_cache=False).last_hidden_state.float()
            low = self._trunk(input_ids=ids_bt, use_cache=False).last_hidden_state
            again = self._top(inputs_embeds=low, use_cache=False).last_hidden_state.float()
        return bool((whole - again).abs().max() <= CLOSE * whole.std())

    @property
    def learning_layers(self) -> list[int]:
        """Positions of the layers that learn."""
        return list(range(self.cut, self.depth))

    def hidden(self, part: str, rows: Sequence[int], examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Hidden states (b, t, d) of examples (`rows` of a `part`, "train" or "held"), and their lengths."""
        import torch

        if self._trunk is None:
            ids_bt, lengths_b = self.backbone.padded([example.ids for example in examples])
            return self._autocast(lambda: self.backbone.hidden(ids_bt, lengths_b)), lengths_b
        states = self._states(part, rows, examples)
        lengths_b = torch.tensor([len(state) for state in states], device=self.backbone.device)
        low_btd = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        return self._autocast(lambda: self._top(inputs_embeds=low_btd, use_cache=False).last_hidden_state), lengths_b

    def _autocast(self, run: Any) -> Tensor:
        import torch

        with torch.autocast(self.backbone.device.type, torch.bfloat16, enabled=self.backbone.precision == "bf16"):
            return run()

    def _states(self, part: str, rows: Sequence[int], examples: Sequence[Example]) -> list[Tensor]:
        import torch

        found = {row: self._kept.get((part, row)) for row in rows}
        lacking = [at for at, row in enumerate(rows) if found[row] is None]
        if lacking:
            ids_bt, _ = self.backbone.padded([examples[at].ids for at in lacking])
            with torch.no_grad():
                low_btd = self._trunk(input_ids=ids_bt, use_cache=False).last_hidden_state
            for b, at in enumerate(lacking):
                state_td = low_btd[b, : len(examples[at].ids)].clone()
                found[rows[at]] = state_td
                self._room -= state_td.nbytes
                if self._room > 0:
                    self._kept[part, rows[at]] = state_td
        return [found[row] for row in rows]


def _linear_names(layers: Any) -> list[str]:
    """The last names of the linear layers inside a model's layers (q_proj, up_proj, …)."""
    import torch

    named = layers.named_modules() if layers is not None else ()
    return sorted({name.rpartition(".")[2] for name, module in named if isinstance(module, torch.nn.Linear)})


def _free_bytes(device: Any) -> int:
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory_bytes()


def free_memory_bytes() -> int:
    """Memory that is free for use now (Linux), else 4 GB."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 << 30


def _alike(config: Any) -> bool:
    """Whether all layers attend in the same way, so that a layer may stand at another place."""
    return len(set(getattr(config, "layer_types", None) or ["full_attention"])) == 1


def _with(body: Any, layers: Any, **others: Any) -> Any:
    """The decoder with other layers: a shallow copy that shares its parameters."""
    part = copy.copy(body)
    part._modules = {**body._modules, "layers": layers, **others}  # noqa: SLF001 - torch has no public way
    if hasattr(part.config, "num_hidden_layers"):
        part.config = copy.copy(part.config)
        part.config.num_hidden_layers = len(layers)
    return part
