# pyright: basic
# Optuna's distributions and samplers take and give Any
"""Parameters worth trying, from what trials have shown: Optuna's tree-structured Parzen estimator.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Akiba et al., "Optuna", KDD 2019.
"""

from collections.abc import Mapping
from typing import Any

from bakeoff.config.search import Range, Search
from bakeoff.core.hashing import digest_json
from bakeoff.core.types import Json
from bakeoff.train.halving import Propose, Study

__all__ = ["proposing"]

STARTUP = 8
"""Settings drawn at random before the estimator is asked."""
ATTEMPTS = 10


def proposing(seed: int) -> Propose:
    """A function that proposes; what it says follows from the seed, the study's trials, and nothing else."""
    return lambda study: _propose(study, seed)


def _propose(study: Study, seed: int) -> Mapping[str, Json] | None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spread = {name: _distribution(search) for name, search in sorted(study.space.items())}
    known = list(study.settings.values())
    for attempt in range(ATTEMPTS):
        drawn = int(digest_json([seed, study.name, len(known), attempt])[:8], 16)
        sampler = optuna.samplers.TPESampler(
            seed=drawn, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )
        direction = "maximize" if study.higher_is_better else "minimize"
        asked = optuna.create_study(direction=direction, sampler=sampler)
        asked.add_trials(_told(study, spread))
        params = asked.ask(spread).params
        named = {name: _value(study.space[name], value) for name, value in params.items()}
        if named not in known:
            return named
    return None


def _distribution(search: Search) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(search, Range):
        return CategoricalDistribution(range(len(search.values)))
    if isinstance(search.low, int) and isinstance(search.high, int):
        return IntDistribution(search.low, search.high, log=search.log)
    return FloatDistribution(search.low, search.high, log=search.log)


def _value(search: Search, drawn: Any) -> Json:
    if not isinstance(search, Range):
        return search.values[drawn]
    return drawn if isinstance(drawn, int) else float(f"{drawn:.4g}")


def _told(study: Study, spread: dict[str, Any]) -> list[Any]:
    """What Optuna gets to know: a setting that is not on all rows (yet) is one that was pruned at its rung."""
    from optuna.trial import TrialState, create_trial

    told: list[Any] = []
    for setting, params in study.settings.items():
        values = {t.rung: t.value for t in study.trials if t.setting == setting and t.value is not None}
        if not params.keys() >= spread.keys():  # as the candidate is, at least in part: that need not be in the space
            continue
        encoded = {name: _encoded(study.space[name], params[name], each) for name, each in spread.items()}
        top = values.get(study.rungs - 1)
        state = TrialState.COMPLETE if top is not None else TrialState.PRUNED if values else TrialState.RUNNING
        if not values and any(t.setting == setting for t in study.trials):
            state = TrialState.FAIL
        told.append(
            create_trial(state=state, value=top, params=encoded, distributions=spread, intermediate_values=values)
        )
    return told


def _encoded(search: Search, value: Any, distribution: Any) -> Any:
    if not isinstance(search, Range):
        return search.values.index(value)
    return min(max(value, distribution.low), distribution.high)  # rounding may have gone over an end
