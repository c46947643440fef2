"""A family of fixed models for the tests: its folder's name says how it predicts column x."""

import numpy as np

from bakeoff.core.types import Column, Predictions, Signature

CLASSES = ("no", "yes")
INPUT = Column(name="x", kind="numeric", dtype="Float64")


class Threshold:
    """P(yes) = logistic(slope · x)."""

    def __init__(self, slope):
        self._slope = slope
        self.calls = []

    @property
    def chosen(self):
        return {}

    @property
    def signature(self):
        return Signature(task="classification", inputs=(INPUT,), classes=CLASSES)

    def predict(self, table):
        self.calls.append(table.height)
        yes = 1 / (1 + np.exp(-self._slope * table["x"].fill_null(0.0).to_numpy()))
        return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), CLASSES)


class ThresholdFamily:
    def load(self, folder, threads, cache=None):
        return Threshold(float(folder.name))


class Doubling:
    def predict(self, table):
        return Predictions(values_n=2 * table["x"].to_numpy())


class DoublingFamily:
    def load(self, folder, threads, cache=None):
        return Doubling()
