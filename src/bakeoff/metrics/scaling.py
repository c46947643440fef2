"""Probabilities rescaled: how calibrated models and the evaluation of rescaling compute them alike."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPS", "Calibrator", "Isotonic", "Temperature"]

Floats: TypeAlias = NDArray[np.float64]

EPS = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """Probabilities to the power 1 / `value`, made to sum to 1: over 1 less sure, below 1 surer."""

    value: float

    def __call__(self, p_nk: Floats) -> Floats:
        """Rescaled probabilities (n, k); the most probable class stays."""
        scaled = np.log(np.clip(p_nk, EPS, 1.0)) / self.value
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic:
    """For each class the thresholds and values of a rising function of its probability."""

    x: tuple[tuple[float, ...], ...]
    y: tuple[tuple[float, ...], ...]

    def __call__(self, p_nk: Floats) -> Floats:
        """Rescaled probabilities (n, k), made to sum to 1; a row without any left keeps its own."""
        raised = np.column_stack([np.interp(p_nk[:, at], self.x[at], self.y[at]) for at in range(p_nk.shape[1])])
        total = raised.sum(axis=1, keepdims=True)
        return np.where(total > EPS, raised / np.maximum(total, EPS), p_nk)


Calibrator: TypeAlias = Temperature | Isotonic
