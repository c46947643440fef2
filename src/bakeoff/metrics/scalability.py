"""How throughput grows with callers, and percentiles of latency with the load.

The universal scalability law: X(N) = λN / (1 + α(N - 1) + βN(N - 1)), with λ what one caller alone gets answered, α the
share of work that waits for others (contention) and β the cost of agreeing with each of them (coherency).
Source: Gunther, "Guerrilla Capacity Planning" (2007), chapters 4 to 6; its form N/X = (1 + α(N - 1) + βN(N - 1)) / λ is
linear in what is looked for, and by Little's law N/X is the mean time in the system.

Waiting before a busy server grows as ρ / (1 - ρ) with its utilisation ρ (Kingman, Proc. Cambridge Phil. Soc. 57, 1961),
so that percentiles are interpolated on that scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import DataError
from bakeoff.metrics.intervals import LEVEL, Interval
from bakeoff.metrics.latency import Ends

__all__ = ["LoadCurve", "Scalability", "scalability", "settling"]

Floats: TypeAlias = NDArray[np.float64]

RESAMPLES = 400
FEWEST_STEPS = 3
HALVINGS = 60
SETTLES = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalability:
    """The law's coefficients, and the greatest throughput that it has among the numbers of callers that were measured.

    Attributes:
        single_s: answers a second of one caller alone.
        contention: α, from 0 (none waits) to 1 (all wait for each other).
        coherency: β; over 0, too many callers get fewer answers together.
        peak_s: the greatest throughput, in answers a second.
        peak_callers: with how many callers.
        misfit: how far the farthest step is from the law, as a share of what was measured.
    """

    single_s: Interval
    contention: Interval
    coherency: Interval
    peak_s: Interval
    peak_callers: int
    misfit: float


def scalability(steps: Mapping[int, Sequence[float]], *, seed: int = 0) -> Scalability:
    """Fit the law by least squares of relative errors; intervals by resampling the windows of each step.

    Args:
        steps: callers, and the answers a second in several windows of the time for which so many were there.
        seed: of the resampling.

    Raises:
        DataError: fewer than three numbers of callers, or one of them got no answer.

    >>> law = scalability({n: [100 * n / (1 + 0.25 * (n - 1))] * 4 for n in (1, 2, 4, 8)})
    >>> round(law.contention.value, 6), law.peak_callers, round(law.peak_s.value, 3), round(law.misfit, 6)
    (0.25, 8, 290.909, 0.0)
    """
    callers_n = np.array(sorted(steps), dtype=np.float64)
    windows = [np.asarray(steps[int(callers)], dtype=np.float64) for callers in callers_n]
    means_n = np.array([each.mean() if each.size else 0.0 for each in windows])
    if len(callers_n) < FEWEST_STEPS or not (means_n > 0).all():
        raise DataError(
            f"expected answers with at least {FEWEST_STEPS} numbers of callers, received "
            f"{dict(zip(callers_n.astype(int).tolist(), means_n.round(3).tolist(), strict=True))}"
        )
    fitted = _fitted(callers_n, means_n)
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            _fitted(callers_n, np.array([max(rng.choice(each, each.size).mean(), 1e-9) for each in windows]))
            for _ in range(RESAMPLES)
        ]
    )
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    single, contention, coherency, peak = (
        Interval(value=float(value), low=float(min(low, value)), high=float(max(high, value)), method="percentile")
        for value, low, high in zip(fitted, *ends, strict=True)
    )
    law_n = _law(fitted[:3], callers_n)
    grid_n = np.arange(1, callers_n[-1] + 1)
    return Scalability(
        single_s=single,
        contention=contention,
        coherency=coherency,
        peak_s=peak,
        peak_callers=int(grid_n[np.argmax(_law(fitted[:3], grid_n))]),
        misfit=float(np.max(np.abs(law_n - means_n) / means_n)),
    )


def _fitted(callers_n: Floats, per_second_n: Floats) -> Floats:
    """λ, α, β and the greatest throughput among 1 to the most callers."""
    from scipy.optimize import nnls

    time_n = callers_n / per_second_n
    terms_n3 = np.column_stack([np.ones_like(callers_n), callers_n - 1, callers_n * (callers_n - 1)])
    (alone_s, waiting_s, agreeing_s), _ = nnls(terms_n3 / time_n[:, None], np.ones_like(time_n))
    alone_s = max(float(alone_s), 1e-12)
    law = np.array([1 / alone_s, waiting_s / alone_s, agreeing_s / alone_s])
    return np.append(law, _law(law, np.arange(1, callers_n[-1] + 1)).max())


def _law(law: Floats, callers_n: Floats) -> Floats:
    single, contention, coherency = law
    return single * callers_n / (1 + contention * (callers_n - 1) + coherency * callers_n * (callers_n - 1))


def settling(share: float) -> float:
    """How many times as long a load of this share of the capacity is to last as a low one, at least once.

    A queue forgets what it was within some 1 / (1 - ρ)² times of service: seconds near the capacity, in which few loads
    are seen that are apart from each other, and one that began with nobody waiting shows too little of it.
    Source: Cohen, "The Single Server Queue" (1982), III.7.3, of the relaxation time.

    >>> settling(0.5), round(settling(0.9), 6)
    (1.0, 4.0)
    """
    return max(1.0, SETTLES / (1 - share) ** 2)


class LoadCurve:
    """A percentile of latency by the load, which never falls as the load rises.

    Args:
        loads_n: requests a second at which it was measured, ascending, all below the capacity.
        values_n: the percentile there, in milliseconds.
        ends: its interval there; one without an upper end leaves the curve without one around it.
        capacity: the requests a second that can be answered at most.
    """

    def __init__(
        self, loads_n: Sequence[float], values_n: Sequence[float], ends: Sequence[Ends], capacity: float
    ) -> None:
        from scipy.optimize import isotonic_regression

        if not loads_n or max(loads_n) >= capacity:
            raise DataError(f"expected loads below the capacity of {capacity:.4g} a second, received {list(loads_n)}")
        self._loads_n, self._capacity = np.asarray(loads_n, dtype=np.float64), capacity
        lows = [low for low, _ in ends]
        highs = [value if high is None else high for value, (_, high) in zip(values_n, ends, strict=True)]
        self._curves = [isotonic_regression(each).x for each in (values_n, lows, highs)]
        self._open = np.array([high is None for _, high in ends], dtype=np.float64)

    @property
    def greatest_load(self) -> float:
        """The greatest load that was measured."""
        return float(self._loads_n[-1])

    def at(self, load: float) -> Interval:
        """The percentile at a load; beyond the greatest that was measured, that one's with no upper end."""
        value, low, high = (self._read(load, each) for each in self._curves)
        unbounded = load > self.greatest_load or self._read(load, self._open) > 0
        return Interval(value=value, low=min(low, value), high=None if unbounded else max(high, value))

    def greatest_within(self, limit_ms: float) -> float | None:
        """The greatest measured load at which even the upper end of the interval is within the limit; None: at none.

        Where there is no upper end, the value counts as that.
        """
        if self._most(float(self._loads_n[0])) > limit_ms:
            return None
        low, high = float(self._loads_n[0]), self.greatest_load
        if self._most(high) <= limit_ms:
            return high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._most(middle) <= limit_ms else (low, middle)
        return low

    def _most(self, load: float) -> float:
        value, _, high = self._curves
        return max(self._read(load, value), self._read(load, high))

    def _read(self, load: float, curve: "Floats") -> float:
        return float(np.interp(self._scale(min(load, self.greatest_load)), self._scale(self._loads_n), curve))

    def _scale(self, load: "float | Floats") -> "Floats":
        share = np.asarray(load, dtype=np.float64) / self._capacity
        return share / (1 - share)
