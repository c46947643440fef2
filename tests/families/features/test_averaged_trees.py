import lightgbm as lgb
import numpy as np
import pytest

from bakeoff.families.features.averaged_trees import averaged

X_ND = np.random.default_rng(0).normal(size=(300, 5))
NOISE_N = np.random.default_rng(1).normal(size=300)
TARGETS = {
    "regression": 100 + 2 * X_ND[:, 0] + NOISE_N,
    "binary": (X_ND[:, 0] + NOISE_N > 1).astype(float),
    "multiclass": np.digitize(X_ND[:, 0] + NOISE_N, [-1, 1]).astype(float),
}


def boosters(objective, count, rounds=12):
    settings = {"objective": objective, "seed": 0, "verbosity": -1, "num_threads": 1, "feature_fraction": 0.5}
    settings |= {"bagging_fraction": 0.6, "bagging_freq": 1} | ({"num_class": 3} if objective == "multiclass" else {})
    data = lgb.Dataset(X_ND, label=TARGETS[objective], params=settings, free_raw_data=False)
    return [lgb.train(settings | {"bagging_seed": at}, data, num_boost_round=rounds) for at in range(count)]


@pytest.mark.parametrize("objective", TARGETS)
def test_the_score_is_the_mean_of_the_scores(objective):
    single = boosters(objective, 3)
    mean = lgb.Booster(model_str=averaged([each.model_to_string() for each in single]))
    scores = [each.predict(X_ND, raw_score=True) for each in single]
    assert np.abs(scores[0] - scores[1]).max() > 0.01  # else any of them would do
    np.testing.assert_allclose(mean.predict(X_ND, raw_score=True), np.mean(scores, axis=0), rtol=0, atol=1e-12)
    assert mean.num_trees() == 3 * single[0].num_trees()
    added = [each.predict(X_ND, pred_contrib=True) for each in single]
    np.testing.assert_allclose(mean.predict(X_ND, pred_contrib=True), np.mean(added, axis=0), rtol=0, atol=1e-12)


def test_the_text_is_read_and_written_again_alike():
    """Its trees are where their sizes say, and its numbers are what they were."""
    mean = lgb.Booster(model_str=averaged([each.model_to_string() for each in boosters("binary", 2)]))
    again = lgb.Booster(model_str=mean.model_to_string())
    assert again.predict(X_ND).tolist() == mean.predict(X_ND).tolist()


def test_one_model_is_itself():
    (text,) = (each.model_to_string() for each in boosters("regression", 1))
    assert averaged([text]) == text


def test_trees_of_one_leaf_are_averaged_too():
    """A target without any order gives no split: what is left is the mean."""
    settings = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 200}
    texts = [
        lgb.train(settings, lgb.Dataset(X_ND, label=np.full(300, level)), num_boost_round=3).model_to_string()
        for level in (2.0, 5.0)
    ]
    predicted = lgb.Booster(model_str=averaged(texts)).predict(X_ND)
    np.testing.assert_allclose(predicted, 3.5)
