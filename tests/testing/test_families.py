"""The suite, over a family as a third party would write it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, CorruptError, DataError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Json, Predictions, Signature, Task
from bakeoff.testing.families import FamilyConformance


@dataclass(frozen=True, kw_only=True)
class RuleParams:
    smoothing: float = 1.0


@dataclass(frozen=True, kw_only=True)
class RuleModel:
    """Class shares of the rows with a true, a false and a missing flag."""

    column: Column
    classes: tuple[str, ...]
    shares: dict[str, list[float]]
    smoothing: float

    @property
    def signature(self) -> Signature:
        return Signature(task="classification", inputs=(self.column,), classes=self.classes)

    @property
    def chosen(self) -> Mapping[str, Json]:
        return {"smoothing": self.smoothing}

    def predict(self, table: pl.DataFrame) -> Predictions:
        if self.column.name not in table.columns:
            raise DataError(f"expected the column {self.column.name!r}, received {table.columns}; add it")
        rows = [self.shares[str(value)] for value in table[self.column.name]]
        return Predictions.of_probabilities(np.array(rows).reshape(-1, len(self.classes)), self.classes)

    def save(self, folder: Path) -> None:
        body = json.dumps([self.column.name, self.classes, self.shares, self.smoothing])
        (folder / "rule.json").write_text(json.dumps([len(body), sum(body.encode()), body]))


class RuleFamily:
    name = "rule"
    tasks: frozenset[Task] = frozenset({"classification"})
    params = RuleParams
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def fit(self, job: FitJob) -> RuleModel:
        smoothing = float((job.chosen or {}).get("smoothing", job.params.smoothing))
        column = job.schema.column("boolean")
        table = pl.concat([job.train, job.validation])
        classes = tuple(sorted(table["target"].unique()))
        if len(classes) == 1:
            raise CandidateError(f"expected two classes, received {classes[0]!r} only")
        counts = Counter((str(flag), label) for flag, label in table.select("boolean", "target").iter_rows())
        shares: dict[str, list[float]] = {}
        for flag in ("True", "False", "None"):
            weights = [counts[flag, label] + smoothing for label in classes]
            shares[flag] = [weight / sum(weights) for weight in weights]
        if not table["boolean"].null_count():  # no row tells what a gap means
            shares["None"] = shares[str(table["boolean"].mode().sort()[0])]
        return RuleModel(column=column, classes=classes, shares=shares, smoothing=smoothing)

    def load(self, folder: Path, threads: int, cache=None) -> RuleModel:
        try:
            length, total, body = json.loads((folder / "rule.json").read_bytes())
            assert (length, total) == (len(body), sum(body.encode())), "the check does not match"
            name, classes, shares, smoothing = json.loads(body)
        except (OSError, ValueError, AssertionError) as error:
            raise CorruptError(f"{folder}: expected a rule, found {error}") from error
        column = Column(name=name, kind="boolean", dtype="Boolean")
        return RuleModel(column=column, classes=tuple(classes), shares=shares, smoothing=smoothing)


class TestThirdPartyFamily(FamilyConformance):
    columns = ("boolean",)

    @pytest.fixture
    def family(self) -> RuleFamily:
        return RuleFamily()


class Forgetful(RuleFamily):
    """Breaks what the suite must find."""

    def load(self, folder: Path, threads: int, cache=None) -> RuleModel:
        model = super().load(folder, threads)
        return RuleModel(column=model.column, classes=model.classes[::-1], shares=model.shares, smoothing=1.0)


def test_the_suite_finds_a_family_that_loads_another_model(tmp_path: Path) -> None:
    suite, family = TestThirdPartyFamily(), Forgetful()
    job = suite.job_of("classification", RuleParams(), tmp_path)
    with pytest.raises(AssertionError):
        suite.test_saved_and_loaded_predicts_the_same_bits(family, job, tmp_path)
