"""Let a judge compare the candidates' answers, correct it by what people say, and put its scores beside the metrics."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.chat.client import CostBudget, Service, ServiceClient, ServiceError
from bakeoff.chat.dialect import dialect_of
from bakeoff.chat.meter import Meter, Prices
from bakeoff.chat.privacy import remote_calls
from bakeoff.chat.prompts import messages_of_row
from bakeoff.config.sections import LIVE_JUDGE, JudgeConfig
from bakeoff.core import narrow
from bakeoff.core.closure import code_of
from bakeoff.core.conversation import conversation_columns, lines_of
from bakeoff.core.errors import BudgetError, DataError
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.core.records import Version
from bakeoff.core.types import Column, Json, Schema
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_table
from bakeoff.loop.evaluate import Judged, groups, judge_champion, outcomes
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.registry import find
from bakeoff.results.judge import JudgeOutcome
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.evaluate.judge import Pair, Referee, Votes
    from bakeoff.metrics.intervals import Interval

__all__ = ["JUDGE", "Refereed", "judge_registered", "prices_of", "question", "referee", "referee_of"]

JUDGE, FAITHFUL = "judge", "faithful"
"""The metrics that the judge's scores make."""
SCORES = {"a": 1.0, "b": 0.0, "tie": 0.5}
LABEL_COLUMNS = ("a", "b", "preferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refereed:
    """The candidates, those that were judged with the metric `judge`, and what is to be told of the judge."""

    judged: tuple[Judged, ...]
    outcome: JudgeOutcome | None = None


def referee(stage: Stage, steps: Steps, gathered: Gathered, judged: Sequence[Judged]) -> Refereed:
    """Compare answers to some test rows with the true ones (or the leader's), as `[judge]` says.

    A judge that fails does not end the pass, unless it is the one to decide.

    Raises:
        ServiceError, BudgetError: the judge cannot be asked, and `[decide] metric` is one of its own.
    """
    config = stage.config.judge
    fine = [entry for entry in judged if entry.scorecard is not None]
    if config is None or not fine:
        return Refereed(judged=tuple(judged))
    key = steps.key("referee", _inputs(stage, gathered, config, fine))
    try:
        with remote_calls(allowed=stage.config.privacy.remote):
            result = steps.once(key, lambda: _Bench(stage, gathered, config, fine).result())
    except (ServiceError, BudgetError) as error:
        if stage.metric in {JUDGE, FAITHFUL}:
            raise
        stage.progress(f"judge: {error}")
        return Refereed(judged=tuple(judged), outcome=JudgeOutcome(model=config.model, error=str(error)))
    outcome = msgspec.convert(result["told"], JudgeOutcome)
    return Refereed(judged=tuple(_scored(entry, key, result) for entry in judged), outcome=outcome)


def judge_registered(stage: Stage, steps: Steps, gathered: Gathered, version: Version) -> Judged:
    """A registered model on the present test rows, with all that the metric that decides asks for."""
    judged = judge_champion(stage, steps, gathered, version)
    return referee(stage, steps, gathered, [judged]).judged[0] if stage.metric in {JUDGE, FAITHFUL} else judged


def _inputs(stage: Stage, gathered: Gathered, config: JudgeConfig, fine: Sequence[Judged]) -> dict[str, Json]:
    labels = stage.judge_labels
    return {
        "judge": config.model_dump(
            mode="json", exclude={"concurrency", "timeout_s", "attempts", "key_env", "budget_usd", *LIVE_JUDGE}
        ),
        "answers": [[entry.name, entry.outcomes_blob] for entry in fine],
        "table": gathered.table_blob,
        "metric": stage.metric,
        "context": list(stage.config.decide.context),
        "resamples": stage.config.decide.resamples,
        "seed": stage.seed,
        "labels": None if labels is None else digest_file(labels),
        "ratings": digest_json([list(each) for each in _ratings(stage, gathered)]),
        "code": code_of("bakeoff.evaluate.judge", "bakeoff.metrics.registry", "bakeoff.chat.client"),
    }


def _scored(entry: Judged, key: str, result: Result) -> Judged:
    """The candidate with its judge's scores; the leader, whom others were held against, is compared with nobody."""
    scores = narrow.json_object(result["scores"]).get(entry.name)
    if scores is None or entry.scorecard is None:
        return entry
    card = entry.scorecard.to_json()
    card["metrics"] = {**narrow.json_object(card["metrics"]), **scores}
    blob = narrow.text(result[f"{entry.name}_blob"])
    return replace(entry, key=f"{entry.key}+{key}", scorecard=Scorecard.from_json(card), outcomes_blob=blob)


def _ratings(stage: Stage, gathered: Gathered) -> list[tuple[str, str, bool]]:
    """Question, answer and whether people liked it, of what was served and rated."""
    from bakeoff.feedback.join import labelled

    rated = [pair for pair in labelled(stage.events, stage.endpoint, truth_of=stage.truth_of).pairs if pair.rating]
    schema = gathered.schema
    return [(_question(pair.row, schema), str(pair.said), float(pair.rating or 0) > 0) for pair in rated]


def _question(row: Mapping[str, Any], schema: Schema) -> str:
    return question(row, schema.input_columns)


def question(row: Mapping[str, Any], inputs: Sequence[Column]) -> str:
    """What was asked, as the judge reads it."""
    flat = {column.name: _flat(row.get(column.name)) for column in inputs}
    return lines_of(messages_of_row(flat, tuple(flat), conversations=conversation_columns(inputs)))


def _flat(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, list) else value


def referee_of(
    config: JudgeConfig, prices: Prices, meter: Meter, *, usd: float | None, cache: Path | None
) -> "Referee":
    """The judge of `[judge]`, who may cost so much; with a `cache`, what it said before costs nothing."""
    from bakeoff.evaluate.judge import Referee

    client = ServiceClient(
        Service.of(config),
        cache=cache,
        dialect=dialect_of(config.dialect, config.url),
        learns=config.dialect == "auto",
        budget=CostBudget(price=prices.of, usd=usd),
    )
    options: dict[str, Json] = {"temperature": config.temperature or 0}
    if config.reasoning_effort is not None:
        options["reasoning_effort"] = config.reasoning_effort
    return Referee(client, meter, criteria=config.criteria, max_tokens=config.max_tokens, options=options)


def prices_of(config: JudgeConfig) -> Prices:
    """What the judge's tokens cost."""
    return Prices(usd_in=config.price_in, usd_out=config.price_out, usd_cached=config.price_cached)


class _Bench:
    """One sitting: the rows, the answers to them, and the judge."""

    def __init__(self, stage: Stage, gathered: Gathered, config: JudgeConfig, fine: Sequence[Judged]) -> None:
        import numpy as np

        self.stage, self.gathered, self.config, self.fine = stage, gathered, config, fine
        self.said = {entry.name: outcomes(stage, entry) for entry in fine}
        rows = len(next(iter(self.said.values()))[0])
        self.rows = np.sort(np.random.default_rng(stage.seed).permutation(rows)[: config.rows])
        self.leader = self._leader() if config.against == "leader" else None
        self.prices = prices_of(config)
        self.meter = Meter(self.prices, concurrency=config.concurrency)
        self.questions = self._questions()

    def _leader(self) -> str:
        metric = find(self.stage.metric, self.stage.config.project.task)
        sign = 1 if metric.higher_is_better else -1
        scored = {e.name: e.scorecard.number(metric.name) for e in self.fine if e.scorecard is not None}
        return max(scored, key=lambda name: -float("inf") if scored[name] is None else sign * (scored[name] or 0.0))

    def _questions(self) -> list[str]:
        first = load_table(self.stage.blobs, narrow.text(self.fine[0].outcomes_blob), ["row"])["row"]
        names = self.gathered.schema.inputs
        table = load_table(self.stage.blobs, self.gathered.table_blob, names)
        return [_question(row, self.gathered.schema) for row in table[first.to_list()][self.rows].iter_rows(named=True)]

    def _referee(self) -> "Referee":
        return referee_of(self.config, self.prices, self.meter, usd=self.config.budget_usd, cache=self.stage.cache)

    def result(self) -> Result:
        """What the step keeps: what is told of the judge, the scores, and outcomes with them (blobs)."""
        import numpy as np

        from bakeoff.evaluate.judge import bias

        judge, stage = self._referee(), self.stage
        stage.progress(f"judge: comparing answers to {len(self.rows):,} rows")
        people = _People(self, judge)
        scores: dict[str, Json] = {}
        candidates: list[Json] = []
        result: Result = {}
        rivals = [entry for entry in self.fine if entry.name != self.leader]
        shown = {entry.name: self._pairs(entry.name) for entry in rivals}
        votes_of = {name: judge.compare(pairs) for name, pairs in shown.items()}
        unread_n = self._unread(list(votes_of.values()))
        columns = {entry.name: {JUDGE: np.where(unread_n, np.nan, votes_of[entry.name].score_n)} for entry in rivals}
        faithful = self._faithful(judge)
        for name, score_n in faithful.items():
            columns.setdefault(name, {})[FAITHFUL] = score_n
        for entry in (each for each in self.fine if each.name in columns):
            blob = self._with_scores(entry, columns[entry.name])
            found = self._estimates(entry, blob, list(columns[entry.name]))
            scores[entry.name] = msgspec.to_builtins(found)
            result[f"{entry.name}_blob"] = blob
            for metric, interval in found.items():
                stage.progress(f"judge: {entry.name}: {metric} {interval.value:.3f} {interval.ends('.3f')}")
            if entry in rivals:
                pairs, votes = shown[entry.name], votes_of[entry.name]
                told: dict[str, Json] = {
                    "name": entry.name,
                    "score": msgspec.to_builtins(found[JUDGE]),
                    "unreadable": votes.unreadable,
                    "bias": msgspec.to_builtins(bias([votes])),
                    **people.corrected(votes, pairs),
                }
                candidates.append(told)
        result["scores"] = scores
        result["told"] = self._told(candidates, list(votes_of.values()), people) | {"unread": int(unread_n.sum())}
        return result

    def _estimates(self, entry: Judged, blob: str, metrics: Sequence[str]) -> "dict[str, Interval]":
        """What the judge's scores make, by metric."""
        from bakeoff.evaluate.score.estimates import ScoredRows, estimates
        from bakeoff.metrics.outcome import outcome

        truth_n, predictions = outcomes(self.stage, replace(entry, outcomes_blob=blob))
        rows = ScoredRows(
            outcome=(given := outcome(truth_n, predictions, "generation")),
            dependence=Dependence.of(len(given), groups_n=groups(self.stage, self.gathered)),
            draws=self.stage.config.decide.resamples,
            seed=self.stage.seed,
        )
        return dict(estimates([find(name, "generation") for name in metrics], rows))

    def _faithful(self, judge: "Referee") -> "dict[str, NDArray[np.float64]]":
        """Whether the context bears the answers out, by candidate, on rows of which all could be read.

        Raises:
            ServiceError: no row is left.
        """
        import numpy as np

        columns = self.stage.config.decide.context
        if not columns:
            return {}
        passages = self._contexts(columns)
        found = {
            entry.name: judge.supported(
                [
                    (passage, question, str(self.said[entry.name][1].values_n[at]))
                    for passage, question, at in zip(passages, self.questions, self.rows.tolist(), strict=True)
                ]
            )
            for entry in self.fine
        }
        unread_n = np.isnan(np.stack(list(found.values()))).any(axis=0)
        if unread_n.all():
            raise ServiceError(
                f"expected the judge {self.config.model!r} to say supported or unsupported, it never did"
            )
        if unread_n.any():
            self.stage.progress(
                f"judge: {unread_n.mean():.1%} of the rows have no {FAITHFUL}: an answer was unreadable"
            )
        return {name: np.where(unread_n, np.nan, score_n) for name, score_n in found.items()}

    def _contexts(self, columns: Sequence[str]) -> list[str]:
        from bakeoff.evaluate.score.text_scores import contexts

        first = load_table(self.stage.blobs, narrow.text(self.fine[0].outcomes_blob), ["row"])["row"]
        table = load_table(self.stage.blobs, self.gathered.table_blob, list(columns))
        return contexts(table[first.to_list()][self.rows], columns)

    def _unread(self, votes: "Sequence[Votes]") -> "NDArray[np.bool_]":
        """Rows (n,) on which the judge could not be read of any candidate: nobody has a score there.

        So all are scored on the same rows, and nobody gains by answers that silence the judge on others' good rows.

        Raises:
            ServiceError: no row is left.
        """
        import numpy as np

        unread_n = np.zeros(len(self.rows), dtype=np.bool_)
        for each in votes:
            unread_n |= np.isnan(each.score_n)
        if votes and unread_n.all():
            raise ServiceError(
                f"expected votes of the judge {self.config.model!r} that name A, B or tie, received none on "
                f"{len(self.rows):,} rows; look at its answers, or raise [judge] max_tokens"
            )
        if unread_n.any():
            share = f"{unread_n.mean():.1%} of the rows"
            self.stage.progress(f"judge: {share} have no score, as a vote on them could not be read")
        return unread_n

    def _pairs(self, name: str) -> "list[Pair]":
        from bakeoff.evaluate.judge import Pair

        truth_n, predictions = self.said[name]
        others = truth_n if self.leader is None else self.said[self.leader][1].values_n
        return [
            Pair(question=question, answer=str(predictions.values_n[at]), other=str(others[at]))
            for question, at in zip(self.questions, self.rows.tolist(), strict=True)
        ]

    def _with_scores(self, entry: Judged, columns: "Mapping[str, NDArray[np.float64]]") -> str:
        """The candidate's outcomes with columns of the judge's scores, missing where it was not asked."""
        import numpy as np
        import polars as pl

        assert entry.outcomes_blob is not None
        table = pl.read_parquet(io.BytesIO(self.stage.blobs.get(entry.outcomes_blob)))
        for name, judged_n in columns.items():
            score_n = np.full(table.height, np.nan)
            score_n[self.rows] = judged_n
            table = table.with_columns(pl.Series(f"score:{name}", score_n))
        with tempfile.TemporaryDirectory(dir=self.stage.work) as scratch:
            path = Path(scratch) / "outcomes.parquet"
            table.write_parquet(path)
            return self.stage.blobs.put(path)

    def _told(self, candidates: list[Json], votes: "Sequence[Votes]", people: "_People") -> dict[str, Json]:
        from bakeoff.evaluate.judge import bias

        usage = self.meter.usage
        return {
            "model": self.config.model,
            "criteria": self.config.criteria,
            "against": self.leader or "reference",
            "rows": len(self.rows),
            "bias": msgspec.to_builtins(bias(votes)) if votes else None,
            "candidates": candidates,
            "pairs": people.pairs,
            "ratings": people.ratings,
            "calls": usage.calls,
            "tokens": usage.tokens_in + usage.tokens_out,
            "cost_usd": usage.cost_usd,
        }


class _People:
    """What people said of answers, what the judge says of the same, and its scores corrected by both."""

    def __init__(self, bench: _Bench, judge: "Referee") -> None:
        import numpy as np

        from bakeoff.evaluate.judge import agreement

        self._judge = judge
        labels = bench.stage.judge_labels
        labelled = [] if labels is None else _labels(labels, bench.gathered.schema)
        human_m = np.asarray([score for _, score in labelled])
        judged_m = judge.compare([pair for pair, _ in labelled]).score_n if labelled else np.empty(0)
        self._human_m, self._judged_m = human_m[~np.isnan(judged_m)], judged_m[~np.isnan(judged_m)]
        self.pairs: Json = msgspec.to_builtins(agreement(self._human_m, self._judged_m))
        rated = _ratings(bench.stage, bench.gathered)
        liked_m = np.asarray([liked for *_, liked in rated], dtype=bool)
        accepted_m = judge.accept([(q, a) for q, a, _ in rated]) if rated else np.empty(0)
        self._liked_m, self._accepted_m = liked_m[~np.isnan(accepted_m)], accepted_m[~np.isnan(accepted_m)]
        self.ratings: Json = msgspec.to_builtins(agreement(self._liked_m.astype(np.float64), self._accepted_m))

    def corrected(self, votes: "Votes", pairs: "Sequence[Pair]") -> dict[str, Json]:
        """The score that people would give (`corrected`, by labelled pairs), and the share of answers that they
        would like (`accepted`, by ratings).
        """  # noqa: D205 - one sentence
        import numpy as np

        from bakeoff.metrics.judges import prediction_powered, rogan_gladen

        corrections: dict[str, Json] = {}
        try:
            if len(self._human_m):
                score_n = votes.score_n[~np.isnan(votes.score_n)]
                corrected = prediction_powered(self._human_m, self._judged_m, score_n)
                corrections["corrected"] = msgspec.to_builtins(corrected)
            if len(self._liked_m):
                accepted_n = self._judge.accept([(pair.question, pair.answer) for pair in pairs])
                accepted_n = accepted_n[~np.isnan(accepted_n)]
                liked = self._liked_m
                rate = rogan_gladen(
                    int(accepted_n.sum()),
                    len(accepted_n),
                    true_positives=int(self._accepted_m[liked].sum()),
                    positives=int(liked.sum()),
                    true_negatives=int((1 - self._accepted_m[~liked]).sum()),
                    negatives=int((~liked).sum()),
                )
                corrections["accepted"] = msgspec.to_builtins(rate)
        except DataError as error:
            corrections["uncorrected"] = str(error)
        return corrections


def _labels(file: Path, schema: Schema) -> "list[tuple[Pair, float]]":
    """Pairs that people compared: the inputs, the answers `a` and `b`, and which is `preferred` (a, b or tie).

    Raises:
        DataError: the file cannot be read, lacks a column, or says something else; with the row.
    """
    from bakeoff.evaluate.judge import Pair

    table = _read(file)
    missing = [name for name in (*schema.inputs, *LABEL_COLUMNS) if name not in table.columns]
    if missing:
        raise DataError(f"[judge] labels {str(file)!r}: expected the columns {missing}, received {table.columns}")
    labels: list[tuple[Pair, float]] = []
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        score = SCORES.get(str(row["preferred"]).strip().lower())
        if score is None:
            raise DataError(
                f"[judge] labels {str(file)!r}, row {number}: expected preferred to be a, b or tie, "
                f"received {row['preferred']!r}"
            )
        labels.append((Pair(question=_question(row, schema), answer=str(row["a"]), other=str(row["b"])), score))
    return labels


def _read(file: Path) -> "pl.DataFrame":
    import polars as pl

    readers = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}
    reader = readers.get(file.suffix)
    if reader is None:
        raise DataError(f"[judge] labels: expected a file ending in {', '.join(readers)}, received {str(file)!r}")
    try:
        return reader(file)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"[judge] labels {str(file)!r}: expected a table, found: {error}") from error
