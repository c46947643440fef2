"""`remote`: a language model behind any OpenAI-compatible API, asked with the row and examples of training rows.

Nothing is fitted: examples are drawn from training rows, and what to say when an answer cannot be read is counted
on them. Classes are chosen by the probabilities of their first tokens where the service tells them (`logprobs`),
else by what was said. The service sees rows: `[privacy] remote` must allow that unless it runs on this machine.
"""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.chat.client import CostBudget, Refusal, Reply, Service, ServiceClient, ServiceError
from bakeoff.chat.dialect import PLAIN, ServiceDialect, dialect_of
from bakeoff.chat.meter import Meter, Prices
from bakeoff.chat.prompts import Preamble, check_template, messages_of_row
from bakeoff.chat.reading import AnswerChoices, answer_pieces, number_in, without_reasoning
from bakeoff.chat.streaming import Heard, request_of
from bakeoff.config.params import only_for
from bakeoff.config.sections import ApiDialect
from bakeoff.core.addresses import is_local_url
from bakeoff.core.conversation import conversation_columns
from bakeoff.core.errors import CandidateError, OptionError
from bakeoff.core.generation import Messages, Piece, Sampling, Token
from bakeoff.core.protocols import FitJob, Usage
from bakeoff.core.types import Column, Json, Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.demonstrations import source_of
from bakeoff.families.features.columns import complete, input_columns

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RemoteFamily", "RemoteModel", "RemoteParams"]

Floats: TypeAlias = NDArray[np.float64]
Turn: TypeAlias = dict[str, Any]

