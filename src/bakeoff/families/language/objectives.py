# pyright: basic
# torch comes without complete types
"""What is asked of hidden states: a class, a number, or the next tokens of an answer; and the loss of it.

Logits are computed only at positions that an answer depends on. A loss comes as a sum and its weight, so that a batch
can be cut into pieces and still be one mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from bakeoff.families.language.backbone import Backbone, by_length
from bakeoff.families.language.distributed import Group
from bakeoff.families.language.examples import Example, with_rejected
from bakeoff.families.language.network import Network

__all__ = ["Classes", "Completions", "Contrast", "Numbers", "Objective", "Preferences"]

Tensor: TypeAlias = Any
HEAD_BATCH = 32


class Objective(Protocol):
    """A head and its loss."""

    def parameters(self) -> list[Any]:
        """What of it is trained."""
        ...

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """The summed loss of a batch, and what to divide sums by."""
        ...


class _Head:
    """A linear layer over one vector for each text."""

    def __init__(self, backbone: Backbone, out: int, *, weight_kd: Tensor | None = None) -> None:
        import torch

        self._backbone = backbone
        self.layer = torch.nn.Linear(backbone.width, out, device=backbone.device)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        self._trained = weight_kd is None
        if weight_kd is not None:
            self.layer.weight.data = weight_kd.detach().float().clone()

    def parameters(self) -> list[Any]:
        """See `Objective`."""
        return list(self.layer.parameters()) if self._trained else []

    def scores(self, hidden_btd: Tensor, lengths_b: Tensor) -> Tensor:
        """(b, k), in float32."""
        import torch

        with torch.autocast(hidden_btd.device.type, enabled=False):
            return self.layer(self._backbone.pooled(hidden_btd, lengths_b))


class Classes(_Head):
    """Cross-entropy over the classes, rows weighted by class; `label_ids` make the labels' own tokens the head."""

    def __init__(self, backbone: Backbone, weights: Sequence[float], *, label_ids: Sequence[int] = ()) -> None:
        import torch

        tokens = backbone.model.get_output_embeddings().weight[list(label_ids)] if label_ids else None
        super().__init__(backbone, len(weights), weight_kd=tokens)
        self._weight_k = torch.tensor(weights, dtype=torch.float32, device=backbone.device)

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """See `Objective`."""
        import torch

        label_b = torch.tensor([int(example.target) for example in examples], device=hidden_btd.device)
        score_bk = self.scores(hidden_btd, lengths_b)
        total = torch.nn.functional.cross_entropy(score_bk, label_b, weight=self._weight_k, reduction="sum")
        return total, float(self._weight_k[label_b].sum())


