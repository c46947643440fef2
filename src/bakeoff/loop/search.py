"""Try parameters within a budget of time, on training and validation rows alone, and put the best ones in place.

A search belongs to the data and to what is searched, not to a run: every finished trial is kept at once, a killed
search goes on with what it has, and a larger budget goes on where a smaller one ended. What is proposed follows from
the seed and the trials before; how many trials there are follows from the clock, and so from the machine.
"""

import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bakeoff.config.portfolio import first_settings
from bakeoff.core import narrow
from bakeoff.core.hashing import digest_json
from bakeoff.core.jobs import ROWS, Job, JobResult, Resources
from bakeoff.core.records import Version
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.data.row_numbers import NEAR, rows_of_fold
from bakeoff.loop.cache import step_key
from bakeoff.loop.context import Contender, Nested, Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.explain import expected_s
from bakeoff.loop.fit import job_of
from bakeoff.metrics.custom import digest_own
from bakeoff.metrics.registry import find
from bakeoff.registry.lineage import label
from bakeoff.results.search import Rung, SearchBudget, Searched
from bakeoff.train.halving import SHARES, Study, Trial, TrialRequest, pick
from bakeoff.train.proposing import proposing
from bakeoff.train.trial import SCORED, TRIAL, TrialArgument

__all__ = ["Tuned", "as_found", "as_given", "shown", "tune"]

STUDIES, SEARCHES = "studies", "searches"
MOST_AHEAD = 16
"""Trials that a backend gets before it has told what became of any."""
FITS_AFTER, AFTER_S = 2.5, 1.0
"""After a search every candidate is fitted, once more without validation rows, and the winner on all; and evaluated.

Explanations come on top.
"""
LEAST_SHARE = 0.4
"""Of the budget is searched in any case."""
LATE_S = 0.5
"""A trial that ended within so many seconds of its limit was stopped by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The stage, with the best parameters found, and how the budget went: `budget` of a run's outcome."""

    stage: Stage
    budget: SearchBudget


def tune(stage: Stage, gathered: Gathered) -> Tuned:
    """Search until what the fits leave of the budget is used up, or nothing is left to try; test rows are not read.

    With folds every row is a test row: then each fold's training rows are searched, and all rows for the model that is
    released, each with its share of the budget.
    """
    if gathered.folds:
        return _by_folds(stage, gathered)
    return _tuned(stage, gathered, left_s=stage.time.left_s)


def _tuned(stage: Stage, gathered: Gathered, *, left_s: float) -> Tuned:
    search = _Search(stage, gathered, _rungs(stage, gathered), left_s=left_s)
    search.run()
    best = {study.name: study.best for study in search.studies}
    return Tuned(
        stage=_with_found(stage, {name: trial.params for name, trial in best.items() if trial and trial.params}),
        budget=search.spent(),
    )


def _by_folds(stage: Stage, gathered: Gathered) -> Tuned:
    left_s = stage.time.left_s / (gathered.folds + 1)
    whole = _whole(stage, gathered)
    parts = [_without(stage, gathered, fold) for fold in range(gathered.folds)]
    tuned = [_tuned(stage, part, left_s=left_s) for part in (*parts, whole)]
    spent = tuned[-1].budget
    return Tuned(
        stage=replace(
            tuned[-1].stage,
            nested=Nested(of_folds=tuple(each.stage.contenders for each in tuned[:-1]), rows_blob=whole.rows_blob),
        ),
        budget=replace(spent, used_s=sum(each.budget.used_s for each in tuned)),
    )


def _without(stage: Stage, gathered: Gathered, fold: int) -> Gathered:
    """The rows of a fold's fit, as if there were no others."""
    rows = load_arrays(stage.blobs, gathered.rows_blob)
    return _parted(stage, gathered, *rows_of_fold(rows, fold))


def _whole(stage: Stage, gathered: Gathered) -> Gathered:
    """All rows, parted into those to fit and those to choose on as the first fold's are."""
    import numpy as np

    rows = load_arrays(stage.blobs, gathered.rows_blob)
    _, validation = rows_of_fold(rows, 0)
    return _parted(stage, gathered, np.setdiff1d(rows["train"], validation), validation)


def _parted(stage: Stage, gathered: Gathered, train: Any, validation: Any) -> Gathered:
    import numpy as np

    rows = load_arrays(stage.blobs, gathered.rows_blob)
    near = {NEAR: rows[NEAR]} if NEAR in rows else {}
    buffer = io.BytesIO()
    np.savez(buffer, kept=rows["kept"], train=train, validation=validation, test=validation[:0], **near)
    counts = {"train": len(train), "validation": len(validation), "test": 0}
    return replace(
        gathered,
        rows_blob=stage.blobs.put(buffer.getvalue()),
        summary=replace(gathered.summary, folds=0, **counts),
    )


def as_given(stage: Stage) -> Stage:
    """The stage without what an earlier search found: with folds its rows would be tested on. That is told."""
    stage.progress("tested by folds: parameters are the project's own, as the search before compared rows of the test")
    contenders = tuple(
        stage.with_params(each.name, {}) if each.name in stage.found else each for each in stage.contenders
    )
    return replace(stage, contenders=contenders, found={})


