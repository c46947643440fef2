import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.families.language.calibration import Scaling
from bakeoff.families.language.examples import epoch_batches, stratified
from bakeoff.families.language.few_shot import drawn, nearest_order
from bakeoff.families.language.training import Recipe


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_has_every_row_once(lengths: list[int], size: int, epoch: int) -> None:
    batches = epoch_batches(lengths, size, seed=1, epoch=epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)


def test_a_batch_holds_rows_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 256).tolist()
    spread = [
        max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in epoch_batches(lengths, 16, seed=0, epoch=0)
    ]
    assert np.mean(spread) < 10


@given(st.lists(st.integers(0, 3), min_size=8, max_size=300), st.integers(4, 40))
def test_a_sample_has_every_class_with_its_share(labels: list[int], most: int) -> None:
    value_n = np.array(labels, dtype=np.float64)
    rows = stratified(value_n, most, classes=4, seed=0)
    assert len(rows) == min(most, len(labels)) == len(set(rows.tolist()))
    assert set(value_n[rows]) == set(value_n)
    for label in set(labels):
        share = most * labels.count(label) / len(labels)
        assert abs(np.sum(value_n[rows] == label) - min(share, labels.count(label))) <= 3


def test_scaling_mends_a_bias_and_a_slope() -> None:
    rng = np.random.default_rng(0)
    label_n = rng.integers(0, 3, 4000)
    score_nk = 3 * (rng.normal(size=(4000, 3)) + 1.5 * np.eye(3)[label_n]) + [5.0, 0.0, -5.0]
    found = Scaling.fitted(score_nk, label_n, np.ones(4000))
    assert found.slope == pytest.approx(0.5, rel=0.15)
    biases = np.array(found.biases) - found.biases[1]
    np.testing.assert_allclose(biases, [-2.5, 0, 2.5], atol=0.4)
    assert Scaling.of_json(found.to_json()) == found


def test_scores_that_say_nothing_are_weighed_out() -> None:
    rng = np.random.default_rng(0)
    label_n = rng.integers(0, 2, 500)
    chance_nk = Scaling.fitted(rng.normal(size=(500, 2)) * 50, label_n, np.ones(500))(rng.normal(size=(50, 2)) * 50)
    assert np.abs(chance_nk - 0.5).max() < 0.25


def test_examples_of_classes_take_turns() -> None:
    answers = ["a"] * 20 + ["b"] * 3 + ["c"] * 2
    texts = [str(i) for i in range(25)]
    pool = drawn(texts, answers, count=6, balanced=True, seed=0)
    assert sorted(shot.answer for shot in pool) == ["a", "a", "b", "b", "c", "c"]
    assert len({shot.text for shot in drawn(texts, answers, count=10, balanced=False, seed=0)}) == 10


def test_the_nearest_come_first() -> None:
    pool = np.eye(3, dtype=np.float32)
    assert nearest_order(np.array([[0.1, 0.9, 0.2]], dtype=np.float32), pool, 2).tolist() == [[1, 2]]


def test_the_rate_rises_and_falls() -> None:
    recipe = Recipe(
        learning_rate=1.0,
        epochs=2,
        batch=8,
        accumulate=2,
        warmup=0.1,
        weight_decay=0,
        checks=4,
        patience=2,
        max_minutes=None,
        seed=0,
    )
    assert recipe.planned(160) == 20
    rates = [recipe.rate(step, 20) for step in range(20)]
    assert rates[0] == pytest.approx(0.5)
    assert max(rates) <= 1
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.01