class Numbers(_Head):
    """Squared error of standardised numbers."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone, 1)

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """See `Objective`."""
        import torch

        wanted_b = torch.tensor([example.target for example in examples], device=hidden_btd.device)
        error_b = self.scores(hidden_btd, lengths_b)[:, 0] - wanted_b
        return (error_b**2).sum(), float(len(examples))


class Contrast(_Head):
    """Squared error between the cosine of two rows of a batch and whether they are of one class.

    The head is fitted at the end, by logistic regression on the vectors.
    """

    def __init__(self, backbone: Backbone, weights: Sequence[float]) -> None:
        super().__init__(backbone, len(weights))
        self._weights = list(weights)

    def parameters(self) -> list[Any]:
        """See `Objective`."""
        return []

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """See `Objective`."""
        import torch

        label_b = torch.tensor([example.target for example in examples], device=hidden_btd.device)
        vector_bd = torch.nn.functional.normalize(self._backbone.pooled(hidden_btd, lengths_b), dim=1)
        alike_bb = (label_b[:, None] == label_b[None]).float()
        pairs_bb = torch.ones_like(alike_bb).triu(diagonal=1)
        error_bb = (vector_bd @ vector_bd.T - alike_bb) ** 2 * pairs_bb
        return error_bb.sum(), max(float(pairs_bb.sum()), 1.0)

    def settle(self, network: Network, examples: Sequence[Example]) -> None:
        """Fit the head on examples."""
        import numpy as np
        import torch
        from sklearn.linear_model import LogisticRegression

        self._backbone.model.eval()
        vectors = np.zeros((len(examples), self._backbone.width))
        with torch.no_grad():
            for rows in by_length([example.ids for example in examples], HEAD_BATCH):
                some = [examples[row] for row in rows]
                vectors[rows] = self._backbone.pooled(*network.hidden("train", rows, some)).double().cpu().numpy()
        label_n = np.array([int(example.target) for example in examples])
        scale = float(np.abs(vectors).mean()) or 1.0
        model = LogisticRegression(max_iter=1000).fit(
            vectors / scale, label_n, sample_weight=np.asarray(self._weights)[label_n]
        )
        coef_kd, bias_k = model.coef_ / scale, model.intercept_
        if len(coef_kd) == 1:  # two classes: (0, s) are the same odds as s
            coef_kd, bias_k = np.vstack([0 * coef_kd, coef_kd]), np.append(0.0, bias_k)
        self.layer.bias.data.fill_(-30.0)  # of a class that no example has
        for at, label in enumerate(model.classes_):
            self.layer.weight.data[label] = torch.from_numpy(coef_kd[at]).float()
            self.layer.bias.data[label] = float(bias_k[at])


class Completions:
    """Cross-entropy of the answers' tokens under the model's own output layer; prompts are not learned."""

    def __init__(self, backbone: Backbone) -> None:
        self._output = backbone.model.get_output_embeddings()

    def parameters(self) -> list[Any]:
        """See `Objective`."""
        return []

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """See `Objective`."""
        del lengths_b
        loss = self._cross_entropy(hidden_btd, examples, "sum")
        return loss, float(sum(example.completion for example in examples))

    def _cross_entropy(self, hidden_btd: Tensor, examples: Sequence[Example], reduction: str) -> Tensor:
        import torch

        rows: list[int] = []
        places: list[int] = []
        wanted: list[int] = []
        for b, example in enumerate(examples):
            begin = len(example.ids) - example.completion
            rows += [b] * example.completion
            places += range(begin - 1, len(example.ids) - 1)
            wanted += example.ids[begin:]
        logit_mv = self._output(hidden_btd[rows, places]).float()
        wanted_m = torch.tensor(wanted, device=hidden_btd.device)
        return torch.nn.functional.cross_entropy(logit_mv, wanted_m, reduction=reduction)


class Preferences(Completions):
    """The loss of `Completions`, and one on pairs of an answer and a rejected one.

    -ln sigmoid(beta · (margin - reference)) asks that the margin, the log-probability of the answer less that of the
    rejected one, grows over what it was before training. A pair weighs as much as the `weight` tokens of an average
    answer do, so that the whole is the mean loss of a token, and of a pair by the share of rows that have one. Behind
    the examples of a batch stand their rejected answers (`with_rejected`).

    Source: R. Rafailov et al. (2023), "Direct Preference Optimization", equation 7; R. Pang et al. (2024),
    "Iterative Reasoning Preference Optimization", equation 1 (together with the likelihood of the answers).
    """

    def __init__(self, backbone: Backbone, *, beta: float, weight: float) -> None:
        super().__init__(backbone)
        self._beta, self._weight = beta, weight

    def loss(self, hidden_btd: Tensor, lengths_b: Tensor, examples: Sequence[Example]) -> tuple[Tensor, float]:
        """See `Objective`."""
        import torch

        del lengths_b
        likely_b = self._log_likelihood(hidden_btd, examples)
        pairs = [b for b, example in enumerate(examples) if example.rejected]
        first = len(examples) - len(pairs)
        total = -likely_b[:first].sum()
        if pairs:
            reference_p = torch.tensor([examples[b].reference for b in pairs], device=likely_b.device)
            gain_p = likely_b[pairs] - likely_b[first:] - reference_p
            total = total - self._weight * torch.nn.functional.logsigmoid(self._beta * gain_p).sum()
        return total, float(sum(example.completion for example in examples[:first]))

    def _log_likelihood(self, hidden_btd: Tensor, examples: Sequence[Example]) -> Tensor:
        """The log-probability of each example's answer (b,)."""
        import torch

        each_m = -self._cross_entropy(hidden_btd, examples, "none")
        return torch.stack([part.sum() for part in each_m.split([example.completion for example in examples])])

    def referred(self, network: Network, part: str, examples: Sequence[Example], group: Group) -> list[Example]:
        """The examples with their reference: what the network says of their pairs now, before it learns."""
        import torch

        network.backbone.model.eval()
        pairs = [row for row, example in enumerate(examples) if example.rejected]
        reference_n = [0.0] * len(examples)
        with torch.no_grad():
            for places in group.share(by_length([range(examples[row].length) for row in pairs], HEAD_BATCH)):
                some = [pairs[place] for place in places]
                rows, batch = with_rejected(some, [examples[row] for row in some])
                likely_b = self._log_likelihood(network.hidden(part, rows, batch)[0], batch)
                for row, margin in zip(some, (likely_b[: len(some)] - likely_b[len(some) :]).tolist(), strict=True):
                    reference_n[row] = margin
        reference_n = group.summed(*reference_n)
        return [replace(example, reference=told) for example, told in zip(examples, reference_n, strict=True)]
