import json

import msgspec
import numpy as np
import pytest

from bakeoff.evaluate.findings.calibration import (
    Temperature,
    calibration,
    ece,
    isotonic,
    reliability,
    rescaled,
    temperature,
)
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.registry import find

CLASSES = ("a", "b", "c")


def answers(n, *, sharpness, seed=0):
    """Rows whose truth is drawn from probabilities p, of which p to the power `sharpness` is said."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    said = true**sharpness
    said /= said.sum(axis=1, keepdims=True)
    return Outcome(truth_n=truth, predicted_n=said.argmax(axis=1), classes=CLASSES, probabilities_nk=said)


def test_the_curve_counts_every_row_and_gives_the_metric():
    result = answers(1000, sharpness=2.0)
    bins = reliability(result)
    assert sum(each.rows for each in bins) == 1000
    assert all(0 <= each.right <= 1 and each.rows > 0 for each in bins)
    assert [each.confidence for each in bins] == sorted(each.confidence for each in bins)
    assert ece(result) == pytest.approx(find("ece", "classification")(result))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(sharpness):
    validation, test = (answers(4000, sharpness=sharpness, seed=s) for s in (1, 2))
    scale = temperature(validation)
    assert scale.value == pytest.approx(sharpness, rel=0.1)
    assert ece(rescaled(test, scale)) < 0.03
    assert (rescaled(test, scale).predicted_n == test.predicted_n).all()
    assert Temperature(value=1.0)(test.probabilities_nk) == pytest.approx(test.probabilities_nk)


def test_isotonic_mends_what_no_temperature_can():
    validation, test = (answers(4000, sharpness=1.0, seed=s) for s in (3, 4))
    bent = [(r.probabilities_nk + np.array([0.6, 0.0, 0.0])) / 1.6 for r in (validation, test)]
    validation, test = (
        Outcome(truth_n=r.truth_n, predicted_n=p.argmax(axis=1), classes=CLASSES, probabilities_nk=p)
        for r, p in zip((validation, test), bent, strict=True)
    )
    stepped = rescaled(test, isotonic(validation))
    assert stepped.probabilities_nk.sum(axis=1) == pytest.approx(np.ones(4000))
    assert ece(stepped) < 0.03 < ece(rescaled(test, temperature(validation)))


def test_isotonic_of_a_class_never_seen():
    two = Outcome(
        truth_n=np.array([0, 1] * 150),
        predicted_n=np.array([0, 1] * 150),
        classes=CLASSES,
        probabilities_nk=np.tile([[0.7, 0.2, 0.1], [0.2, 0.8, 0.0]], (150, 1)),
    )
    shares = rescaled(two, isotonic(two)).probabilities_nk
    assert shares.sum(axis=1) == pytest.approx(np.ones(300))
    assert (shares[:, 2] < 0.01).all()


def test_what_is_told():
    test, validation = answers(500, sharpness=3.0), answers(300, sharpness=3.0, seed=1)
    found = calibration(test, validation)
    json.dumps(json.loads(msgspec.json.encode(found)), allow_nan=False)
    assert found.ece_temperature < found.ece
    assert found.ece_isotonic < found.ece
    assert found.validation_rows == 300
    alone = calibration(test)
    assert (alone.ece, alone.temperature, alone.validation_rows) == (found.ece, None, 0)
    few = calibration(test, validation.take(np.arange(50)))
    assert few.temperature is not None
    assert few.ece_isotonic is None