SURE = 0.9
"""The probability of a class that was said without being told how sure the model is; the others share the rest."""
LEAST_MASS = 0.5
"""Token probabilities that name classes must make up this much, or what was said is read instead."""
TOP_LOGPROBS = 20
OPENING = " \t\n\r\"'`*"
"""What may stand before a label."""
CLASSIFY = "Answer with exactly one of these labels and nothing else: {labels}."
REGRESS = "Answer with one number and nothing else."


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteParams:
    """Parameters of `remote`.

    `url`: the API's, up to where `/chat/completions` would be added; `model`: its name there; `key_env`: the
    environment variable with the key. `template`: how a row becomes a question, with `{column}` for its values
    (all inputs when left out); `system`: what comes before it. `shots`: examples from training rows, drawn
    `balanced` over classes or at `random`, or from `demonstrations`: rows with inputs and target, of which all are
    shown unless `shots` says how many. `prompt` (a file) stands for `system` and `template`, `shots_file` for
    `demonstrations`. `answers`: `json` asks the service for JSON that can only name a class.
    `logprobs`: whether it is asked for probabilities of tokens. `price_in`, `price_out`: dollars for a million
    tokens; without them a service on this machine costs the machine's time. `price_cached`: of tokens read that the
    service had from an earlier call. `budget_usd`: what calls in runs may cost in all; what was answered is kept.

    `dialect`: how the API is spoken: `plain` (`max_tokens`, temperature), `reasoning` (`max_completion_tokens`, no
    temperature, no log-probabilities), `responses` (OpenAI's newer API), `anthropic` (its messages), or `auto`: by the
    address (`…/responses`, `…/messages`, `api.anthropic.com`), else plain, and what the service refuses is learned.
    `reasoning_effort`: how long a model that reasons may do so. `headers`, `query`, `body`: what is added to each
    call; `key_header`: where the key goes (Azure: `api-key`).
    """

    url: str = "http://127.0.0.1:8000/v1"
    model: str = "default"
    key_env: str | None = None
    template: str | None = None
    system: str | None = None
    shots: Annotated[int, Field(ge=0, le=200)] = 0
    demonstrations: tuple[Mapping[str, str | None], ...] = ()
    examples: Literal["balanced", "random"] = field(default="balanced", metadata=only_for("classification"))
    answers: Literal["text", "json"] = field(default="text", metadata=only_for("classification"))
    logprobs: bool = field(default=True, metadata=only_for("classification"))
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 256
    price_in: Annotated[float, Field(ge=0)] | None = None
    price_out: Annotated[float, Field(ge=0)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 6
    price_cached: Annotated[float, Field(ge=0)] | None = None
    budget_usd: Annotated[float, Field(gt=0)] | None = None
    dialect: ApiDialect = "auto"
    reasoning_effort: str | None = None
    key_header: str = "Authorization"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is saved: all but the key. `fallback` says what unreadable answers count as, `dialect` how it was asked."""

    signature: Signature
    chosen: Mapping[str, Any]
    params: RemoteParams
    instruction: str | None
    shots: tuple[tuple[Turn, ...], ...]
    fallback: tuple[float, ...]
    dialect: ServiceDialect = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel(saved.StatedModel):
    """A `remote` candidate: what it asks, and the client that asks it."""

    state: _State
    client: ServiceClient = field(repr=False)
    meter: Meter = field(repr=False)

    @property
    def usage(self) -> Usage:
        """See `bakeoff.core.protocols.Metered`."""
        return self.meter.usage

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`.

        Raises:
            ServiceError: the service fails, or refuses every row.
        """
        table = complete(table, self.signature)
        names = [column.name for column in self.signature.inputs]
        requests = [self.request(row) for row in table.select(names).iter_rows(named=True)]
        fixed = {"temperature"} if self.state.params.temperature else set[str]()
        replies = self.client.chat(requests, fixed=frozenset(fixed | set(self.state.params.body)))
        refusals = [reply for reply in replies if isinstance(reply, Refusal)]
        if refusals and len(refusals) == len(replies) > 0:
            raise ServiceError(
                f"{self.state.params.url} refuses every row (HTTP {refusals[0].status}): {refusals[0].message}"
            )
        predictions, unreadable = self._read(replies)
        self.meter.count(replies, rows=len(replies), unreadable=unreadable)
        return predictions

    @property
    def preamble(self) -> Preamble:
        """What stands before every conversation, of rows and of chats."""
        lines = [text for text in (self.state.params.system, self.state.instruction) if text]
        return Preamble(system="\n".join(lines) or None, examples=self.state.shots)

    def request(self, row: Mapping[str, Any]) -> dict[str, Json]:
        """What the service is asked about a row."""
        params, inputs = self.state.params, self.signature.inputs
        names, conversations = [column.name for column in inputs], conversation_columns(inputs)
        turns = self.preamble.around(messages_of_row(row, names, template=params.template, conversations=conversations))
        body: dict[str, Json] = {"messages": [dict(turn) for turn in turns], "temperature": params.temperature}
        body["max_tokens"] = params.max_tokens
        if params.reasoning_effort is not None:
            body["reasoning_effort"] = params.reasoning_effort
        if self.signature.task == "classification":
            if params.answers == "json":
                body["response_format"] = _label_format(self.signature.classes)
            elif params.logprobs:
                body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body

    def _read(self, replies: Sequence[Reply | Refusal]) -> tuple[Predictions, int]:
        """Predictions, and how many answers could not be read."""
        match self.signature.task:
            case "classification":
                return self._read_labels(replies)
            case "regression":
                numbers = [number_in(reply.text) if isinstance(reply, Reply) else None for reply in replies]
                values = [self.state.fallback[0] if number is None else number for number in numbers]
                unreadable = sum(
                    number is None and isinstance(r, Reply) for r, number in zip(replies, numbers, strict=True)
                )
                return Predictions(values_n=np.asarray(values, dtype=np.float64)), unreadable
            case "generation":
                answers = [without_reasoning(reply.text) or "" if isinstance(reply, Reply) else "" for reply in replies]
                empty = sum(not text and isinstance(r, Reply) for r, text in zip(replies, answers, strict=True))
                return Predictions(values_n=np.asarray(answers, dtype=object)), empty

    def _read_labels(self, replies: Sequence[Reply | Refusal]) -> tuple[Predictions, int]:
        classes = self.signature.classes
        rows: list[Floats] = []
        unreadable = 0
        for reply in replies:
            shares_k = label_shares(reply, classes) if isinstance(reply, Reply) else None
            unreadable += shares_k is None and isinstance(reply, Reply)
            rows.append(np.asarray(self.state.fallback) if shares_k is None else shares_k)
        shares_nk = np.stack(rows) if rows else np.empty((0, len(classes)))
        return Predictions.of_probabilities(shares_nk, classes), unreadable

    @property
    def concurrency(self) -> int:
        """See `bakeoff.core.generation.Concurrent`."""
        return self.state.params.concurrency

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """See `bakeoff.core.generation.ChatModel`; what is broken off is counted as far as it came."""
        wanted = _wanted(sampling)
        for option in sorted(wanted & set(self.client.dialect.left_out)):
            raise OptionError(option, f"expected it to be left out: {self.state.params.url} does not take it")
        body = request_of(self.preamble.around(messages), sampling)
        if self.state.params.reasoning_effort is not None:
            body.setdefault("reasoning_effort", self.state.params.reasoning_effort)
        heard, started = Heard(), time.perf_counter()
        chunks = self.client.stream(body, fixed=wanted | set(self.state.params.body))
        if isinstance(chunks, Refusal):
            self.meter.count([chunks], rows=1)
            raise chunks.error(self.state.params.url)
        try:
            with closing(chunks):
                yield from answer_pieces(heard.pieces(chunks))
        finally:
            reply = Reply.streamed(body, heard.body, time.perf_counter() - started)
            self.meter.count([reply], rows=1)
        yield Piece(
            finish=heard.finish,
            prompt_tokens=reply.tokens_in,
            completion_tokens=reply.tokens_out,
            cached_tokens=reply.tokens_cached,
            reasoning_tokens=reply.tokens_reasoning,
        )

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`; the key is not saved."""
        saved.write(folder, RemoteFamily.name, self.state)


class RemoteFamily:
    """Builds `RemoteModel`s."""

    name = "remote"
    tasks: frozenset[Task] = frozenset({"classification", "regression", "generation"})
    params = RemoteParams
    requires = ("numpy", "polars")
    extra: str | None = "chat"
    reads_texts = True
    learns = False

    def service(self, params: RemoteParams) -> str:
        """See `bakeoff.core.families.service_of`."""
        return params.url

    def fit(self, job: FitJob) -> RemoteModel:
        """See `bakeoff.core.protocols.Family`; one call finds out whether the service works."""
        params: RemoteParams = job.params
        columns = input_columns(job)
        if not len(job.train):
            raise CandidateError("expected training rows, received none; look at [split] and [prepare]")
        if not is_local_url(params.url) and (params.price_in is None or params.price_out is None):
            raise CandidateError(
                f"expected price_in and price_out (dollars for a million tokens) for {params.url!r}, received "
                f"{params.price_in!r} and {params.price_out!r}: without them it would win for being free"
            )
        if params.template is not None:
            check_template("remote", params.template, [column.name for column in columns])
        classes, fallback, instruction = _learned(job)
        signature = Signature(task=job.task, inputs=columns, classes=classes)
        state = _State(
            signature=signature,
            chosen={"fallback": _told_fallback(job.task, classes, fallback)},
            params=params,
            instruction=instruction,
            shots=_shots(job, columns, classes),
            fallback=fallback,
            dialect=dialect_of(params.dialect, params.url),
        )
        model = _model(state, job.cache)
        job.progress(f"asking {params.url} (model {params.model!r})")
        model.predict(job.train[:1].select(signature_names(signature)))
        spoken = model.client.dialect
        if spoken == state.dialect:
            return model
        job.progress(
            f"{params.url} is asked with {spoken.max_tokens}, without {', '.join(spoken.left_out) or 'nothing'}"
        )
        # Saved, so that what serves asks as was measured; told, as answers without a temperature are drawn.
        chosen = {**state.chosen, "dialect": spoken.to_json()}
        return replace(model, state=replace(state, dialect=spoken, chosen=chosen))

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> RemoteModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`; a `cache` folder holds what was answered before."""
        return _model(saved.read(folder, self.name, _State)[0], cache)


def _wanted(sampling: Sampling) -> frozenset[str]:
    """Options that a caller asked for, as against those that every call has."""
    asks = {
        "temperature": sampling.temperature not in {0.0, 1.0},  # what is evaluated, and what services do by themselves
        "top_p": sampling.top_p < 1,
        "seed": sampling.seed is not None,
        "logprobs": sampling.top_logprobs is not None,
    }
    return frozenset(option for option, is_wanted in asks.items() if is_wanted)


def signature_names(signature: Signature) -> list[str]:
    """The names of a signature's inputs."""
    return [column.name for column in signature.inputs]


def _model(state: _State, cache: Path | None) -> RemoteModel:
    params = state.params
    prices = Prices(usd_in=params.price_in, usd_out=params.price_out, usd_cached=params.price_cached)
    # Runs have a cache, endpoints none: those must not fall silent because a run was dear.
    budget = CostBudget(price=prices.of, usd=None if cache is None else params.budget_usd)
    meter = Meter(prices, concurrency=params.concurrency)
    client = ServiceClient(
        Service.of(params), cache=cache, dialect=state.dialect, learns=params.dialect == "auto", budget=budget
    )
    return RemoteModel(state=state, client=client, meter=meter)


def _learned(job: FitJob) -> tuple[tuple[str, ...], tuple[float, ...], str | None]:
    """Classes, what unreadable answers count as (class shares, or the median), and the instruction."""
    import polars as pl

    target = job.train[job.schema.target]
    match job.task:
        case "generation":
            return (), (), None
        case "regression":
            return (), (float(np.median(target.cast(pl.Float64).to_numpy())),), REGRESS
        case "classification":
            truths = job.validation[job.schema.target].cast(pl.String).to_list()
            labels = [*target.cast(pl.String).to_list(), *truths]
            classes = tuple(sorted(set(labels)))
            if len(set(labels[: len(target)])) < 2:  # noqa: PLR2004
                raise CandidateError(
                    f"expected at least two classes among the training rows, received {classes[:1]!r} only"
                )
            shares = np.asarray([labels.count(name) for name in classes]) / len(labels)
            return classes, tuple(shares.tolist()), CLASSIFY.format(labels=", ".join(classes))


def _told_fallback(task: Task, classes: Sequence[str], fallback: Sequence[float]) -> Json:
    if task == "classification":
        return classes[int(np.argmax(fallback))]
    return fallback[0] if fallback else ""


def _shots(job: FitJob, columns: Sequence[Column], classes: Sequence[str]) -> tuple[tuple[Turn, ...], ...]:
    """Examples: one row of each class in turn (`balanced`), or as they are drawn; those of a file as they stand."""
    params: RemoteParams = job.params
    names, conversations = [column.name for column in columns], conversation_columns(columns)
    source = source_of(job, classes)
    order = np.arange(source.count) if source.whole else np.random.default_rng(job.seed).permutation(len(source.table))
    if job.task == "classification" and params.examples == "balanced" and not source.whole:
        labels = [str(label) for label in source.table[job.schema.target].to_list()]
        seen: dict[str, int] = {}
        turn_n = {at: _next(seen, labels[at]) for at in order.tolist()}
        order = np.asarray(sorted(turn_n, key=turn_n.__getitem__), dtype=np.int64)
    shots: list[tuple[Turn, ...]] = []
    for row in source.table[order[: source.count]].iter_rows(named=True):
        question = messages_of_row(row, names, template=params.template, conversations=conversations)
        answer: Any = row[job.schema.target]
        text = f"{answer:g}" if isinstance(answer, float) else str(answer)
        if job.task == "classification" and params.answers == "json":
            text = json.dumps({"label": text}, ensure_ascii=False)
        shots.append((*map(dict, question), {"role": "assistant", "content": text}))
    return tuple(shots)


def _next(seen: dict[str, int], label: str) -> int:
    seen[label] = seen.get(label, 0) + 1
    return seen[label]


def _label_format(classes: Sequence[str]) -> Json:
    schema: Json = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(classes)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def label_shares(reply: Reply, classes: Sequence[str]) -> Floats | None:
    """Probabilities (k,) of the classes by an answer; None when it names none.

    Where the likeliest tokens are told, the answer is followed token by token: each alternative gives its probability
    to the class that goes on so, until one class alone is left.
    """
    answer = AnswerChoices.of(classes).read(reply.text)
    mass_k = _masses(reply.tokens, classes)
    if mass_k.sum() >= LEAST_MASS:
        floored_k = np.maximum(mass_k, 1e-6)  # a class below the tokens told is unlikely, not impossible
        return floored_k / floored_k.sum()
    if answer is None:
        return None
    shares_k = np.full(len(classes), (1 - SURE) / max(1, len(classes) - 1))
    shares_k[answer] = SURE
    return shares_k / shares_k.sum()


def _masses(tokens: Sequence[Token], classes: Sequence[str]) -> Floats:
    """The probability (k,) that the answer goes on as each class, as far as the alternatives of its tokens tell."""
    names = [name.lower() for name in classes]
    mass_k = np.zeros(len(classes))
    begun, reached = "", 1.0
    for at, token in enumerate(tokens):
        own = token.text.lower()
        for text, logprob in token.top:
            stem, share = (begun + text.lower()).lstrip(OPENING), reached * math.exp(min(0.0, logprob))
            going = _going(stem, names)
            if len(going) > 1 and text.lower() == own and at + 1 < len(tokens):
                continue  # the next token tells which of them
            whole = [k for k in going if names[k] == stem.rstrip()]
            for k in whole or going:  # of what goes on as several nothing more is known: they share it
                mass_k[k] += share / len(whole or going)
        begun, reached = begun + own, reached * math.exp(min(0.0, token.logprob))
        if begun.strip(OPENING) and len(_going(begun.lstrip(OPENING), names)) < 2:  # noqa: PLR2004 - one or none
            break
    return mass_k


def _going(stem: str, names: Sequence[str]) -> list[int]:
    """The classes that a beginning may become; once it has gone beyond a class, the longest that it holds."""
    bare = stem.rstrip()
    if not bare:
        return []
    going = [k for k, name in enumerate(names) if name.startswith(stem) or name == bare]
    if going:
        return going
    held = [k for k, name in enumerate(names) if name and re.match(rf"{re.escape(name)}(?!\w)", bare)]
    return sorted(held, key=lambda k: -len(names[k]))[:1]
