"""Labels' scores into probabilities: what the model favours whatever the text is taken out.

`contextual` subtracts the scores of prompts without content; `validation` fits a temperature and a bias for each
label by maximum likelihood on validation rows, with a weak pull towards none.

Source: T. Zhao et al. (2021), "Calibrate Before Use" (contextual); C. Guo et al. (2017), "On Calibration of Modern
Neural Networks" (temperature and vector scaling).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.types import Json

__all__ = ["CONTENT_FREE", "Scaling"]

_Floats: TypeAlias = NDArray[np.float64]
CONTENT_FREE = ("N/A", "", "[MASK]")
PULL = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Scores times `slope` plus a label's bias are its logits."""

    slope: float
    biases: tuple[float, ...]

    @classmethod
    def none(cls, labels: int) -> "Scaling":
        """Scores as they are."""
        return cls(slope=1.0, biases=(0.0,) * labels)

    @classmethod
    def of_json(cls, value: Json) -> "Scaling":
        """What `to_json` gave."""
        scaling = narrow.json_object(value)
        return cls(slope=float(scaling["slope"]), biases=tuple(map(float, scaling["biases"])))

    def to_json(self) -> dict[str, Json]:
        """For the record of what was chosen."""
        return {"slope": self.slope, "biases": list(self.biases)}

    def __call__(self, score_nk: _Floats) -> _Floats:
        """Probabilities (n, k)."""
        return _softmax(self.slope * score_nk + np.asarray(self.biases))

    @classmethod
    def contextual(cls, empty_mk: _Floats) -> "Scaling":
        """From the scores of prompts without content (m, k)."""
        mean_k = _softmax(empty_mk).mean(axis=0)
        return cls(slope=1.0, biases=tuple(float(bias) for bias in -np.log(np.maximum(mean_k, 1e-12))))

    @classmethod
    def fitted(cls, score_nk: _Floats, label_n: NDArray[np.int64], weight_n: _Floats) -> "Scaling":
        """From the scores of labelled rows (n, k): maximum likelihood, convex in slope and biases."""
        from scipy.optimize import minimize

        count, labels = score_nk.shape
        centred_nk = score_nk - score_nk.mean(axis=0)
        hit_nk = np.eye(labels)[label_n]

        def loss(theta: _Floats) -> tuple[float, _Floats]:
            chance_nk = _softmax(theta[0] * centred_nk + theta[1:])
            away_nk = weight_n[:, None] * (chance_nk - hit_nk) / count
            likely = np.log(np.maximum(chance_nk[np.arange(count), label_n], 1e-300))
            value = (
                -float((weight_n * likely).mean()) + PULL / 2 * ((theta[0] - 1) ** 2 + (theta[1:] ** 2).sum()) / count
            )
            slope = (away_nk * centred_nk).sum() + PULL * (theta[0] - 1) / count
            return value, np.concatenate([[slope], away_nk.sum(axis=0) + PULL * theta[1:] / count])

        start = np.concatenate([[1.0], np.zeros(labels)])
        bounds = [(0.0, None), *[(None, None)] * labels]
        theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        biases = theta[1:] - theta[0] * score_nk.mean(axis=0)
        return cls(slope=float(theta[0]), biases=tuple(float(bias) for bias in biases))


def _softmax(logit_nk: _Floats) -> _Floats:
    power_nk = np.exp(logit_nk - logit_nk.max(axis=1, keepdims=True, initial=-np.inf))
    return power_nk / power_nk.sum(axis=1, keepdims=True)
