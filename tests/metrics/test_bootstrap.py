import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Predictions
from bakeoff.metrics import bootstrap, labels, ranks
from bakeoff.metrics.bootstrap import jackknife, replicate
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.ranks import Curves
from bakeoff.metrics.registry import Statistic, bind, find, measures


def scored(n=400, k=3, seed=0, shift=1.5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    shares = np.exp(rng.normal(size=(n, k)) + shift * (truth[:, None] == np.arange(k)))
    names = tuple("abcdefgh"[:k])
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(names)[truth], Predictions.of_probabilities(shares, names)


def statistics(names, truth, predictions):
    return list(
        bind([find(n, "classification") for n in names], outcome(truth, predictions, "classification")).values()
    )


ONE_CLASS = ["precision", "recall", "f1", "specificity"]
BY_CLASS = ["precision[a]", "recall[a]", "f1[a]", "specificity[a]", "roc_auc[a]", "pr_auc[a]", "top_k[2]"]
POINTS = ["precision_at_recall[a, 0.7]", "recall_at_precision[a, 0.7]"]


@pytest.mark.parametrize(
    "name", [n for n in measures("classification") if n not in {"ece", *ONE_CLASS}] + BY_CLASS + POINTS
)
def test_the_value_is_the_measure_and_draws_lie_around_it(name):
    truth, predictions = scored()
    (found,) = replicate(statistics([name], truth, predictions), 400, resamples=300, seed=1)
    value = find(name, "classification")(outcome(truth, predictions, "classification"))
    assert found.value_m[0] == pytest.approx(value)
    assert found.draws_rm.shape == (300, 1)
    # The best of many thresholds is a little better in each resample than on all rows.
    better = 0.04 if name in POINTS else 0.0
    assert abs(found.draws_rm.mean() - value - better / 2) < 4 * found.draws_rm.std() / np.sqrt(300) + 0.01 + better / 2


def test_collapsed_draws_are_distributed_as_resampled_rows():
    truth, predictions = scored(n=300)
    (found,) = replicate(statistics(["f1_macro"], truth, predictions), 300, resamples=3000, seed=2)
    rng = np.random.default_rng(3)
    rows = (rng.integers(0, 300, 300) for _ in range(600))
    plain = np.array([f1_score(truth[i], predictions.values_n[i], average="macro") for i in rows])
    assert found.draws_rm.mean() == pytest.approx(plain.mean(), abs=0.004)
    assert found.draws_rm.std() == pytest.approx(plain.std(), rel=0.12)


def test_every_draw_has_as_many_rows_as_the_table_and_expected_counts():
    counts = np.array([1, 2, 40, 500, 3, 17, 16])
    draw = bootstrap._drawing(counts)
    drawn = draw(np.random.default_rng(0), 4000)
    assert (drawn.sum(axis=1) == counts.sum()).all()
    assert np.abs(drawn.mean(axis=0) - counts).max() < 4 * np.sqrt(500 / 4000)
    n = counts.sum()
    assert drawn.var(axis=0) == pytest.approx(counts * (1 - counts / n), rel=0.12)
    assert np.cov(drawn[:, 2], drawn[:, 3])[0, 1] == pytest.approx(-40 * 500 / n, rel=0.3)


def test_threads_do_not_change_the_result_and_seeds_do():
    truth, predictions = scored(n=3000)
    wanted = statistics(["f1_macro", "accuracy"], truth, predictions)
    one, two, other = (
        replicate(wanted, 3000, resamples=1200, seed=seed, threads=threads)[0].draws_rm
        for seed, threads in ((5, 1), (5, 2), (6, 1))
    )
    assert (one == two).all()
    assert (one != other).any()


def test_several_candidates_share_their_draws():
    truth, predictions = scored()
    worse = Predictions(values_n=np.where(np.arange(400) < 20, "a", predictions.values_n))
    pair = [*statistics(["accuracy"], truth, predictions), *statistics(["accuracy"], truth, worse)]
    first, second = replicate(pair, 400, resamples=1000, seed=0)
    apart = (first.draws_rm - second.draws_rm).std()
    assert apart < 0.6 * np.hypot(first.draws_rm.std(), second.draws_rm.std())


def test_groups_are_drawn_whole():
    truth, predictions = scored(n=100)
    truth, said = np.repeat(truth, 9), np.repeat(predictions.values_n, 9)
    groups = np.repeat(np.arange(100), 9)
    wanted = statistics(["accuracy"], truth, Predictions(values_n=said))
    apart = replicate(wanted, 900, resamples=1500, seed=0)[0].draws_rm.std()
    whole = replicate(wanted, 900, resamples=1500, seed=0, groups_n=groups)[0].draws_rm.std()
    assert whole == pytest.approx(3 * apart, rel=0.12)


def test_the_jackknife_leaves_out_each_row_once():
    truth, predictions = scored(n=50)
    (found,) = replicate(statistics(["accuracy"], truth, predictions), 50, resamples=1, seed=0, jackknife=True)
    right = truth == predictions.values_n
    expected = [(right.sum() - r) / 49 for r in right]
    assert sorted(found.jackknife_bm[:, 0]) == pytest.approx(sorted(expected))


def test_a_single_row_can_be_resampled():
    truth, predictions = scored(n=1)
    found = replicate(statistics(["f1_macro"], truth, predictions), 1, resamples=10, seed=0, jackknife=True)[0]
    assert found.jackknife_bm.shape == (0, 1)
    assert np.isfinite(found.draws_rm).all()


def test_undefined_areas_are_nan():
    predictions = Predictions.of_probabilities(np.array([[0.4, 0.6], [0.7, 0.3]]), ("a", "b"))
    (found,) = replicate(statistics(["roc_auc"], ["a", "a"], predictions), 2, resamples=5, seed=0)
    assert np.isnan(found.value_m).all()


def test_many_rows_are_resampled_by_the_cells_of_their_derivatives(monkeypatch):
    truth, predictions = scored(n=12_000)
    (wanted,) = statistics(["pr_auc"], truth, predictions)
    spreads = []
    for fewest in (10**9, 10_000):
        monkeypatch.setattr(ranks, "FEWEST_ALIKE", fewest)
        linear = wanted.sums.linear()
        keys = 12_000 if linear.key_n is None else len(np.unique(linear.key_n))
        spreads.append(replicate([wanted], 12_000, resamples=2000, seed=0)[0].draws_rm.std())
    assert keys < 12_000
    assert spreads[0] == pytest.approx(spreads[1], rel=0.06)


def test_linear_curves_follow_the_exact_ones(monkeypatch):
    truth, predictions = scored(n=1500)
    wanted = statistics(["roc_auc", "pr_auc"], truth, predictions)
    exact = replicate(wanted, 1500, resamples=400, seed=0, jackknife=True)
    monkeypatch.setattr(bootstrap, "CURVE_WORK", 0)
    linear = replicate(wanted, 1500, resamples=400, seed=0, jackknife=True)
    for a, b in zip(exact, linear, strict=True):
        assert a.value_m == pytest.approx(b.value_m)
        assert np.corrcoef(a.draws_rm[:, 0], b.draws_rm[:, 0])[0, 1] > 0.997
        assert a.jackknife_bm == pytest.approx(b.jackknife_bm, abs=1e-4)


def test_the_gradient_is_the_derivative_by_a_weight_ties_included():
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.4
    scores = np.round(rng.normal(size=80) + positive, 1)
    curves = Curves(scores[:, None], positive[:, None])
    linear, big = curves.linear(), 100_000
    whole = curves(np.full((1, 80), big))
    assert whole.roc_r[0] == pytest.approx(roc_auc_score(positive, scores))
    for row in range(0, 80, 7):
        more = np.full((1, 80), big)
        more[0, row] += 1
        changed, told = curves(more), linear(np.ones((1, 80)) + np.eye(80)[row])
        assert (changed.roc_r - whole.roc_r) * big == pytest.approx(told.roc_r - whole.roc_r, abs=1e-5)
        assert (changed.pr_r - whole.pr_r) * big == pytest.approx(told.pr_r - whole.pr_r, abs=1e-5)


def test_senseless_calls_are_refused():
    truth, predictions = scored(n=5)
    with pytest.raises(UsageError, match="at least 1 resample"):
        replicate(statistics(["accuracy"], truth, predictions), 5, resamples=0, seed=0)
    with pytest.raises(UsageError, match="expected statistics"):
        replicate([], 5, resamples=10, seed=0)


def test_statistics_may_have_one_number_per_class():
    truth, predictions = scored()
    confusion = statistics(["accuracy"], truth, predictions)[0].sums
    (found,) = replicate([Statistic(sums=confusion, finish=labels.class_f1)], 400, resamples=10, seed=0)
    assert found.draws_rm.shape == (10, 3)
    assert found.value_m == pytest.approx(f1_score(truth, predictions.values_n, average=None))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "f1_macro"])
def test_blocks_left_out_tell_what_resamples_tell(name, grouped):
    truth, predictions = scored(n=2000, k=2)
    groups = np.arange(2000) // 2 if grouped else None
    (statistic,) = statistics([name], truth, predictions)
    value, left = jackknife(statistic, 2000, blocks=25, seed=1, groups_n=groups)
    (found,) = replicate([statistic], 2000, resamples=400, seed=2, groups_n=groups)
    assert len(left) == 25
    assert value == pytest.approx(found.value_m[0])
    # The delete-a-group jackknife (Kott 2001) tells the spread that resamples have.
    spread = np.sqrt(24 / 25 * ((left - left.mean()) ** 2).sum())
    assert spread == pytest.approx(found.draws_rm.std(), rel=0.6)
