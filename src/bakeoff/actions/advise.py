"""Advice before anything is spent: probe what could be tried, predict what a run would find, compare afterwards."""

import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.actions.advice import Advice
from bakeoff.actions.advise_facts import DataFacts, facts
from bakeoff.core import narrow
from bakeoff.core.addresses import is_local_url
from bakeoff.core.closure import code_of
from bakeoff.core.families import load_family
from bakeoff.core.jobs import ROWS, Job, Resources
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of
from bakeoff.environment.hardware import Hardware, hardware
from bakeoff.evaluate.advise.track_record import TrackRecord, past_advice
from bakeoff.loop.advice import ADVICE, RUN, SECONDS, past_pairs
from bakeoff.loop.cache import Steps
from bakeoff.loop.classes import with_classes
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays
from bakeoff.loop.fit import job_of, run_jobs
from bakeoff.metrics.custom import digest_own
from bakeoff.results.search import ProbePoint
from bakeoff.train.probing import FIRST_ROWS, HELD, POOL, PROBE, ProbeArgument

if TYPE_CHECKING:
    from bakeoff.evaluate.advise.advice import Option, Outlook
    from bakeoff.evaluate.advise.whole_run import WholeRun

__all__ = ["advise"]

MOST_HELD = 400
HELD_OF_CLASS, FIRST_OF_CLASS = 8, 4
"""Rows for each class in the rows scored on, and in the first sample."""
LEAST_ROWS = 20
NAMED_WEIGHT = 3
"""How many times more time a candidate of the project gets than a family that it does not name."""
NAMED_WARM_S = 60.0
NO_TEXTS = "it reads texts, and no input is one"
NOT_PROBED = "it is not probed, since each row would be sent to {url} and may be paid for; try it on few rows"


def advise(
    stage: Stage,
    families: Sequence[Contender],
    absent: Mapping[str, str],
    *,
    seconds: float,
    again: bool = False,
) -> Advice:
    """Look at the data and the machine, probe candidates and families for `seconds`, and say what to try.

    Nothing is fitted on all rows, and test rows are not read. The same data, candidates and machine are not
    probed twice, unless `again`. The advice is kept, for `compared` after a run.

    Args:
        stage: what to work with; its contenders are probed with the project's parameters.
        families: others that could be tried, with their defaults.
        absent: families that cannot be probed, with what is missing.
        seconds: the time for probing, in all.
        again: probe even if it was done before.
    """
    steps = Steps.of(stage)
    gathered = gather(stage, steps)
    stage = with_classes(stage, gathered)
    machine = hardware()
    sent = {contender.name: url for contender in stage.contenders if (url := _elsewhere(contender))}
    no_texts = [] if gathered.schema.of_kind("text") else [each for each in families if _reads_texts(each)]
    absent = {**absent, **{name: NOT_PROBED.format(url=url) for name, url in sent.items()}}
    absent |= {each.name: NO_TEXTS for each in no_texts}
    tried = [each for each in (*stage.contenders, *families) if each.name not in absent]
    key = steps.key("probe", _inputs(stage, gathered, tried, machine, seconds))
    result = None if again else steps.done(key)
    if result is None:
        result = steps.publish(key, {"probed": _probed(stage, gathered, tried, machine, seconds)})
    probes = narrow.json_object(result["probed"])
    rows = gathered.summary.train + gathered.summary.validation
    record = TrackRecord(pairs=past_pairs(stage), metric=stage.metric)
    options = _options(
        stage, gathered, tried, probes, absent, memory_bytes=machine.memory_bytes, probe_s=seconds, record=record
    )
    advice = Advice(
        project=stage.config.project.name,
        task=stage.config.project.task,
        metric=stage.metric,
        dataset=gathered.version,
        rows=rows,
        made_ms=stage.clock(),
        probe_s=seconds,
        data=_facts(stage, gathered),
        hardware=machine,
        limits=stage.config.decide.gates,
        remote_allowed=stage.config.privacy.remote,
        options=tuple(options),
        run=_whole_run(stage, gathered, options, machine, record),
        past=past_advice(record.pairs, stage.metric),
    )
    stage.records.documents.put(*ADVICE, advice.to_json())
    return advice


def _reads_texts(contender: Contender) -> bool:
    """Whether a family says that it is of no use where no input is a text."""
    return bool(getattr(load_family(contender.shown.family_name), "reads_texts", False))


