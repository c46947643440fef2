"""What paid models cost and how fast they are: from the calls that were made, kept ones included."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.core.jobs import MODEL, ROWS, TABLE, JobContext
from bakeoff.core.protocols import Usage
from bakeoff.evaluate.decide.gates import gate_outcomes
from bakeoff.evaluate.decide.verdict import decide
from bakeoff.evaluate.score.paid_models import price_per_1k_usd, usage_of, wholly_remote_speed
from bakeoff.evaluate.score.worker import OUTCOMES, EvaluateArgument, evaluate, read_outcomes
from bakeoff.families.linear import LinearFamily
from bakeoff.families.remote import RemoteFamily, RemoteParams
from bakeoff.families.wrappers.cascade import CascadeFamily, CascadeParams
from bakeoff.families.wrappers.members import Member
from bakeoff.metrics.timing import Speed
from bakeoff.results.scorecard import Scorecard
from bakeoff.testing.families import FamilyConformance
from bakeoff.testing.service import completion, serving

SPEED = Speed(
    latency_ms={},
    throughput_rows_s=10.0,
    throughput_rows_s_per_core=100.0,
    batch_latency_ms={},
    batch_rows=1,
    spread=1.0,
)
HOURLY = 3.6


def price(spent, *, alone=True):
    return price_per_1k_usd(spent, 50, SPEED, price_per_hour_usd=HOURLY, alone=alone)


def test_tokens_are_the_price_of_a_paid_model_and_time_that_of_others():
    assert price(None) == pytest.approx(0.1)
    assert price(Usage(rows=50, cost_usd=0.25)) == pytest.approx(5.0)
    assert price(Usage(rows=50, cost_usd=0.25), alone=False) == pytest.approx(5.0 + 0.01)
    assert price(Usage(rows=50, cost_usd=None)) == pytest.approx(0.1)  # a server of one's own takes the machine


def test_speed_comes_from_the_calls_that_were_made():
    spent = Usage(rows=4, calls=4, seconds=(0.1, 0.1, 0.1, 0.5), concurrency=2)
    speed = wholly_remote_speed(spent, 4)
    assert speed.latency_ms["p50"] == pytest.approx(100)
    assert speed.throughput_rows_s == pytest.approx(2 / 0.2)
    assert speed.batch_rows == 2
    assert wholly_remote_speed(spent, 5) is None
    assert wholly_remote_speed(None, 4) is None


def scorecard_of(reference, job, model, table, folder, **more):
    (folder / "model").mkdir(parents=True)
    model.save(folder / "model")
    table.write_parquet(folder / TABLE)
    np.savez(folder / ROWS, test=np.arange(len(table)))
    argument = EvaluateArgument(
        family=reference,
        task="classification",
        schema=job.schema,
        seed=0,
        resamples=100,
        train_s=1.0,
        size_bytes=1,
        **{"metric": "f1_macro", "findings": False} | more,
    )
    context = JobContext(
        inputs={MODEL: folder / "model", TABLE: folder / TABLE, ROWS: folder / ROWS},
        outputs={OUTCOMES: folder / OUTCOMES},
        scratch=folder / "scratch",
        cache=job.cache,
        threads=1,
        progress=lambda _: None,
    )
    return msgspec.to_builtins(evaluate(argument, context))


def test_a_cascade_pays_for_the_rows_that_reach_the_paid_model(tmp_path: Path):
    suite = FamilyConformance()
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    with serving(lambda asked: completion("class 1", usage=usage)) as service:
        job = suite.job_of("classification", RemoteParams(url=service.url, price_in=1.0), tmp_path, columns=("text",))
        paid = RemoteFamily().fit(job)
        free = LinearFamily().fit(suite.job_of("classification", LinearFamily.params(), tmp_path, columns=("text",)))
        members = (Member(name="free", family="linear"), Member(name="paid", family="remote"))
        cascade = CascadeFamily().combined(CascadeParams(members=members, thresholds=(0.9,)), [free, paid])
        table = pl.concat([job.train, job.validation])
        unsure = int((free.predict(table.drop("target")).probabilities_nk.max(axis=1) < 0.9).sum())
        reference = "cascade"
        found = scorecard_of(reference, job, cascade, table, tmp_path / "c")
        alone = scorecard_of("remote", job, paid, table, tmp_path / "r")
    assert 0 < unsure < len(table)
    assert found["findings"]["usage"]["rows"] == unsure
    assert found["scorecard"]["cost_usd_per_1k"] == pytest.approx(unsure / len(table), rel=0.2)
    assert alone["scorecard"]["cost_usd_per_1k"] == pytest.approx(1.0)
    assert usage_of(free) is None


def test_answers_that_are_not_the_model_s_own_are_a_measurement_with_a_gate(tmp_path: Path):
    suite = FamilyConformance()

    def answer(asked):
        number = len(asked.said) % 4 if asked.said.startswith("x") else 2
        return (400, {"error": "filtered"}, {}) if number == 0 else "no idea" if number == 1 else "class 1"

    with serving(answer) as service:
        params = RemoteParams(url=service.url, model="tiny")
        job = suite.job_of("classification", params, tmp_path, columns=("text",))
        family = RemoteFamily()
        model = family.fit(job)
        table = pl.DataFrame({"text": ["x" * n for n in range(1, 41)], "target": ["class 0", "class 1"] * 20})
        result = scorecard_of("remote", job, model, table, tmp_path / "eval")
    card = Scorecard.from_json(result["scorecard"])
    assert card.unreadable == card.number("unreadable") == 0.5
    gates = DecideConfig(gates={"unreadable": Gate(max=0.01)})
    (outcome,) = gate_outcomes("remote", card, gates)
    assert (outcome.passed, outcome.value) == (False, 0.5)
    outcomes = {"remote": (np.asarray(table["target"]), _answers(tmp_path))}
    verdict = decide({"remote": card}, outcomes, DecideConfig(), "classification", 0)
    assert "50.00% of the answers of remote" in verdict.reason
    assert decide({"remote": card}, outcomes, gates, "classification", 0).winner is None


def _answers(folder: Path):
    return read_outcomes(pl.read_parquet(folder / "eval" / OUTCOMES))[1]
