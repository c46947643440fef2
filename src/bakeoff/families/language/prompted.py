# pyright: basic
# torch and transformers come without complete types
"""`prompted`: a language model as it is, asked with an instruction and, if wanted, examples; nothing is trained.

The answer is the label that the model finds likeliest as the continuation of the prompt, after calibration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from bakeoff.chat.tokens import ChatTokens, TokenSequence
from bakeoff.config.params import only_for
from bakeoff.config.search import one_of
from bakeoff.core.conversation import conversation_columns
from bakeoff.core.errors import CandidateError
from bakeoff.core.hashing import digest_json
from bakeoff.core.ledger import Loss, summed
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families.demonstrations import ExampleSource, source_of
from bakeoff.families.features.columns import complete, input_columns
from bakeoff.families.features.targets import Target, row_weights
from bakeoff.families.features.vectors_cache import VectorCache
from bakeoff.families.language import backbone
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.backbone import Backbone, Precision
from bakeoff.families.language.calibration import CONTENT_FREE, Scaling
from bakeoff.families.language.catalogue import base_of
from bakeoff.families.language.engine_choice import CapacityParams, check_quantisation
from bakeoff.families.language.few_shot import Shots, drawn
from bakeoff.families.language.finetuned import RowTokenizer
from bakeoff.families.language.generator import SpokenModel, SpokenState, load_spoken, require_chat, speaks
from bakeoff.families.language.library_output import need_llm
from bakeoff.families.language.likelihood import Scorer, common_prefix
from bakeoff.families.language.prompts import Part, Prompt, Shot, clipped, cut_losses, row_texts
from bakeoff.families.saved import StatedModel

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PromptedFamily", "PromptedModel", "PromptedParams"]

Scoring: TypeAlias = Literal["whole", "open", "bytes"]
POOL = 2000
"""Training rows among which the nearest examples are looked for."""
MOST_CALIBRATION = 400
PROBES = ("a", "The end", "9 x", "'quoted'", "Überall")
"""Texts that begin differently: what prompts of all of them share, all prompts share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptedParams(CapacityParams):
    """Parameters of `prompted`.

    `model`: see `bakeoff models available`. `instruction` comes first; one that names target and classes unless
    given. `template`: the row's text, in which `{column}` stands for a value; the only column, or a line for each,
    unless given. `system`: a system turn. `chat`: whether to ask in the model's chat template; if it has one, unless
    said. `shots`: examples before each row, taken by `select` from training rows, or from `demonstrations`: rows with
    inputs and target, of which all are shown, in their order, unless `shots` says how many. `prompt` (a file with what
    system and user say) stands for `system` and `template`, `shots_file` for `demonstrations`. `calibration`: from
    `calibration_rows` validation rows, from prompts without content ("contextual"), or none. `max_tokens`: of a row's
    text, what is longer loses its end, a conversation its oldest turns. `balanced`: whether every class weighs the same
    in calibration (as the metric calls for, unless said). `scoring`: how likely a label is: by its tokens and its end
    ("whole"), so that "card" does not win over "card lost" for being its beginning; without the end ("open", the `acc`
    of lm-eval); or that by byte ("bytes", its `acc_norm`).

    Task generation: answers have at most `max_new_tokens` tokens and come from `engine` (llama.cpp where it is
    installed, else transformers; "vllm", "vllm:URL"), which may convert the weights to `quantisation`. It holds
    `slots` conversations at once, of `context` tokens each, whose keys and values it keeps as `kv_cache`.
    """

    model: str = "smollm2-135m-instruct"
    instruction: str | None = None
    template: str | None = None
    system: str | None = None
    chat: bool | None = None
    shots: Annotated[int, Field(ge=0, le=64)] = 0
    demonstrations: tuple[Mapping[str, str | None], ...] = ()
    select: Literal["random", "balanced", "nearest"] = "balanced"
    calibration: Literal["validation", "contextual", "none"] = field(
        default="validation", metadata=one_of(("validation", "contextual", "none")) | only_for("classification")
    )
    calibration_rows: Annotated[int, Field(ge=1)] = field(default=MOST_CALIBRATION, metadata=only_for("classification"))
    scoring: Scoring = field(default="whole", metadata=only_for("classification"))
    max_tokens: Annotated[int, Field(ge=1)] = 512
    balanced: bool | None = field(default=None, metadata=only_for("classification"))
    precision: Literal["auto", "bf16", "fp32"] = field(default="auto", metadata=only_for("classification"))
    max_new_tokens: Annotated[int, Field(ge=1)] = field(default=128, metadata=only_for("generation"))
    engine: str = field(default="auto", metadata=only_for("generation"))
    quantisation: str = field(default="q8_0", metadata=only_for("generation"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All of a model but its base."""

    signature: Signature
    chosen: dict[str, Any]
    prompt: Prompt
    template: str | None
    shots: Shots
    scaling: Scaling
    max_tokens: int
    precision: Precision
    scoring: Scoring = "open"
    """Models that were saved before there was a choice are scored as they were measured."""


@dataclass(frozen=True, kw_only=True)
class PromptedModel(StatedModel):
    """A `prompted` candidate: its base is the folder `base`, loaded as `backbone`."""

    state: _State
    base: Path
    backbone: Backbone = field(repr=False)
    cache: VectorCache | None = None

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = complete(table, self.signature)
        texts = self.texts(table)
        score_nk = self.scores(texts) if self.cache is None else self.cache.vectors(texts, self.scores)
        return Predictions.of_probabilities(self.state.scaling(score_nk), self.signature.classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        storing.write(folder, PromptedFamily.name, self.state, self.signature, {storing.BASE: self.base})

    def scores(self, texts: Sequence[str], progress: Any = lambda _: None) -> Any:
        """Log-probabilities (n, k) of the labels, before calibration."""
        if not texts:
            return np.zeros((0, len(self.signature.classes)))
        read = self.sequences(texts)
        self._cut.extend(cut_losses(texts, read, "test", self.state.max_tokens, remedy=self.remedy))
        score_nk = self._scorer([list(each.ids) for each in read], progress)
        return score_nk / self._bytes_k if self.state.scoring == "bytes" else score_nk

    def losses(self) -> tuple[Loss, ...]:
        """See `bakeoff.core.protocols.Losing`."""
        return summed(self._cut)

    @cached_property
    def _cut(self) -> list[Loss]:
        """What was cut of rows since the model was loaded."""
        return []

    def texts(self, table: "pl.DataFrame") -> list[str]:
        """Each row's question as a text."""
        inputs = self.signature.inputs
        return row_texts(table, [column.name for column in inputs], self.state.template, conversation_columns(inputs))

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each row's prompt."""
        return [list(each.ids) for each in self.sequences(texts)]

    def sequences(self, texts: Sequence[str]) -> list[TokenSequence]:
        """The token ids of each row's prompt, and what was cut."""
        state, words = self.state, self.backbone.words
        shots = state.shots.of(texts, self._vectors)
        most = [self._most(shown, row=state.max_tokens) for shown in shots] if state.shots.nearest else self.most
        return state.prompt.sequences(words, texts, shots, most)

    @cached_property
    def most(self) -> int:
        """How many tokens a prompt has at most."""
        return self._most(self._longest_shots, row=self.state.max_tokens)

    @cached_property
    def remedy(self) -> str:
        """What to change so that less is cut."""
        by_setting = self.most < self._most(self._longest_shots, row=None)
        return "raise max_tokens" if by_setting else "name a model with a longer context"

    def _most(self, shots: Sequence[Shot], *, row: int | None) -> int:
        answer, loaded = max(len(label) for label in self._labels), self.backbone
        return self.state.prompt.most(loaded.words, shots, row=row, context=loaded.context, answer=answer)

    @cached_property
    def _labels(self) -> tuple[tuple[int, ...], ...]:
        texts = [self.state.prompt.continuation(name) for name in self.signature.classes]
        end = self._end if self.state.scoring == "whole" else ()
        return tuple((*ids, *end) or (0,) for ids in self.backbone.tokens(texts, special=False))

    @cached_property
    def _end(self) -> tuple[int, ...]:
        """The token that follows an answer: as the chat template ends a turn, or as examples end."""
        words = self.backbone.words
        ids = [words.end] if self.state.prompt.chat else words.text("\n\n")[:1]
        return tuple(token for token in ids if token is not None)

    @cached_property
    def _bytes_k(self) -> Any:
        texts = [self.state.prompt.continuation(name) for name in self.signature.classes]
        return np.asarray([max(1, len(text.encode())) for text in texts], dtype=np.float64)

    @cached_property
    def _longest_shots(self) -> tuple[Shot, ...]:
        longest = sorted(self.state.shots.pool, key=lambda shot: -len(shot.text))
        return tuple(longest[: self.state.shots.count])

    @cached_property
    def _scorer(self) -> Scorer:
        fixed = () if self.state.shots.nearest else self.state.shots.pool[: self.state.shots.count]
        words = self.backbone.words
        probes = [self.state.prompt.ids(words, [{"role": "user", "content": text}], fixed) for text in PROBES]
        prefix = common_prefix(probes)
        return Scorer(backbone=self.backbone, labels=self._labels, prefix=prefix)

    def _vectors(self, texts: Sequence[str]) -> Any:
        """Word vectors (n, d) of length one; a token weighs less the more texts of the pool have it."""
        weight_v, table_vd = self._words
        ids = self.backbone.tokens(texts, special=False)
        sums = [weight_v[row] @ table_vd[row] if row else table_vd[0] * 0 for row in ids]
        vector_nd = np.stack(sums).astype(np.float32)
        return vector_nd / np.maximum(np.linalg.norm(vector_nd, axis=1, keepdims=True), 1e-9)

    @cached_property
    def _words(self) -> tuple[Any, Any]:
        table_vd = self.backbone.model.get_input_embeddings().weight.detach().float().cpu().numpy()
        pool = self.backbone.tokens([shot.text for shot in self.state.shots.pool], special=False)
        count_v = np.ones(len(table_vd))
        for row in pool:
            count_v[list(set(row))] += 1
        return np.log((len(pool) + 1) / count_v).clip(min=0) + 0.1, table_vd


class PromptedFamily:
    """Builds `PromptedModel`s."""

    name = "prompted"
    tasks: frozenset[Task] = frozenset({"classification", "generation"})
    params = PromptedParams
    requires = ("torch", "transformers", "tokenizers", "numpy", "scipy", "polars")
    extra: str | None = "llm"
    reads_texts = True
    learns = False

    def fit(self, job: FitJob) -> PromptedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        if job.task == "generation":
            return _speaking(job)
        params: PromptedParams = job.params
        target = Target.of(job)
        base = base_of(params.model, kind="decoder", cache=job.cache, progress=job.progress)
        precision = backbone.fastest_precision() if params.precision == "auto" else params.precision
        loaded = backbone.load(base.folder, "decoder", precision=precision, threads=job.threads)
        model = PromptedModel(state=_asked(job, target, loaded), base=base.folder, backbone=loaded)
        count = target.training
        parts: list[tuple[Part, pl.DataFrame]] = [
            ("training", target.table[:count]),
            ("validation", target.table[count:]),
        ]
        for part, table in parts:
            texts = model.texts(table)
            for loss in cut_losses(texts, model.sequences(texts), part, params.max_tokens, remedy=model.remedy):
                job.on_loss(loss)
        prompt = model.state.prompt.to_json() | {"shots": [[s.text, s.answer] for s in model.state.shots.pool]}
        scaling = self._scaling(job, target, model)
        chosen = {"scaling": scaling.to_json(), "base": base.digest, "prompt": digest_json(prompt)[:16]}
        chosen |= {"instruction": model.state.prompt.instruction, "chat": model.state.prompt.chat}
        return replace(model, state=replace(model.state, scaling=scaling, chosen=chosen))

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> PromptedModel | SpokenModel:
        """See `bakeoff.core.protocols.Family`."""
        need_llm(self.name)
        if speaks(folder, self.name):
            return load_spoken(folder, self.name, threads, cache)
        state = storing.read(folder, self.name, _State)
        base = folder / storing.BASE
        loaded = backbone.load(base, "decoder", precision=state.precision, threads=threads)
        width = len(state.signature.classes)
        scores = None if cache is None else storing.score_cache(folder, cache, width=width)
        return PromptedModel(state=state, base=base, backbone=loaded, cache=scores)

    def _scaling(self, job: FitJob, target: Target, model: PromptedModel) -> Scaling:
        params: PromptedParams = job.params
        classes = len(target.classes)
        if job.chosen is not None:
            scaling = Scaling.of_json(job.chosen["scaling"])
            known = len(scaling.biases) == classes
            return scaling if known else Scaling.none(classes)
        if params.calibration == "none":
            return Scaling.none(classes)
        if params.calibration == "contextual":
            return Scaling.contextual(model.scores(CONTENT_FREE))
        rng = np.random.default_rng(job.seed)
        held = np.arange(target.training, len(target.value_n))
        rows = np.sort(rng.permutation(held)[: params.calibration_rows])
        texts = model.texts(target.table[rows])
        label_n = target.value_n[rows]
        weight_n = row_weights(job, label_n)
        return Scaling.fitted(model.scores(texts, job.progress), label_n.astype(np.int64), weight_n)


def _asked(job: FitJob, target: Target, loaded: Backbone) -> _State:
    """The model before calibration: its prompt and its examples."""
    params: PromptedParams = job.params
    columns = input_columns(job)
    names = [column.name for column in columns]
    classes, what = target.classes, job.schema.target
    prompt = Prompt.of(
        loaded.words,
        instruction=params.instruction,
        target=what,
        columns=names,
        classes=classes,
        chat=params.chat,
        system=params.system,
    )
    source = source_of(job, classes)
    texts = row_texts(source.table, names, params.template, conversation_columns(columns)) if source.count else []
    nearest = params.select == "nearest" and not source.whole
    texts = clipped(loaded.words, texts, params.max_tokens)
    answers = _told(source.table[what]) if texts else []
    pool = _pool(
        source,
        texts,
        answers,
        most=POOL if nearest else source.count,
        balanced=params.select == "balanced",
        seed=job.seed,
    )
    return _State(
        signature=Signature(task=job.task, inputs=columns, classes=classes),
        chosen={},
        prompt=prompt,
        template=params.template,
        shots=Shots(pool=pool, count=source.count, nearest=nearest),
        scaling=Scaling.none(len(classes)),
        max_tokens=params.max_tokens,
        precision=loaded.precision,
        scoring=params.scoring,
    )


def _told(answers: "pl.Series") -> list[str]:
    return [str(answer) for answer in answers.to_list()]


def _pool(
    source: ExampleSource, texts: Sequence[str], answers: Sequence[str], *, most: int, balanced: bool, seed: int
) -> tuple[Shot, ...]:
    """The examples, or those among which the nearest are looked for."""
    if source.whole:
        return tuple(Shot(text=text, answer=answer) for text, answer in zip(texts, answers, strict=True))
    return drawn(texts, answers, count=most, balanced=balanced, seed=seed)


def _speaking(job: FitJob) -> SpokenModel:
    """The model as it is, answering in its own words; examples are the same training rows before every question."""
    params: PromptedParams = job.params
    if params.select == "nearest" and params.shots:
        raise CandidateError('expected select = "random" or "balanced" for task generation, received "nearest"')
    check_quantisation(job)
    base = base_of(params.model, kind="decoder", cache=job.cache, progress=job.progress)
    words = ChatTokens.read(base.folder)
    columns = input_columns(job)
    names = tuple(column.name for column in columns)
    prompt = Prompt.of(
        words,
        instruction=params.instruction or "",
        target=job.schema.target,
        columns=names,
        classes=(),
        chat=params.chat,
        system=params.system,
    )
    require_chat(prompt)
    conversations = conversation_columns(columns)
    source = source_of(job)
    texts = row_texts(source.table, names, params.template, conversations) if source.count else []
    answers = _told(source.table[job.schema.target]) if texts else []
    shots = _pool(source, texts, answers, most=source.count, balanced=False, seed=job.seed)
    told = prompt.to_json() | {"shots": [[shot.text, shot.answer] for shot in shots]}
    chosen = {"base": base.digest, "prompt": digest_json(told)[:16], "instruction": prompt.instruction}
    state = SpokenState(
        family=PromptedFamily.name,
        signature=Signature(task=job.task, inputs=columns),
        chosen=dict(job.chosen) if job.chosen is not None else chosen,
        reading=RowTokenizer(
            columns=names,
            template=params.template,
            prompt=prompt,
            max_tokens=params.max_tokens,
            conversations=tuple(sorted(conversations)),
        ),
        shots=shots,
        max_new_tokens=params.max_new_tokens,
        engine=params.engine,
        quantisation=params.quantisation,
        capacity=params.capacity(base.folder),
    )
    return SpokenModel(state=state, parts={storing.BASE: base.folder}, threads=job.threads, cache=job.cache)
