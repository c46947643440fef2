# pyright: basic
# torch and transformers come without complete types
"""How likely each label is as the continuation of each prompt.

What all prompts begin with is computed once and kept as keys and values. Behind the rest of a prompt stand all
labels side by side; by the attention mask each sees the prompt and itself alone, as if it followed directly. So one
pass scores a batch of prompts with all labels.

Source: T. Brown et al. (2020), "Language Models are Few-Shot Learners" (labels by likelihood); the mask is that of
tree attention, X. Miao et al. (2023), "SpecInfer".
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.families.language.backbone import Backbone, by_length

__all__ = ["Scorer", "common_prefix", "naive_scores"]

Ids: TypeAlias = Sequence[Sequence[int]]
_Floats: TypeAlias = NDArray[np.float64]
BATCH = 16
FEWEST_SHARED = 4
"""Fewer shared tokens are not worth the copying of their keys and values."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores labels (token ids) behind prompts; `prefix` is what prompts are expected to begin with."""

    backbone: Backbone
    labels: tuple[tuple[int, ...], ...]
    prefix: tuple[int, ...] = ()

    def __call__(self, prompts: Ids, progress: Callable[[str], None] = lambda _: None) -> _Floats:
        """Log-probabilities (n, k): the sum over a label's tokens."""
        import torch

        score_nk = np.zeros((len(prompts), len(self.labels)))
        begins = np.array([self._begins(prompt) for prompt in prompts], dtype=bool)
        done = 0
        with torch.inference_mode():
            for begun in (True, False):
                rows = np.flatnonzero(begins == begun)
                begin, keys = (len(self.prefix), self._keys) if begun else (0, None)
                rest = [prompts[int(n)][begin:] for n in rows]
                for batch in by_length(rest, BATCH):
                    score_nk[rows[batch]] = self._batch([rest[i] for i in batch], begin, keys)
                    done += len(batch)
                    if done % (BATCH * 16) == 0:
                        progress(f"scored {done} of {len(prompts)} rows")
        return score_nk

    def _begins(self, prompt: Sequence[int]) -> bool:
        count = len(self.prefix)
        return count >= FEWEST_SHARED and len(prompt) > count and tuple(prompt[:count]) == self.prefix

    @cached_property
    def _keys(self) -> Any:
        """Keys and values of the prefix."""
        import torch

        ids_bt = torch.tensor([self.prefix], device=self.backbone.device)
        return self.backbone.body()(input_ids=ids_bt, use_cache=True).past_key_values

    def _batch(self, rest: Ids, begin: int, keys: Any) -> _Floats:
        import torch
        from transformers import DynamicCache

        device = self.backbone.device
        # The last token of a label predicts nothing that is asked for, so it is not computed.
        inner = [label[:-1] for label in self.labels]
        laid = [_laid_out(row, inner) for row in rest]
        length = max(len(ids) for ids, _, _ in laid)
        ids_bt = torch.zeros((len(rest), length), dtype=torch.long)
        place_bt = torch.zeros((len(rest), length), dtype=torch.long)
        sees_btt = torch.eye(length, dtype=torch.bool).repeat(len(rest), 1, 1)
        for b, (ids, places, owners) in enumerate(laid):
            count = len(ids)
            ids_bt[b, :count] = torch.tensor(ids)
            place_bt[b, :count] = torch.tensor(places) + begin
            owner_t = torch.tensor(owners)
            same_tt = (owner_t[:, None] == owner_t[None]) | (owner_t[None] < 0)
            sees_btt[b, :count, :count] = same_tt & torch.ones(count, count, dtype=torch.bool).tril()
        past = None
        if keys is not None:
            past = DynamicCache(
                [
                    (layer.keys.expand(len(rest), -1, -1, -1), layer.values.expand(len(rest), -1, -1, -1))
                    for layer in keys.layers
                ]
            )
        before_btp = torch.ones((len(rest), length, begin), dtype=torch.bool)
        hidden_btd = self.backbone.body()(
            input_ids=ids_bt.to(device),
            position_ids=place_bt.to(device),
            attention_mask=torch.cat([before_btp, sees_btt], dim=2)[:, None].to(device),
            past_key_values=past,
            use_cache=keys is not None,
        ).last_hidden_state
        return self._read(hidden_btd, [len(row) for row in rest])

    def _read(self, hidden_btd: Any, lengths: Sequence[int]) -> _Floats:
        """Logits are computed only where a token of a label is predicted."""
        import torch

        rows: list[int] = []
        places: list[int] = []
        wanted: list[int] = []
        owner: list[tuple[int, int]] = []
        for b, length in enumerate(lengths):
            at = length
            for k, label in enumerate(self.labels):
                where = [length - 1, *range(at, at + len(label) - 1)]
                at += len(label) - 1
                rows += [b] * len(label)
                places += where
                wanted += label
                owner += [(b, k)] * len(label)
        distinct = sorted(set(zip(rows, places, strict=True)))
        position = {pair: i for i, pair in enumerate(distinct)}
        state_md = hidden_btd[[b for b, _ in distinct], [t for _, t in distinct]]
        chance_mv = self.backbone.model.get_output_embeddings()(state_md).float().log_softmax(-1)
        at_m = [position[pair] for pair in zip(rows, places, strict=True)]
        value_m = chance_mv[at_m, torch.tensor(wanted, device=chance_mv.device)].double().cpu().numpy()
        score_bk = np.zeros((len(lengths), len(self.labels)))
        np.add.at(score_bk, tuple(np.array(owner).T), value_m)
        return score_bk


def common_prefix(prompts: Ids) -> tuple[int, ...]:
    """The tokens that all prompts begin with."""
    ordered = sorted([list(prompt) for prompt in prompts])
    low, high = ordered[0], ordered[-1]
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return tuple(token for token, _ in same)


def _laid_out(row: Sequence[int], inner: Ids) -> tuple[list[int], list[int], list[int]]:
    """A prompt's rest and the labels behind it: ids, places in the text, and whose they are (-1: the prompt's)."""
    ids, places, owners = list(row), list(range(len(row))), [-1] * len(row)
    for k, label in enumerate(inner):
        ids += label
        places += range(len(row), len(row) + len(label))
        owners += [k] * len(label)
    return ids, places, owners


def naive_scores(backbone: Backbone, prompts: Ids, labels: Ids) -> _Floats:
    """The same, label by label and row by row: what `Scorer` is checked and timed against."""
    import torch

    score_nk = np.zeros((len(prompts), len(labels)))
    with torch.inference_mode():
        for n, prompt in enumerate(prompts):
            for k, label in enumerate(labels):
                ids_bt = torch.tensor([[*prompt, *label]], device=backbone.device)
                chance_tv = backbone.model(input_ids=ids_bt, use_cache=False).logits[0].float().log_softmax(-1)
                places = range(len(prompt) - 1, len(prompt) + len(label) - 1)
                score_nk[n, k] = sum(float(chance_tv[t, token]) for t, token in zip(places, label, strict=True))
    return score_nk
