"""Which trial comes next when parameters are searched for within a budget: asynchronous successive halving.

A trial fits a candidate with some parameters (a setting) on a part of the training rows: a rung. The best third of
the settings on a rung go up to the next one, which has three times as many rows, as soon as they stand out.
Candidates get equal shares of the time, so cheap ones get more trials; once half of the time is spent, the worse half
of the candidates waits until nothing is left to try for the others.
Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification", AISTATS 2016; Li et al., "A System for
Massively Parallel Hyperparameter Tuning", MLSys 2020 (algorithm 2).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeAlias

from bakeoff.config.search import Search
from bakeoff.results.search import Trial

__all__ = ["ETA", "SHARES", "Propose", "Study", "Trial", "TrialRequest", "pick"]

ETA = 3
"""One of so many settings goes up a rung."""
SHARES = (1 / 9, 1 / 3, 1.0)
"""Of the training rows on each rung."""
MOST_SETTINGS = 100
PATIENCE = 27
"""Settings after the best one without a better one, after which a candidate's search ends."""
SLACK = 1.3
"""How much longer than those before a trial is expected to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """A trial to be made: the candidate's setting of that number (0: as it is without a search) on a rung."""

    candidate: str
    setting: int
    rung: int
    params: Mapping[str, Any]


Propose: TypeAlias = "Callable[[Study], Mapping[str, Any] | None]"
"""Parameters worth trying next, or None when all have been tried."""


@dataclass(slots=True, kw_only=True)
class Study:
    """The search for one candidate's parameters: what is searched, on how many rungs, and what is known.

    Settings that are known to be good elsewhere are tried `first`, before any is proposed.
    """

    name: str
    space: Mapping[str, Search]
    higher_is_better: bool
    rungs: int
    first: Sequence[Mapping[str, Any]] = ()
    trials: list[Trial] = field(default_factory=list[Trial])
    running: list[TrialRequest] = field(default_factory=list[TrialRequest])

    @property
    def settings(self) -> dict[int, Mapping[str, Any]]:
        """The parameters of every setting that was started."""
        return {each.setting: each.params for each in (*self.trials, *self.running)}

    @property
    def spent_s(self) -> float:
        """What its trials took; those that run count as long as they are expected to take."""
        return sum(t.seconds for t in self.trials) + sum(self.expected_s(a.rung, a.rung + 1) for a in self.running)

    def ranked(self, rung: int) -> list[Trial]:
        """Finished trials of a rung, the best first."""
        sign = -1 if self.higher_is_better else 1
        done = [t for t in self.trials if t.rung == rung and t.value is not None]
        return sorted(done, key=lambda t: (sign * (t.value or 0.0), t.setting))

    @property
    def best(self) -> Trial | None:
        """The best trial on all training rows."""
        return next(iter(self.ranked(self.rungs - 1)), None)

    def expected_s(self, start: int, end: int) -> float:
        """Seconds that the rungs from `start` to before `end` are expected to take a setting; 0 while unknown."""
        return sum(self._rung_s(rung) for rung in range(start, end))

    def _rung_s(self, rung: int) -> float:
        known = [t.seconds for t in self.trials if t.rung == rung and t.status == "done"]
        if known:
            return SLACK * median(known)
        return ETA * self._rung_s(rung - 1) if rung else 0.0

    def next(self, remaining_s: float, propose: Propose) -> TrialRequest | None:
        """What to try next that is expected to end in the time that remains, if anything."""
        if any(t.setting == 0 and t.status == "failed" for t in self.trials):
            return None  # it does not fit as it is, either
        if 0 not in self.settings:
            return TrialRequest(candidate=self.name, setting=0, rung=0, params={})
        up = self._up(remaining_s)
        if up is not None or self._over() or self.expected_s(0, self.rungs) > remaining_s:
            return up or self._last(remaining_s)
        params = next((each for each in self.first if each not in self.settings.values()), None) or propose(self)
        if params is None:
            return self._last(remaining_s)
        return TrialRequest(candidate=self.name, setting=len(self.settings), rung=0, params=params)

    def _up(self, remaining_s: float) -> TrialRequest | None:
        """The setting that goes up a rung: the candidate as it is in any case, else one of the best third."""
        for rung in reversed(range(self.rungs - 1)):
            ranked = self.ranked(rung)
            best = [t for at, t in enumerate(ranked) if at < len(ranked) // ETA or t.setting == 0]
            for trial in sorted(best, key=lambda t: t.setting != 0):
                if self._waits(trial) and self.expected_s(rung + 1, rung + 2) <= remaining_s:
                    return self._raised(trial)
        return None

    def _last(self, remaining_s: float) -> TrialRequest | None:
        """When nothing new can be begun: the best setting that can still be brought to all rows."""
        for rung in reversed(range(self.rungs - 1)):
            if self.expected_s(rung + 1, self.rungs) <= remaining_s:
                found = next((t for t in self.ranked(rung)[: max(1, ETA)] if self._waits(t)), None)
                if found is not None:
                    return self._raised(found)
        return None

    def _waits(self, trial: Trial) -> bool:
        known = {(each.setting, each.rung) for each in (*self.trials, *self.running)}
        return (trial.setting, trial.rung + 1) not in known

    def _raised(self, trial: Trial) -> TrialRequest:
        return TrialRequest(candidate=self.name, setting=trial.setting, rung=trial.rung + 1, params=trial.params)

    def _over(self) -> bool:
        started = len(self.settings)
        best = self.best
        return started >= MOST_SETTINGS or (best is not None and started > best.setting + PATIENCE)


def pick(studies: Sequence[Study], *, used_s: float, limit_s: float, propose: Propose) -> TrialRequest | None:
    """The next trial of all candidates, or None when no more fits."""
    ahead = _ahead(studies) if used_s > limit_s / 2 else studies
    for study in sorted(studies, key=lambda each: (each not in ahead, each.spent_s)):
        ask = study.next(limit_s - used_s, propose)
        if ask is not None:
            return ask
    return None


def _ahead(studies: Sequence[Study]) -> list[Study]:
    """The better half of the candidates, by their best trial on all rows."""
    best = {study.name: study.best for study in studies}
    scored = [study for study in studies if best[study.name] is not None]

    def place(study: Study) -> float:
        found = best[study.name]
        assert found is not None
        assert found.value is not None
        return -found.value if study.higher_is_better else found.value

    return sorted(scored, key=place)[: (len(studies) + 1) // 2]
