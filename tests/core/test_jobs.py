"""One struct is a job's argument and the key of its result."""

import importlib
import re
from pathlib import Path

import msgspec
import pytest

import bakeoff
from bakeoff.core.errors import UsageError
from bakeoff.core.jobs import Argument, Job, Resources, argument_of, job_key, key_fields
from bakeoff.core.types import Column, Schema
from bakeoff.engines.verifying import VerifyArgument
from bakeoff.evaluate.baselines.job import BaselinesArgument
from bakeoff.evaluate.explain.worker import ExplainArgument
from bakeoff.evaluate.score.worker import EvaluateArgument
from bakeoff.families.wrappers.members import AssembleArgument
from bakeoff.prepare.corpus.shards import ShardArgument
from bakeoff.prepare.corpus.work import Plan, Task
from bakeoff.train.learning import LearnArgument
from bakeoff.train.probing import ProbeArgument
from bakeoff.train.trial import TrialArgument
from bakeoff.train.worker import FitArgument, FoldsArgument

ROOT = Path(bakeoff.__file__).parent
OUTSIDE = {
    FitArgument: {"remote", "limit_s"},
    FoldsArgument: {"remote", "limit_s"},
    BaselinesArgument: set(),
    TrialArgument: {"remote", "limit_s", "trial_limit_s"},
    ProbeArgument: {"remote", "limit_s"},
    EvaluateArgument: {"remote"},
    AssembleArgument: set(),
    VerifyArgument: set(),
    ExplainArgument: {"remote"},
    ShardArgument: set(),
    LearnArgument: {"remote", "limit_s"},
}
"""All arguments, and what of each a result does not depend on."""

PLAN = Plan(steps=["mask"], text=["text"], target="", tokens=None, folder="", suffix=".parquet")
SCHEMA = Schema(columns=(Column(name="y", kind="numeric", dtype="Float64"),), target="y", inputs=())


def example(kind, **changes):
    """An argument with some value for every field, which may differ from the default."""
    values = {
        "family": "linear",
        "params": {"penalty": 1.0},
        "task": "regression",
        "schema": SCHEMA,
        "metric": "rmse",
        "seed": 1,
        "resamples": 10,
        "train_s": 1.0,
        "size_bytes": 1,
        "limit_s": 1.0,
        "trial_limit_s": 1.0,
        "probe_limit_s": 1.0,
        "all_fits_s": 1.0,
        "warm_limit_s": 1.0,
        "validation_share": 0.5,
        "whole_s": 1.0,
        "rows_per_s": 1.0,
        "candidate": "linear",
        "plan": PLAN,
        "tasks": [Task(part=0, stage=0)],
    }
    if kind is FoldsArgument:
        values["folds"] = (0, 1)
    if kind is BaselinesArgument:
        values["metrics"] = ("rmse",)
    known = {field.name for field in msgspec.structs.fields(kind)}
    return kind(**{name: value for name, value in (values | changes).items() if name in known})


OTHERS = {
    "family": "boosting",
    "params": {"penalty": 2.0},
    "task": "classification",
    "schema": Schema(columns=(Column(name="y", kind="numeric", dtype="Int64"),), target="y", inputs=()),
    "metric": "mae",
    "seed": 2,
    "resamples": 20,
    "train_s": 2.0,
    "size_bytes": 2,
    "limit_s": 2.0,
    "trial_limit_s": 2.0,
    "probe_limit_s": 2.0,
    "all_fits_s": 2.0,
    "warm_limit_s": 2.0,
    "validation_share": 0.2,
    "first_rows": 70,
    "whole_s": 2.0,
    "rows_per_s": 2.0,
    "candidate": "boosting",
    "chosen": {"penalty": 1.0},
    "rows": "all",
    "fold": 0,
    "remote": True,
    "costs": {"a": {"b": 1.0}},
    "by_cost": True,
    "metrics": ("mae",),
    "positive": "yes",
    "encoder": "minilm",
    "context": ("text",),
    "price_per_hour_usd": 3.0,
    "findings": False,
    "own_turns": 3,
    "memorisation": 3,
    "probes": ({"refuse": True},),
    "folds": 3,
    "by_time": True,
    "horizon_s": 60.0,
    "own_rows": 7,
    "repeats": 2,
    "plan": msgspec.structs.replace(PLAN, steps=["stem"]),
    "tasks": [Task(part=1, stage=0)],
}


def key(argument, **changes):
    return job_key(Job(name="a", function="bakeoff.train.worker:fit", argument=argument, **changes), environment={})


def test_every_argument_is_looked_at_here():
    for path in ROOT.rglob("*.py"):
        if re.search(r"\(\w*Argument, frozen", path.read_text()) and "testing" not in path.parts:
            importlib.import_module(".".join(("bakeoff", *path.relative_to(ROOT).with_suffix("").parts)))

    def below(kind):
        return {each for child in kind.__subclasses__() for each in (child, *below(child))}

    assert {
        each for each in below(Argument) if each.__module__.startswith("bakeoff.") and "testing" not in each.__module__
    } == set(OUTSIDE)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, field.name) for kind in OUTSIDE for field in msgspec.structs.fields(kind)],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_each_field_is_in_the_key_or_marked_as_left_out(kind, name):
    before = example(kind)
    other = (1, 2) if (kind, name) == (FoldsArgument, "folds") else OTHERS[name]
    after = argument_of(kind, msgspec.to_builtins(before) | {name: msgspec.to_builtins(other)})
    assert before != after
    assert (key(before) == key(after)) == (name in OUTSIDE[kind])
    assert (name in key_fields(before)) == (name not in OUTSIDE[kind])


def test_what_is_run_on_what_is_in_the_key_and_how_is_not():
    argument = example(FitArgument)
    inputs = {"table.parquet": "a" * 64}
    base = key(argument, inputs=inputs, outputs=("model",))
    assert key(argument, inputs=inputs, outputs=("model",), resources=Resources(threads=7), requires=("x",)) == base
    others = [
        key(argument, inputs={"table.parquet": "b" * 64}, outputs=("model",)),
        key(argument, inputs={"rows.npz": "a" * 64}, outputs=("model",)),
        key(argument, inputs=inputs, outputs=("held.npz",)),
    ]
    job = Job(name="a", function="bakeoff.train.worker:hold_out", argument=argument, inputs=inputs, outputs=("model",))
    others += [
        job_key(job, environment={}),
        job_key(job, "code", environment={}),
        job_key(job, environment={"numpy": "1"}),
    ]
    assert len({base, *others}) == 1 + len(others)


def test_an_argument_of_another_job_is_named():
    with pytest.raises(UsageError, match=r"a FitArgument.*trial_limit_s"):
        argument_of(FitArgument, msgspec.to_builtins(example(TrialArgument)))
