"""The outcome of a bake-off run, and its JSON: what `bakeoff run --json` prints and every run keeps as an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import CorruptError
from bakeoff.core.ledger import Ledger
from bakeoff.core.releases import Release
from bakeoff.core.types import Json, Task
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.positive import Positive
from bakeoff.results.baseline import Baseline
from bakeoff.results.candidate import Candidate
from bakeoff.results.combination import CombinationOutcome
from bakeoff.results.data import Dataset
from bakeoff.results.judge import JudgeOutcome
from bakeoff.results.search import Expected, SearchBudget
from bakeoff.results.shipped import Shipped
from bakeoff.results.verdict import Verdict

__all__ = ["ARTIFACT", "FORMAT", "Paid", "RunOutcome"]

ARTIFACT = "outcome.json"
"""The name under which a run keeps it."""
FORMAT = 1
"""Of the artifact; a reader of a later format reads the earlier ones."""

OPTIONAL = ("usage", "safety", "losses", "memorisation", "monthly")
FINDINGS = ("slices", "weak_slices", "slices_tested", "robustness", "calibration")
IDENTITY = ("name", "family", "status", "run_id", "model_version")
PARAMS = ("weights", "biases", "log", "thresholds", "pooled", "doubted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What services were paid in the run, and the limit that was set for it (US dollars)."""

    usd: float = 0.0
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """Everything that a bake-off run found and did.

    `baselines` are rules that need no model, on the same rows: of none of them is there a version. `endpoint`,
    `release` and what was `shipped` are None when nothing was released; `not_combined` says why a candidate was not
    tried in combinations; `advice` is what `bakeoff advise` expected beside what was measured; `budget` how a search
    for parameters went, `judge` what a judge found, `ledger` what became of every row (None: a run of before kept
    none).
    """

    run_id: str
    project: str
    task: Task
    dataset: Dataset
    candidates: tuple[Candidate, ...]
    verdict: Verdict
    baselines: tuple[Baseline, ...] = ()
    combinations: tuple[CombinationOutcome, ...] = ()
    not_combined: Mapping[str, str] = field(default_factory=dict[str, str])
    positive: Positive | None = None
    endpoint: str | None = None
    release: Release | None = None
    shipped: Shipped | None = None
    ledger: Ledger | None = None
    advice: tuple[Expected, ...] = ()
    budget: SearchBudget | None = None
    judge: JudgeOutcome | None = None
    paid: Paid = field(default_factory=Paid)

    @property
    def fine(self) -> tuple[Candidate, ...]:
        """Candidates that were fitted and evaluated."""
        return tuple(each for each in self.candidates if each.status == "ok")

    @property
    def failed(self) -> tuple[Candidate, ...]:
        """Those that were not."""
        return tuple(each for each in self.candidates if each.status != "ok")

    def candidate(self, name: str | None) -> Candidate | None:
        """The candidate of that name, if there is one."""
        return next((each for each in self.candidates if each.name == name), None)

    def score(self, candidate: Candidate) -> Interval | None:
        """A candidate's value of the deciding metric."""
        return candidate.metrics.get(self.verdict.metric)

    def to_json(self) -> dict[str, Json]:
        """The document of `bakeoff run --json`: what was not looked for is left out."""
        body = msgspec.to_builtins(self)
        body["split"] = {"by": self.dataset.split, "folds": self.dataset.folds}
        body["dataset"] = _dataset(body["dataset"])
        body["candidates"] = [_candidate(each) for each in body["candidates"]]
        body["combinations"] = [_combination(each) for each in body["combinations"]]
        if self.budget is not None:
            body["budget"]["by_candidate"] = [_searched(each) for each in body["budget"]["by_candidate"]]
        if self.judge is not None:
            body["judge"] = _judge(body["judge"])
        if self.ledger is None:
            del body["ledger"]
        else:
            body["ledger"] = self.ledger.to_json()
        return msgspec.json.decode(msgspec.json.encode(body))  # lists for tuples, as it will be read back

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> "RunOutcome":
        """From what `to_json` gave, by this version or an earlier one.

        Raises:
            CorruptError: something is missing or of another form.
        """
        body = {key: value for key, value in document.items() if key not in {"split", "ledger"}}
        lines = document.get("ledger")
        ledger = Ledger.from_json(narrow.json_object(lines)) if lines else None
        try:
            return replace(msgspec.convert(body, cls), ledger=ledger)
        except msgspec.ValidationError as error:
            raise CorruptError(f"expected the outcome of a run as JSON; received one where: {error}") from error


def _without(body: Mapping[str, Any], *keys: str, unset: Any = None) -> dict[str, Any]:
    """Without those of the keys that hold nothing."""
    return {key: value for key, value in body.items() if key not in keys or value not in (unset, None)}


def _known(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _dataset(body: dict[str, Any]) -> dict[str, Any]:
    for warned in (body, body["contract"] or {"warnings": []}):
        warned["warnings"] = [_without(each, "value") for each in warned["warnings"]]
    return _without(body, "classes", "imbalance", "contamination")


def _candidate(body: dict[str, Any]) -> dict[str, Any]:
    if body["status"] != "ok":
        return {key: body[key] for key in (*IDENTITY, "error", "traceback")}
    left_out = {"error", "traceback", *(FINDINGS if body["slices_tested"] is None else ())}
    for name in ("slices", "weak_slices", "robustness"):
        body[name] = [_known(each) for each in body[name]]
    if body["calibration"] is not None:
        body["calibration"] = _known(body["calibration"])
    if body["memorisation"] is not None:
        skipped = body["memorisation"].pop("skipped")
        body["memorisation"] = {"skipped": skipped} if skipped else body["memorisation"]
    shown = _without(body, *OPTIONAL, unset=())
    return {key: value for key, value in shown.items() if key not in left_out}


def _combination(body: dict[str, Any]) -> dict[str, Any]:
    measured = () if body["quality"] is not None or body["metrics"] else ("metrics", "latency_ms", "size_bytes")
    return {key: value for key, value in _without(body, *PARAMS).items() if key not in measured}


def _searched(body: dict[str, Any]) -> dict[str, Any]:
    never = not body["trials"] and not body["searched"]
    return {key: value for key, value in body.items() if not never or key not in {"default", "best"}}


def _judge(body: dict[str, Any]) -> dict[str, Any]:
    if body["error"] is not None:
        return {"model": body["model"], "error": body["error"]}
    body["candidates"] = [_without(each, "corrected", "accepted", "uncorrected") for each in body["candidates"]]
    return _without(body, "error")