def _elsewhere(contender: Contender) -> str | None:
    """The service on another machine that a candidate asks, if it asks one."""
    url = contender.service
    return url if url is not None and not is_local_url(url) else None


# --- the probe ----------------------------------------------------------------------------------


def _inputs(
    stage: Stage, gathered: Gathered, tried: Sequence[Contender], machine: Hardware, seconds: float
) -> dict[str, Json]:
    return {
        "table": gathered.table_blob,
        "rows": gathered.rows_blob,
        "schema": msgspec.to_builtins(gathered.schema),
        "metric": stage.metric,
        "metrics": [digest_own(), stage.config.decide.decide_by],
        "seed": stage.seed,
        "tried": [[c.name, c.family_name, msgspec.to_builtins(c.params), c.code] for c in tried],
        "environment": versions_of({name for c in tried for name in c.requires}),
        "machine": [platform.node(), msgspec.to_builtins(machine)],
        "threads": stage.compute.threads,
        "seconds": seconds,
        "code": code_of("bakeoff.train.worker", "bakeoff.train.probing"),
    }


def _probed(
    stage: Stage, gathered: Gathered, tried: Sequence[Contender], machine: Hardware, seconds: float
) -> dict[str, Json]:
    """What each probe measured, by name. They share the time, of which candidates of the project get more.

    As many run at once as in a run. What candidates of the project must fetch and load first comes on top.
    """
    import numpy as np

    at_once = min(len(tried), max(1, machine.cores // stage.compute.threads))
    named = {contender.name for contender in stage.contenders}
    weights = {contender.name: NAMED_WEIGHT if contender.name in named else 1 for contender in tried}
    limits = {name: seconds * at_once * weight / sum(weights.values()) for name, weight in weights.items()}
    rng = np.random.default_rng(stage.seed)
    rows = load_arrays(stage.blobs, gathered.rows_blob)
    train, validation = rows["train"], rows["validation"]
    label_n, classes = _labels(stage, gathered)
    pool, held_out = train, validation
    if len(validation) < LEAST_ROWS:  # then some training rows: the latest, or some of each class
        ordered = train if gathered.schema.time is not None else _stratified(train, label_n, rng)
        pool, held_out = np.split(ordered, [-max(1, len(train) // 5)])
    most = max(MOST_HELD, HELD_OF_CLASS * classes)
    drawn: dict[str, Any] = {
        POOL: _stratified(pool, label_n, rng),
        HELD: _stratified(held_out, label_n, rng)[:most],
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **drawn)
    inputs = {ROWS: BlobRef(stage.blobs.put(buffer.getvalue())), **stage.own_metrics}
    share = len(validation) / max(1, len(train) + len(validation))
    jobs = [
        _job(
            job_of(stage, gathered, each),
            inputs,
            probe_limit_s=limits[each.name],
            warm_limit_s=NAMED_WARM_S if each.name in named else limits[each.name],
            validation_share=share,
            first_rows=max(FIRST_ROWS, FIRST_OF_CLASS * classes),
            costs=stage.config.decide.model_dump(mode="json")["costs"],
            by_cost=stage.config.decide.decide_by == "cost",
        )
        for each in tried
    ]
    limits_shown = ", ".join(f"{name} ({limit_s:.1f} s)" for name, limit_s in limits.items())
    stage.progress(f"probing {limits_shown}, {at_once} at once")
    return {
        result.name: dict(result.value or {"points": [], "error": result.error}) for result in run_jobs(stage, jobs)
    }


def _labels(stage: Stage, gathered: Gathered) -> "tuple[Any | None, int]":
    """The class of each row of the table, and how many there are; none unless it is about classes."""
    import numpy as np
    import polars as pl

    if stage.config.project.task != "classification":
        return None, 0
    target = gathered.schema.target
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.table_blob)), columns=[target])
    names, label_n = np.unique(table[target].cast(pl.String).to_numpy().astype(np.str_), return_inverse=True)
    return label_n, len(names)


def _stratified(rows_n: Any, label_n: Any | None, rng: Any) -> Any:
    """The rows in a random order of which each beginning has every class in about its share."""
    import numpy as np

    rows_n = rng.permutation(rows_n)
    if label_n is None:
        return rows_n
    of_n = label_n[rows_n]
    place_n = np.empty(len(rows_n))
    for label in np.unique(of_n):
        inside = np.flatnonzero(of_n == label)
        place_n[inside] = (np.arange(len(inside)) + rng.random()) / len(inside)
    return rows_n[np.argsort(place_n, kind="stable")]


def _job(fit: Job, inputs: Mapping[str, BlobRef], **more: Any) -> Job:
    argument = ProbeArgument(**{**msgspec.structs.asdict(fit.argument), **more})
    resources = Resources()  # the time is shared by as many as run at once
    return replace(
        fit, function=PROBE, argument=argument, inputs={**fit.inputs, **inputs}, outputs=(), resources=resources
    )


# --- what to make of it -------------------------------------------------------------------------


def _options(
    stage: Stage,
    gathered: Gathered,
    tried: Sequence[Contender],
    probes: Mapping[str, Any],
    absent: Mapping[str, str],
    *,
    memory_bytes: int,
    probe_s: float,
    record: TrackRecord,
) -> "list[Option]":
    from bakeoff.evaluate.advise.advice import Option, predicted, ranked
    from bakeoff.metrics.registry import find

    measure = find(stage.metric, stage.config.project.task)
    higher = measure.higher_is_better
    rows = gathered.summary.train + gathered.summary.validation
    best = measure.bounds[1 if higher else 0]
    best = best if math.isfinite(best) else None
    named = {contender.name for contender in stage.contenders}
    price = stage.config.cost.price_per_hour_usd / stage.config.cost.utilisation

    def option(contender: Contender) -> Option:
        probe = probes.get(contender.name, {})
        points = msgspec.convert(probe.get("points", []), tuple[ProbePoint, ...])
        outlook = None
        if points:
            outlook = predicted(
                points,
                rows,
                price_per_hour_usd=price,
                higher_is_better=higher,
                best=best,
                test_rows=gathered.summary.test,
            )
            outlook = _calibrated(outlook, contender.name, record, best, higher_is_better=higher)
        return Option(
            name=contender.name,
            family=contender.shown.family_name,
            named=contender.name in named,
            points=points,
            trouble=None if points else probe.get("error"),
            late=not points and probe.get("late", False),
            outlook=outlook,
        )

    options = [option(contender) for contender in tried]
    options += [Option(name=name, family=name, named=False, trouble=why) for name, why in absent.items()]
    return ranked(
        options,
        metric=stage.metric,
        higher_is_better=higher,
        decide=stage.config.decide,
        memory_bytes=memory_bytes,
        rows=rows,
        probe_s=probe_s,
    )


def _calibrated(
    outlook: "Outlook", name: str, record: TrackRecord, best: float | None, *, higher_is_better: bool
) -> "Outlook":
    """What is expected, corrected by what earlier runs measured."""
    from bakeoff.evaluate.advise.advice import bounded

    figures = {quantity: record.calibrated(name, quantity, each) for quantity, each in outlook.figures.items()}
    metric = outlook.metric and record.calibrated(name, record.metric, outlook.metric)
    if metric is not None and best is not None:
        metric = bounded(metric, best, higher_is_better=higher_is_better)
    return replace(outlook, figures=figures, metric=metric)


def _whole_run(
    stage: Stage, gathered: Gathered, options: "Sequence[Option]", machine: Hardware, record: TrackRecord
) -> "WholeRun | None":
    """Seconds and memory of the run as the project has it; None while a candidate's are not known."""
    from bakeoff.evaluate.advise.whole_run import RunPlan, whole_run

    outlooks = {each.name: each.outlook for each in options if each.named}
    known = {name: each.figures for name, each in outlooks.items() if each is not None}
    if len(known) < len(stage.contenders):
        return None
    plan = RunPlan(
        folds=gathered.folds * gathered.repeats,
        test_rows=gathered.summary.test,
        at_once=max(1, machine.cores // stage.compute.threads),
        combines=len(known) > 1 and (stage.config.combine.blends or stage.config.combine.cascades),
        refits=stage.config.loop.refit,
        findings=stage.config.decide.findings,
        price_per_hour_usd=stage.config.cost.price_per_hour_usd / stage.config.cost.utilisation,
    )
    whole = whole_run(known, plan)
    return replace(whole, seconds=record.calibrated(RUN, SECONDS, whole.seconds))


def _facts(stage: Stage, gathered: Gathered) -> DataFacts:
    import numpy as np
    import polars as pl

    rows = load_arrays(stage.blobs, gathered.rows_blob)
    table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.table_blob)))
    seen = table[np.concatenate([rows["train"], rows["validation"]])]
    return facts(
        seen,
        gathered.schema,
        stage.config.project.task,
        seed=stage.seed,
        split=gathered.summary.split,
        test=gathered.summary.test,
    )
