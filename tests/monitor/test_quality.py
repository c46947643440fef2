"""Quality from labels: the same classes and the same chance on both sides; and what is expected before labels come."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.discoveries import look_level
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.monitor import quality
from bakeoff.monitor.look import LabelledRows, MonitorLook
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums
from bakeoff.testing.events import prediction

X = (Column(name="x", kind="numeric", dtype="Float64"), Column(name="city", kind="categorical", dtype="String"))


def rows_of(rng, n, shift=0.0) -> pl.DataFrame:
    return pl.DataFrame({"x": rng.normal(shift, 1, n), "city": rng.choice(["ulm", "bonn", "kiel"], n)})


def binary(rng, rows, *, sharp=1.0) -> tuple[list[str], Predictions]:
    """Truth by a logistic law of x, and a model that knows it, but for how sure it is."""
    odds = 2 * rows["x"].to_numpy() + 0.5
    truth = np.where(rng.random(len(odds)) < 1 / (1 + np.exp(-odds)), "yes", "no")
    yes = 1 / (1 + np.exp(-sharp * odds))
    return truth.tolist(), Predictions.of_probabilities(np.stack([1 - yes, yes], axis=1), ("no", "yes"))


def look_of(reference, signature, labels=None, **config) -> MonitorLook:
    return MonitorLook(
        signature=signature,
        reference=reference,
        config=MonitorConfig(**config),
        since_ms=0,
        until_ms=1,
        seed=0,
        labels=labels or LabelledRows(),
    )


def reference_of(rows, truth, predictions, *, metric="f1_macro", task="classification"):
    value = find(metric, task)(outcome(truth, predictions, task, positive="yes"))
    return make(rows, X, predictions, task=task, metric=metric, value=value, truth=truth)


BINARY = Signature(task="classification", inputs=X, classes=("no", "yes"))


def many_classes(rng, n, classes, *, wrong=0.1) -> tuple[list[str], Predictions]:
    every = [f"c{at:02d}" for at in range(77)]
    truth = rng.choice(classes, n)
    said = np.where(rng.random(n) < wrong, rng.choice(every, n), truth)
    return truth.tolist(), Predictions(values_n=said, classes=tuple(every))


def test_feedback_on_a_third_of_the_classes_is_compared_with_the_same_third():
    rng = np.random.default_rng(1)
    every = [f"c{at:02d}" for at in range(77)]
    truth, said = many_classes(rng, 3000, every)
    rows = rows_of(rng, 3000)
    signature = Signature(task="classification", inputs=X, classes=tuple(every))
    reference = reference_of(rows, truth, said)
    alerts = 0
    for _ in range(10):
        labels = LabelledRows(**dict(zip(("truth", "predicted"), many_classes(rng, 120, every[:25]), strict=True)))
        signal = quality.quality(look_of(reference, signature, labels))
        plain = find("f1_macro", "classification")(outcome(labels.truth, labels.predicted, "classification"))
        assert plain < 0.85  # classes without feedback that were said by mistake count for nothing
        assert abs(signal.value - signal.detail["reference"]) < 0.1
        assert "over the 25 classes" in signal.detail["reason"] or "over the 24" in signal.detail["reason"]
        alerts += signal.alert
    assert alerts == 0
    more = LabelledRows(
        truth=(*labels.truth, *["other"] * 30),
        predicted=Predictions(
            values_n=np.asarray([*labels.predicted.values_n.tolist(), *["c00"] * 30]), classes=signature.classes
        ),
    )
    signal = quality.quality(look_of(reference, signature, more))
    assert (signal.rows, signal.detail["left_out"]) == (120, 30)
    assert "on 120 rows with feedback (30 more are of classes that the reference lacks)" in signal.detail["reason"]
    worse = LabelledRows(
        **dict(zip(("truth", "predicted"), many_classes(rng, 300, every[:25], wrong=0.5), strict=True))
    )
    assert quality.quality(look_of(reference, signature, worse)).alert


@pytest.mark.parametrize(("metric", "reference_rows"), [("f1_macro", 100), ("f1_macro", 2000), ("log_loss", 300)])
def test_chance_on_both_sides_is_what_it_is(metric, reference_rows):
    """z of the difference has a deviation of about one, whichever side is small."""
    z = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = rows_of(rng, reference_rows)
        reference = reference_of(rows, *binary(rng, rows), metric=metric)
        fresh = rows_of(rng, 200)
        truth, said = binary(rng, fresh)
        labels = LabelledRows(truth=truth, predicted=said, rows=fresh.to_dicts())
        signal = quality.quality(look_of(reference, BINARY, labels))
        half = (signal.detail["high"] - signal.detail["low"]) / 2 / 1.96
        z.append((signal.value - signal.detail["reference"]) / half)
    assert abs(np.mean(z)) < 0.45
    assert 0.7 < np.std(z) < 1.3


def test_a_row_that_is_repeated_a_thousand_times_is_one_row():
    rng = np.random.default_rng(3)
    rows = rows_of(rng, 2000)
    reference = reference_of(rows, *binary(rng, rows))
    fresh = rows_of(rng, 200)
    truth, said = binary(rng, fresh)
    many = LabelledRows(
        truth=[*truth, *["no"] * 1000],
        predicted=Predictions(values_n=np.asarray([*said.values_n.tolist(), *["yes"] * 1000]), classes=("no", "yes")),
        rows=[*fresh.to_dicts(), *[{"x": 1.0, "city": "ulm"}] * 1000],
    )
    signal = quality.quality(look_of(reference, BINARY, many))
    assert signal.value < 0.5
    assert not signal.alert
    alone = LabelledRows(truth=many.truth, predicted=many.predicted)
    assert quality.quality(look_of(reference, BINARY, alone)).alert


def test_rows_of_a_user_are_worth_as_many_as_their_errors_show():
    """60 users of 10 rows who all err together: without the group one in many alarms, with it none."""
    every, alerts = [], {True: 0, False: 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rows_of(rng, 2000)
        reference = reference_of(rows, *binary(rng, rows), metric="accuracy")
        rate = reference.value
        right = np.repeat(rng.random(60) < rate, 10)
        truth = rng.choice(["no", "yes"], 600)
        said = np.where(right, truth, np.where(truth == "yes", "no", "yes"))
        predictions = Predictions(values_n=said, classes=("no", "yes"))
        for grouped in alerts:
            groups = np.repeat(np.arange(60), 10).tolist() if grouped else ()
            labels = LabelledRows(truth=truth.tolist(), predicted=predictions, groups=groups)
            alerts[grouped] += quality.quality(look_of(reference, BINARY, labels, quality_drop=0.0)).alert
        every.append(right.mean())
    assert alerts[True] == 0
    assert alerts[False] >= 1
    assert abs(np.mean(every) - rate) < 0.03


def events_of(rows, predictions):
    shares = [{"no": a, "yes": b} for a, b in predictions.probabilities_nk]
    answers = zip(rows.to_dicts(), predictions.values_n.tolist(), shares, strict=True)
    return [
        prediction(str(at), row=row, label=label, probabilities=each) for at, (row, label, each) in enumerate(answers)
    ]


@pytest.mark.parametrize("metric", ["f1_macro", "accuracy", "roc_auc", "log_loss", "recall[yes]"])
@pytest.mark.parametrize("sharp", [1.0, 3.0])
def test_what_is_expected_comes_true_where_only_the_inputs_moved_however_overconfident_the_model(metric, sharp):
    rng = np.random.default_rng(5)
    rows = rows_of(rng, 4000)
    reference = reference_of(rows, *binary(rng, rows, sharp=sharp), metric=metric)
    assert reference.calibrated.slope == pytest.approx(1 / sharp, rel=0.15)
    moved = rows_of(rng, 8000, shift=-0.8)
    truth, said = binary(rng, moved, sharp=sharp)
    sums = PredictionSums.of(events_of(moved, said), BINARY, reference)
    measure = find(metric, "classification")
    true = measure(outcome(truth, said, "classification", positive="yes"))
    labels = LabelledRows(truth=truth[:500], predicted=said.take(np.arange(500)))
    signal = quality.estimated(sums, look_of(reference, BINARY, labels))
    assert signal.value == pytest.approx(true, abs=0.03 if metric != "log_loss" else 0.08)
    assert abs(signal.detail["error"]) < (0.08 if metric != "log_loss" else 0.3)
    assert not signal.alert


def test_errors_of_numbers_are_expected_from_where_predictions_lie():
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 10, 4000)
    truth = x + rng.normal(0, 0.1 + 0.2 * x)
    rows = pl.DataFrame({"x": x, "city": ["ulm"] * 4000})
    signature = Signature(task="regression", inputs=X)
    reference = make(rows, X, Predictions(values_n=x), task="regression", metric="mae", value=1.0, truth=truth)
    now = rng.uniform(6, 10, 3000)
    sums = PredictionSums.of(
        [prediction(str(at), row={"x": v}, value=v) for at, v in enumerate(now)], signature, reference
    )
    signal = quality.estimated(sums, look_of(reference, signature))
    assert signal.value == pytest.approx(np.mean(0.1 + 0.2 * now) * np.sqrt(2 / np.pi), rel=0.06)


def test_confidence_that_exceeds_accuracy_is_shown():
    rng = np.random.default_rng(7)
    rows = rows_of(rng, 2000)
    truth, said = binary(rng, rows, sharp=4.0)
    reference = reference_of(rows, truth, said)
    signal = quality.calibration(look_of(reference, BINARY, LabelledRows(truth=truth, predicted=said)))
    assert signal.value > 0.08
    assert signal.detail["low"] < signal.value < signal.detail["high"]


def test_the_part_that_became_worse_is_named():
    rng = np.random.default_rng(8)
    rows = rows_of(rng, 3000)
    reference = reference_of(rows, *binary(rng, rows))
    fresh = rows_of(rng, 900)
    truth, said = binary(rng, fresh)
    labels = LabelledRows(truth=truth, predicted=said, rows=fresh.to_dicts())
    calm = quality.slices(look_of(reference, BINARY, labels))
    assert (calm.alert, calm.rows > 0) == (False, True)
    flipped = [
        ({"yes": "no", "no": "yes"}[each]) if city == "kiel" and rng.random() < 0.5 else each
        for each, city in zip(truth, fresh["city"].to_list(), strict=True)
    ]
    labels = LabelledRows(truth=flipped, predicted=said, rows=fresh.to_dicts())
    signal = quality.slices(look_of(reference, BINARY, labels))
    assert signal.alert
    assert next(iter(signal.detail["over"])) == "city = kiel"


def test_days_that_vary_by_themselves_are_no_loss_of_a_part():
    """Without the days one week in three raises an alarm; a part that became worse is still named."""
    rng = np.random.default_rng(12)
    alerts = {"with": 0, "without": 0, "worse": 0}
    for _ in range(20):
        truth, said, days = of_days(rng, 30, wrong=0.25, spread=0.12)
        rows = pl.DataFrame({"x": np.zeros(len(truth)), "city": rng.choice(["ulm", "kiel"], len(truth))})
        reference = make(rows, X, said, task="classification", metric="accuracy", value=0.75, truth=truth, days=days)
        truth, said, days = of_days(rng, 7, wrong=0.25, spread=0.12)
        fresh = [{"x": 0.0, "city": str(each)} for each in rng.choice(["ulm", "kiel"], len(truth))]
        labels = LabelledRows(truth=truth, predicted=said, rows=fresh, days=days)
        alerts["with"] += quality.slices(look_of(reference, BINARY, labels, slice_drop=0.05)).alert
        alerts["without"] += quality.slices(look_of(reference, BINARY, replace(labels, days=()), slice_drop=0.05)).alert
        turned = [
            {"yes": "no", "no": "yes"}[each] if row["city"] == "kiel" else each
            for each, row in zip(truth, fresh, strict=True)
        ]
        signal = quality.slices(look_of(reference, BINARY, replace(labels, truth=turned)))
        alerts["worse"] += signal.alert and next(iter(signal.detail["over"])) == "city = kiel"
    assert alerts["with"] == 0
    assert alerts["without"] >= 5
    assert alerts["worse"] == 20


def test_levels_of_looks_add_up_to_the_rate_of_the_week():
    assert 168 * look_level(0.01) < 0.01
    assert look_level(0.01, look=3) == pytest.approx(look_level(0.01) / 9)


TEXTS = (Column(name="text", kind="text", dtype="String"),)


@pytest.mark.parametrize(("columns", "worth"), [(TEXTS, 0.5), (X[:1], 1.0)])
def test_of_shifted_texts_a_model_knows_less_than_it_says(columns, worth):
    """Half of the evidence is words that the model does not know, and half of what it knows misleads."""
    rng = np.random.default_rng(8)
    name = columns[0].name
    signature = Signature(task="classification", inputs=columns, classes=("no", "yes"))

    def answered(n, said_share, true_share):
        odds = 2.5 * rng.normal(size=n)
        truth = np.where(rng.random(n) < 1 / (1 + np.exp(-true_share * odds)), "yes", "no")
        yes = 1 / (1 + np.exp(-said_share * odds))
        predictions = Predictions.of_probabilities(np.stack([1 - yes, yes], axis=1), ("no", "yes"))
        return pl.DataFrame({name: [f"{at}" for at in range(n)]}), truth.tolist(), predictions

    measure = find("f1_macro", "classification")
    rows, truth, said = answered(4000, 1.0, 1.0)
    value = measure(outcome(truth, said, "classification"))
    reference = make(rows, columns, said, task="classification", metric="f1_macro", value=value, truth=truth)
    rows, truth, said = answered(4000, 0.5, 0.25)
    true = measure(outcome(truth, said, "classification"))
    sums = PredictionSums.of(events_of(rows, said), signature, reference)
    calm = quality.estimated(sums, look_of(reference, signature))
    shifted = quality.estimated(sums, look_of(reference, signature), is_shifted=True, separation=0.85)
    assert calm.value - true > 0.06
    assert shifted.detail["worth"] == pytest.approx(worth, abs=0.05)
    assert (abs(shifted.value - true) < 0.03) == (columns == TEXTS)
    assert shifted.detail["low"] < true < shifted.detail["high"]
    assert calm.detail["low"] > true + 0.02
    assert "anything from" in shifted.detail["reason"]
    unknown = quality.estimated(sums, look_of(reference, signature), is_shifted=True)
    assert {"low", "high"}.isdisjoint(unknown.detail)
    assert unknown.detail["reason"].endswith("it may be well off")


def of_days(rng, days, *, wrong, spread):
    """500 answers a day of which a share is wrong that varies by days; truth, predictions, and the days."""
    share_d = np.clip(wrong + spread * rng.normal(size=days), 0.02, 0.98)
    day_n = np.repeat(np.arange(days), 500)
    truth = rng.choice(["no", "yes"], len(day_n))
    other = np.where(truth == "yes", "no", "yes")
    said = np.where(rng.random(len(day_n)) < share_d[day_n], other, truth)
    return truth.tolist(), Predictions(values_n=said, classes=("no", "yes")), day_n.tolist()


def test_days_that_vary_by_themselves_are_no_loss_of_quality():
    """Without the days of the reference, one week in five raises an alarm; with them, a real loss is still seen."""
    rng = np.random.default_rng(9)
    alerts = {"with": 0, "without": 0, "worse": 0}
    for _ in range(30):
        truth, said, days = of_days(rng, 30, wrong=0.25, spread=0.12)
        rows = pl.DataFrame({"x": np.zeros(len(truth)), "city": ["ulm"] * len(truth)})
        value = find("accuracy", "classification")(outcome(truth, said, "classification", positive="yes"))
        made = {"task": "classification", "metric": "accuracy", "value": value, "truth": truth}
        reference = make(rows, X, said, **made, days=days)
        assert 0.02 < reference.within_day < 0.15
        for name, wrong in (("with", 0.25), ("worse", 0.65)):
            truth, said, days = of_days(rng, 7, wrong=wrong, spread=0.12)
            labels = LabelledRows(truth=truth, predicted=said, days=days)
            alerts[name] += quality.quality(look_of(reference, BINARY, labels)).alert
            if name == "with":
                plain = LabelledRows(truth=truth, predicted=said)
                alerts["without"] += quality.quality(look_of(reference, BINARY, plain)).alert
    assert alerts["with"] == 0
    assert alerts["without"] >= 4
    assert alerts["worse"] >= 28


def test_rows_without_days_or_of_few_days_are_taken_as_they_come():
    rng = np.random.default_rng(10)
    truth, said, days = of_days(rng, 6, wrong=0.25, spread=0.2)
    rows = pl.DataFrame({"x": np.zeros(len(truth)), "city": ["ulm"] * len(truth)})
    made = {"task": "classification", "metric": "accuracy", "value": 0.75, "truth": truth}
    assert make(rows, X, said, **made).within_day == 0.0
    assert make(rows, X, said, **made, days=days).within_day == 0.0
    alike, same, days = of_days(rng, 30, wrong=0.25, spread=0.0)
    rows = pl.DataFrame({"x": np.zeros(len(alike)), "city": ["ulm"] * len(alike)})
    assert make(rows, X, same, **{**made, "truth": alike}, days=days).within_day < 0.002


def test_what_three_classes_are_told_is_worth_less_after_a_shift():
    """By hand: with nothing worth, the answers are right as often as the classes are frequent."""
    rng = np.random.default_rng(11)
    shares = rng.dirichlet([0.3, 0.3, 0.3], 3000)
    classes = ("a", "b", "c")
    truth = [classes[rng.choice(3, p=row)] for row in shares]
    said = Predictions.of_probabilities(shares, classes)
    rows = pl.DataFrame({"text": [f"{at}" for at in range(3000)]})
    value = find("accuracy", "classification")(outcome(truth, said, "classification"))
    reference = make(rows, TEXTS, said, task="classification", metric="accuracy", value=value, truth=truth)
    answers = zip(rows.to_dicts(), said.values_n.tolist(), shares, strict=True)
    events = [
        prediction(str(at), row=row, label=label, probabilities=dict(zip(classes, each.tolist(), strict=True)))
        for at, (row, label, each) in enumerate(answers)
    ]
    signature = Signature(task="classification", inputs=TEXTS, classes=classes)
    sums = PredictionSums.of(events, signature, reference)
    signal = quality.estimated(sums, look_of(reference, signature), is_shifted=True, separation=1.0)
    assert signal.detail["worth"] == pytest.approx(1.0)
    assert signal.value == pytest.approx(value, abs=1e-6)
    assert signal.detail["low"] == pytest.approx(1 / 3, abs=0.06)
