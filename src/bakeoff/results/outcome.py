"""The outcome of a bake-off run, and its JSON: what `bakeoff run --json` prints and every run keeps as an artifact."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import CorruptError
from bakeoff.core.ledger import Ledger
from bakeoff.core.markup import bar, notebook, paragraph, table
from bakeoff.core.releases import Release
from bakeoff.core.types import Json, Task
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.positive import Positive
from bakeoff.metrics.registry import is_higher_better
from bakeoff.results.baseline import Baseline
from bakeoff.results.candidate import Candidate
from bakeoff.results.combination import CombinationOutcome
from bakeoff.results.data import Dataset
from bakeoff.results.explanation import Explanation
from bakeoff.results.judge import JudgeOutcome
from bakeoff.results.search import Expected, SearchBudget
from bakeoff.results.shipped import Shipped
from bakeoff.results.verdict import Verdict

__all__ = ["ARTIFACT", "FORMAT", "Paid", "RunOutcome"]

ARTIFACT = "outcome.json"
"""The name under which a run keeps it."""
FORMAT = 1
"""Of the artifact; a reader of a later format reads the earlier ones."""

OPTIONAL = ("usage", "safety", "losses", "memorisation", "monthly", "cut")
FINDINGS = ("slices", "weak_slices", "slices_tested", "robustness", "calibration")
IDENTITY = ("name", "family", "status", "run_id", "model_version")
BUDGETS = ("out_of_time", "out_of_budget")
PARAMS = ("weights", "biases", "log", "thresholds", "pooled", "doubted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What services were paid in the run, and the limit that was set for it (US dollars)."""

    usd: float = 0.0
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What narrows the interval of the winner next, and its price.

    `width`: how many times as wide the interval will be, about. `fits_s`: seconds of fits that it takes beside those of
    this run; None: it costs rows and not time alone.
    """

    step: str
    width: float
    fits_s: float | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        price = "" if self.fits_s is None else f", for about {self.fits_s:.2g} s of fits"
        return f"{self.step}: the interval will be about {self.width:.2f} times as wide{price}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """Everything that a bake-off run found and did.

    `baselines` are rules that need no model, on the same rows: of none of them is there a version. `endpoint`,
    `release` and what was `shipped` are None when nothing was released; `not_combined` says why a candidate was not
    tried in combinations; `advice` is what `bakeoff advise` expected beside what was measured; `budget` how a search
    for parameters went, `next_step` what would narrow the winner's interval, `judge` what a judge found, `ledger` what
    became of every row (None: a run of before kept none), `explanations` why candidates answer as they do, that of the
    winner first, `seconds` how long the run took (None: fits of before were used again), `from_step_cache` how many
    steps came from the step cache of the team, by name.
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
    next_step: NextStep | None = None
    explanations: tuple[Explanation, ...] = ()
    seconds: float | None = None
    from_step_cache: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def fine(self) -> tuple[Candidate, ...]:
        """Candidates that were fitted and evaluated."""
        return tuple(each for each in self.candidates if each.status == "ok")

    @property
    def failed(self) -> tuple[Candidate, ...]:
        """Those that were not, for another reason than a budget of time or money."""
        return tuple(each for each in self.candidates if each.status == "failed")

    @property
    def left_out(self) -> tuple[Candidate, ...]:
        """Those that a budget of time or money left out, each with why (`Candidate.left_out`)."""
        return tuple(each for each in self.candidates if each.left_out is not None)

    @property
    def won(self) -> bool:
        """Whether some candidate passed the gates and won."""
        return self.verdict.winner is not None

    @property
    def blocked(self) -> str | None:
        """Why the winner waits for a person's word, if it does."""
        return self.verdict.contest if self.verdict.blocked else None

    def candidate(self, name: str | None) -> Candidate | None:
        """The candidate of that name, if there is one."""
        return next((each for each in self.candidates if each.name == name), None)

    def explanation(self, name: str | None) -> Explanation | None:
        """That of the candidate of that name, if it was explained."""
        return next((each for each in self.explanations if each.candidate == name), None)

    def score(self, candidate: Candidate) -> Interval | None:
        """A candidate's value of the deciding metric."""
        return candidate.metrics.get(self.verdict.metric)

    @property
    def headline(self) -> str:
        """Who won with what, in a few words."""
        winner = self.candidate(self.verdict.winner)
        if winner is None:
            return "nobody wins" + (f"; {self.verdict.best} leads" if self.verdict.best else "")
        score = self.verdict.value or self.score(winner)
        return f"{winner.name} wins" + (
            f" with {self.verdict.metric} {score.value:.4f} {score.ends()}" if score is not None else ""
        )

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """Candidates with the deciding metric, the best first."""
        metric = self.verdict.metric
        sign = 1 if is_higher_better(metric, self.task) is False else -1
        scored = [each for each in self.candidates if metric in each.metrics]
        return tuple(sorted(scored, key=lambda each: sign * each.metrics[metric].value))

    def _repr_html_(self) -> str:
        metric, data = self.verdict.metric, self.dataset
        scores = [each.metrics[metric] for each in self.ranked]
        ends = [end for each in scores for end in (each.value, each.low, each.high) if end is not None] or [0.0]
        rows = [
            (
                each.name,
                each.family,
                score.value,
                bar(score.value, score.low, score.high, least=min(ends), most=max(ends)),
                score.ends(".3f"),
                None if each.latency_ms.get("p95") is None else f"{each.latency_ms['p95']:.3g} ms",
                None if each.cost_usd_per_1k is None else _dollars(each.cost_usd_per_1k * 1000),
                each.model_version,
            )
            for each, score in zip(self.ranked, scores, strict=True)
        ]
        tested = f"{data.folds} folds" if data.folds else f"{data.train:,} train, {data.test:,} test rows"
        return notebook(
            f"{self.verdict.winner} wins" if self.verdict.winner else self.headline.capitalize(),
            table(("candidate", "family", metric, "95% interval", "", "p95", "price of a million", "model"), rows),
            *(paragraph(f"{each.name} failed: {each.error}", "bad") for each in self.failed),
            *(paragraph(f"{each.name}: {each.left_out.sentence}") for each in self.left_out if each.left_out),
            self.verdict.reason,
            paragraph(f"{self.project}, run {self.run_id[:8]}: {tested} (split: {data.split})", "muted"),
            *(paragraph(each.told, "bad") for each in data.warnings),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.project!r}, run {self.run_id[:8]}: {self.headline})"

    def to_json(self) -> dict[str, Json]:
        """The document of `bakeoff run --json`: what was not looked for is left out."""
        body = msgspec.to_builtins(self)
        body["split"] = {"by": self.dataset.split, "folds": self.dataset.folds}
        body = _without(body, "next_step")
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
        for name in ("explanations", "seconds", "from_step_cache"):
            if not body[name]:
                del body[name]
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


def _dollars(price: float) -> str:
    """A price with two digits that say something, and no exponent."""
    return f"${price:.{max(2, 1 - math.floor(math.log10(price)))}f}" if price > 0 else f"${price:.2f}"


def _without(body: Mapping[str, Any], *keys: str, unset: Any = None) -> dict[str, Any]:
    """Without those of the keys that hold nothing."""
    return {key: value for key, value in body.items() if key not in keys or value not in (unset, None)}


def _known(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _dataset(body: dict[str, Any]) -> dict[str, Any]:
    for warned in (body, body["contract"] or {"warnings": []}):
        warned["warnings"] = [_without(each, "value") for each in warned["warnings"]]
    return _without(body, "classes", "imbalance", "contamination", "feedback_until_ms")


def _candidate(body: dict[str, Any]) -> dict[str, Any]:
    if body["status"] != "ok":
        why = {name: body[name] for name in BUDGETS if body[name]}
        return {key: body[key] for key in (*IDENTITY, "error", "traceback")} | why
    left_out = {"error", "traceback", *BUDGETS, *(FINDINGS if body["slices_tested"] is None else ())}
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
