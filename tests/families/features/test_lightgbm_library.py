import subprocess
import sys

import pytest

SCRIPT = """
import sys
from bakeoff.families.features.lightgbm_library import lgb
assert not {"sklearn", "pandas", "lightgbm"} & sys.modules.keys(), "imported with it"
import numpy as np
x_nd = np.random.default_rng(0).normal(size=(200, 3))
data = lgb.Dataset(x_nd, (x_nd[:, 0] > 0).astype(float))
trees = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 5).model_to_string()
try:
    lgb.train({"num_leaves": 1, "verbosity": -1}, lgb.Dataset(x_nd, x_nd[:, 0]))
except Exception as error:
    from bakeoff.core.explain import explained
    print(explained(error))
import lightgbm
whole = lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1, n_jobs=1).fit(x_nd, x_nd[:, 0] > 0)
print(lightgbm.Booster(model_str=trees).predict(x_nd).tolist() == lgb.Booster(model_str=trees).predict(x_nd).tolist())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere LightGBM is imported whole")
def test_trees_come_without_scikit_learn_and_leave_the_library_whole_for_others():
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=True)
    error, same = ended.stdout.splitlines()
    assert "rows and parameters that LightGBM can train with" in error
    assert same == "True"


def test_one_that_is_arranged_otherwise_is_taken_whole(monkeypatch):
    from bakeoff.families.features import lightgbm_library

    def other(_init):
        sys.modules[f"{lightgbm_library.NAME}.compat"] = sys
        raise ImportError("no such module")

    whole = sys.modules.pop("lightgbm", None)
    kept = {name: each for name, each in sys.modules.items() if name.partition(".")[0] == lightgbm_library.NAME}
    try:
        monkeypatch.setattr(lightgbm_library, "_alone", other)
        assert lightgbm_library._library().__name__ == "lightgbm"
        assert not any(name.startswith(lightgbm_library.NAME) for name in sys.modules)
    finally:
        sys.modules.update(kept)
        if whole is not None:
            sys.modules["lightgbm"] = whole


def test_who_has_imported_it_has_the_same():
    import lightgbm

    from bakeoff.families.features import lightgbm_library

    assert lightgbm_library._library() is lightgbm