def as_found(stage: Stage, champion: Version | None) -> Stage:
    """The stage with what the search of the champion's run found, where the project still leaves it open.

    With folds it is left alone (see `as_given`): rows that settings were compared on would be tested on.
    """
    if champion is None or stage.config.split.asks_folds:
        return stage
    searched = champion.model_origin.search_found
    open_now = {each.name: each.search.keys() for each in stage.contenders}
    still = {
        name: {key: value for key, value in params.items() if key in open_now.get(name, ())}
        for name, params in searched.items()
    }
    chosen = {name: params for name, params in still.items() if params}
    if not chosen:
        return stage
    values = "; ".join(f"{name}: {shown(params)}" for name, params in chosen.items())
    stage.progress(f"with what the search behind {label(champion)} found, unless tested by folds ({values})")
    return _with_found(stage, chosen)


def _with_found(stage: Stage, chosen: Mapping[str, Mapping[str, Json]]) -> Stage:
    made = tuple(stage.with_params(c.name, chosen[c.name]) if c.name in chosen else c for c in stage.contenders)
    return replace(stage, contenders=made, found=chosen)


def shown(params: Mapping[str, Json]) -> str:
    """Parameters in a line."""
    return ", ".join(f"{key} {value}" for key, value in params.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rung:
    """The rows that trials of a rung read: their arrays as a blob, and how many they fit and choose on."""

    blob: BlobRef
    rows: int


def _rungs(stage: Stage, gathered: Gathered) -> list[_Rung]:
    import numpy as np

    from bakeoff.data.halving_parts import rungs
    from bakeoff.data.splits import By

    rows = load_arrays(stage.blobs, gathered.rows_blob)
    parts = rungs(
        load_table(stage.blobs, gathered.table_blob),
        gathered.schema,
        rows["train"],
        SHARES,
        by=msgspec.convert(gathered.summary.split, By),
        task=stage.config.project.task,
        seed=stage.seed,
        near_n=rows.get(NEAR),
    )
    made: list[_Rung] = []
    for train, held_out in parts:
        buffer = io.BytesIO()
        np.savez(buffer, kept=rows["kept"], train=train, validation=held_out, **{SCORED: rows["validation"]})
        made.append(_Rung(blob=BlobRef(stage.blobs.put(buffer.getvalue())), rows=len(train) + len(held_out)))
    return made


def _first(contender: Contender) -> list[Mapping[str, Json]]:
    """The settings that a search begins with, as far as the project leaves their parameters open."""
    listed = first_settings(contender.shown.family_name)
    opened = [{name: value for name, value in each.items() if name in contender.search} for each in listed]
    return [each for each in opened if each]


class _Search:
    """The candidates' studies, the clock, and where both are kept."""

    def __init__(self, stage: Stage, gathered: Gathered, rungs: list[_Rung], *, left_s: float) -> None:
        self._stage, self._gathered, self._rungs, self._left_s = stage, gathered, rungs, left_s
        self._wanted_s = stage.time.wanted_s or left_s
        self._propose = proposing(stage.seed)
        self._contenders = {c.name: c for c in (self._felt(each) for each in stage.contenders) if c.search}
        self._keys = {name: self._key(contender) for name, contender in self._contenders.items()}
        self._search_key = digest_json(sorted(self._keys.values()))
        self.studies = [self._study(contender) for contender in self._contenders.values()]
        self._asked: dict[str, tuple[TrialRequest, float]] = {}
        document = stage.records.documents.get(SEARCHES, self._search_key)
        self._before_s = self._kept_s = narrow.number(document.body["used_s"]) if document else 0.0
        self._started = time.monotonic()

    def _felt(self, contender: Contender) -> Contender:
        """The contender with a search of those parameters alone that these columns feel."""
        there = {column.kind for column in self._gathered.schema.input_columns}
        felt = {name: each for name, each in contender.search.items() if not each.kinds or there & set(each.kinds)}
        return replace(contender, search=felt)

    def _key(self, contender: Contender) -> str:
        job = self._trial(contender, self._gathered.rows_blob, limit_s=0.0)
        space = digest_json(msgspec.to_builtins(dict(contender.search)))
        return step_key(contender.name, job, contender.code, space, digest_own())

    def _study(self, contender: Contender) -> Study:
        measure = find(self._stage.live_metric, self._stage.config.project.task)
        document = self._stage.records.documents.get(STUDIES, self._keys[contender.name])
        return Study(
            name=contender.name,
            space=contender.search,
            higher_is_better=measure.higher_is_better,
            rungs=len(self._rungs),
            first=_first(contender),
            trials=msgspec.convert(document.body["trials"], list[Trial]) if document else [],
        )

    @property
    def used_s(self) -> float:
        """Seconds that this search took so far, in this run and in those before."""
        return self._before_s + time.monotonic() - self._started

    @property
    def _limit_s(self) -> float:
        """What the search may use in all: the fits that follow, and what is done with them, need the rest."""
        top = len(self._rungs) - 1
        fits_s, candidates = sum(study.expected_s(top, top + 1) for study in self.studies), len(self._stage.contenders)
        after_s = (FITS_AFTER * fits_s + expected_s(candidates, fits_s)) / self._stage.at_once + AFTER_S * candidates
        return max(self._left_s - after_s, self._left_s * LEAST_SHARE)

    def run(self) -> None:
        """Make trials until none is left that fits into the budget."""
        known = sum(len(study.trials) for study in self.studies)
        if known:
            self._stage.progress(f"going on with a search of {known} trials in {self._before_s:.0f} s")
        while True:
            before = sum(len(study.trials) for study in self.studies)
            for result in self._stage.compute.run(self._jobs(), progress=lambda _name, _line: None):
                self._take(result)
            if sum(len(study.trials) for study in self.studies) == before:
                return

    def _jobs(self) -> Iterator[Job]:
        while len(self._asked) < MOST_AHEAD:
            ask = pick(self.studies, used_s=self.used_s, limit_s=self._limit_s, propose=self._propose)
            if ask is None:
                return
            study = self._study_of(ask)
            study.running.append(ask)
            job = self._job(ask, self._limit_s - self.used_s)
            self._asked[job.name] = ask, self.used_s
            yield job

    def _study_of(self, ask: TrialRequest) -> Study:
        return next(study for study in self.studies if study.name == ask.candidate)

    def _job(self, ask: TrialRequest, limit_s: float) -> Job:
        contender = self._contenders[ask.candidate]
        if ask.params:
            contender = self._stage.with_params(ask.candidate, ask.params)
        job = self._trial(contender, self._rungs[ask.rung].blob, limit_s=limit_s)
        return replace(job, name=f"{ask.candidate}, setting {ask.setting}, rung {ask.rung}")

    def _trial(self, contender: Contender, rows: str, *, limit_s: float) -> Job:
        fit = job_of(self._stage, self._gathered, contender)
        decide = self._stage.config.decide
        fields: dict[str, Any] = {**msgspec.structs.asdict(fit.argument), "trial_limit_s": limit_s}
        argument = TrialArgument(
            **fields,
            costs=decide.model_dump(mode="json")["costs"],
            by_cost=decide.decide_by == "cost",
        )
        inputs = {**fit.inputs, ROWS: BlobRef(rows), **self._stage.own_metrics}
        return replace(fit, function=TRIAL, argument=argument, inputs=inputs, outputs=(), resources=Resources())

    def _take(self, result: JobResult) -> None:
        ask, asked_s = self._asked.pop(result.name)
        study = self._study_of(ask)
        study.running.remove(ask)
        trial = Trial(
            candidate=ask.candidate,
            setting=ask.setting,
            rung=ask.rung,
            params=ask.params,
            status="done" if result.value else "stopped" if self.used_s > self._limit_s - LATE_S else "failed",
            seconds=self.used_s - asked_s,
            at_s=self.used_s,
            value=narrow.number(result.value["value"]) if result.value else None,
            error=result.error,
        )
        study.trials.append(trial)
        self._keep(study)
        outcome = trial.status if trial.value is None else f"{self._stage.live_metric} {trial.value:.4f}"
        params = shown(ask.params) or "as it is"
        rows = f"{self._rungs[ask.rung].rows:,} rows"
        used = f"{self.used_s:.0f} of {self._wanted_s:.0f} s"
        self._stage.progress(f"{ask.candidate}: {params}: {outcome} with {rows} ({used})")

    def _keep(self, study: Study) -> None:
        documents = self._stage.records.documents
        documents.put(STUDIES, self._keys[study.name], {"trials": msgspec.to_builtins(study.trials)})
        self._kept_s = self.used_s
        documents.put(SEARCHES, self._search_key, {"used_s": self._kept_s})

    def spent(self) -> SearchBudget:
        """How the budget went."""
        trials = sorted((t for study in self.studies for t in study.trials), key=lambda t: t.at_s)
        return SearchBudget(
            limit_s=self._wanted_s,
            used_s=self._kept_s,
            metric=self._stage.live_metric,
            scored_rows=self._gathered.summary.validation,
            rungs=tuple(
                Rung(share=share, rows=each.rows, trials=sum(t.rung == rung for t in trials))
                for rung, (share, each) in enumerate(zip(SHARES[-len(self._rungs) :], self._rungs, strict=True))
            ),
            by_candidate=tuple(self._of(name) for name in (c.name for c in self._stage.contenders)),
            trials=tuple(trials),
        )

    def _of(self, name: str) -> Searched:
        study = next((each for each in self.studies if each.name == name), None)
        if study is None:
            return Searched(name=name, trials=0, seconds=0.0)
        best = study.best
        default = next((t for t in study.trials if t.setting == 0 and t.rung == study.rungs - 1), None)
        return Searched(
            name=name,
            trials=len(study.trials),
            seconds=sum(t.seconds for t in study.trials),
            default=default.value if default else None,
            best=best.value if best else None,
            params=dict(best.params) if best else {},
            searched=tuple(sorted(study.space)),
        )
