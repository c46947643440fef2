# pyright: basic
# torch comes without complete types
"""One fine-tuning from a job to a model: rows to examples, training (or what an earlier fit trained), the model.

What was trained is kept in the cache by the content of all that decided it. So the fit that holds validation rows
out of training, which is the very training that a first fit did, takes it from there.
"""

import fcntl
import json
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation_columns
from bakeoff.core.deadline import Deadline, ignore_cut
from bakeoff.core.errors import CandidateError
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.jobs import Peer, ignore_checkpoint
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob, Progress, ignore_held, ignore_loss, ignore_resumed
from bakeoff.core.types import Column, Json, Signature
from bakeoff.data.cache import place
from bakeoff.families.features.columns import input_columns
from bakeoff.families.features.targets import Target, row_weights
from bakeoff.families.language import backbone
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.answers import Answering
from bakeoff.families.language.backbone import Backbone, Precision
from bakeoff.families.language.catalogue import base_of
from bakeoff.families.language.checkpoints import Checkpoint, Position
from bakeoff.families.language.convert import Base, Kind
from bakeoff.families.language.distributed import Group, spread
from bakeoff.families.language.examples import Example, stratified
from bakeoff.families.language.finetuned import RowTokenizer, TunedModel, TunedState, open_tuned
from bakeoff.families.language.network import Network
from bakeoff.families.language.objectives import Classes, Completions, Contrast, Numbers, Preferences
from bakeoff.families.language.prompts import Part, Prompt
from bakeoff.families.language.training import Recipe, Trainer

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Adaptation", "TuningParams", "tune"]

KEPT_FITS = 6
HEAD, POSITION = "head.npz", "position.json"
CONVERSATION_TOKENS, TEXT_TOKENS = 1024, 256
"""What `max_tokens` is unless given."""
VERSION = 2
"""Grows when the same training would give another result."""


class TuningParams(Protocol):
    """The parameters that every fine-tuning family has.

    Those of decoders have `instruction`, `system`, `chat`, `head`, `learn`, `max_new_tokens` and `preference_beta`
    besides, `lora` has
    `quantise_base`, `encoder` has `contrastive` and `few`.
    """

    model: str
    template: str | None
    layers: int
    learning_rate: float
    epochs: float
    batch: int
    accumulate: int
    checkpointing: bool
    warmup: float
    weight_decay: float
    checks: int
    patience: int
    max_tokens: int | None
    max_train_rows: int | None
    max_minutes: float | None
    validation_rows: int
    balanced: bool | None
    precision: str
    processes: int


class Adaptation(Protocol):
    """What of a model learns, and how that is written into a folder."""

    @property
    def kind(self) -> Kind | None:
        """The kind of model that it takes; None: any."""
        ...

    def prepare(self, network: Network, seed: int) -> None:
        """Make the parameters that learn trainable (in float32)."""
        ...

    def write(self, network: Network, folder: Path) -> None:
        """Write what was learned: `adapter/` or a whole `base/`."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Examples, and what classes, weights and numbers they have."""

    train: list[Example]
    held: list[Example]
    classes: tuple[str, ...]
    weights: tuple[float, ...]
    center: float
    spread: float


def tune(job: FitJob, family: str, adaptation: Adaptation) -> TunedModel:
    """Fine-tune as a job asks.

    Raises:
        CandidateError, NotFoundError, MissingExtraError: it cannot be done, and why.
    """
    params: TuningParams = job.params
    base = base_of(params.model, kind=adaptation.kind, cache=job.cache, progress=job.progress)
    wanted: Any = (job.chosen or {}).get("precision") or params.precision
    precision: Precision = backbone.fastest_precision() if wanted == "auto" else wanted
    processes = _processes(job)
    words = _loaded(base, precision, job, Group(), alone=processes == 1)
    columns = input_columns(job)
    reading = _reading(job, words, columns)
    data = _examples(job, words, reading)
    fit = _Fit(
        job=job,
        family=family,
        adaptation=adaptation,
        base=base,
        precision=precision,
        processes=processes,
        reading=reading,
        data=data,
    )
    folder, position = fit.trained(words)
    del words
    for step in position.resumed:
        job.on_resumed(f"after step {step} of {position.planned}")
    with np.load(folder / HEAD, allow_pickle=False) as head:
        head_dk, bias_k = head["head_dk"], head["bias_k"]
    chosen: dict[str, Any] = {
        "base": base.digest,
        "precision": precision,
        "rows": len(data.train),
        "planned_steps": position.planned,
        "steps": position.best_step,
        "validation_losses": [[step, round(loss, 6)] for step, loss in position.checks],
    }
    if job.chosen is not None:
        chosen = dict(job.chosen)
    state = TunedState(
        family=family,
        signature=Signature(task=job.task, inputs=columns, classes=data.classes),
        chosen=chosen,
        reading=reading,
        kind=base.kind,
        precision=precision,
        head_dk=head_dk,
        bias_k=bias_k,
        center=data.center,
        spread=data.spread,
        max_new_tokens=job.params.max_new_tokens if job.task == "generation" else 0,
    )
    parts = {storing.BASE: base.folder}
    parts |= {name: folder / name for name in (storing.BASE, storing.ADAPTER) if (folder / name).is_dir()}
    return open_tuned(state, parts, job.threads)


def _processes(job: FitJob) -> int:
    """How many processes train: as many as asked for, else as there are accelerators (one without any)."""
    import torch

    params: TuningParams = job.params
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices and params.processes > devices and job.spread is None:
        raise CandidateError(f"expected processes = at most {devices}, the CUDA devices, received {params.processes}")
    return params.processes or max(devices, 1)


def _loaded(base: Base, precision: Precision, job: FitJob, group: Group, *, alone: bool) -> Backbone:
    """The model where it is trained; where others will do that, where it is not in their way."""
    quantised: Any = getattr(job.params, "quantise_base", "none") if alone else "none"
    device = group.device if alone else "cpu"
    return backbone.load(
        base.folder, base.kind, precision=precision, threads=job.threads, device=device, quantised=quantised
    )


def _reading(job: FitJob, loaded: Backbone, columns: Sequence[Column]) -> RowTokenizer:
    params: Any = job.params
    prompt = None
    names, conversations = tuple(column.name for column in columns), conversation_columns(columns)
    if job.task == "generation" or _by_labels(job):
        classes = sorted(set(job.train[job.schema.target].to_list())) if job.task == "classification" else []
        instruction = params.instruction if params.instruction is not None or classes else ""
        prompt = Prompt.of(
            loaded.words,
            instruction=instruction,
            target=job.schema.target,
            columns=names,
            classes=classes,
            chat=params.chat,
            system=params.system,
        )
    idle = [] if prompt else [name for name in ("system", "instruction", "chat") if getattr(params, name, None)]
    for name in idle:
        why = 'the head reads the bare text; head = "labels" asks with a prompt'
        job.on_loss(Loss(kind="option", reason=why, subject=name, count=1))
    most = params.max_tokens or (CONVERSATION_TOKENS if job.task == "generation" else TEXT_TOKENS)
    return RowTokenizer(
        columns=names,
        template=params.template,
        prompt=prompt,
        max_tokens=most,
        conversations=tuple(sorted(conversations)),
    )


def _by_labels(job: FitJob) -> bool:
    """Whether classes are told by their labels' tokens."""
    return job.task == "classification" and getattr(job.params, "head", "linear") == "labels"


def _examples(job: FitJob, loaded: Backbone, reading: RowTokenizer) -> _Data:
    params: TuningParams = job.params
    if job.task == "generation":
        return _conversations(job, loaded, reading)
    target = Target.of(job)
    count = target.training
    train_n = stratified(target.value_n[:count], _most(job, count), classes=len(target.classes), seed=job.seed)
    held_n = count + stratified(
        target.value_n[count:], params.validation_rows, classes=len(target.classes), seed=job.seed
    )
    value_n, center, spread, weights = target.value_n, 0.0, 1.0, (1.0,)
    if target.classes:
        weight_n = row_weights(job, value_n[train_n])
        by_class = dict(zip(value_n[train_n].tolist(), weight_n.tolist(), strict=True))
        weights = tuple(float(by_class.get(float(k), 1.0)) for k in range(len(target.classes)))
    else:
        center, spread = float(value_n[train_n].mean()), float(value_n[train_n].std()) or 1.0
        value_n = (value_n - center) / spread

    def made(rows: NDArray[np.int64], part: Part) -> list[Example]:
        texts = reading.texts(target.table[rows])
        read = reading.sequences(loaded, texts)
        for loss in reading.losses(loaded, texts, read, part):
            job.on_loss(loss)
        return [Example(ids=each.ids, target=float(v)) for each, v in zip(read, value_n[rows].tolist(), strict=True)]

    return _Data(
        train=made(train_n, "training"),
        held=made(held_n, "validation"),
        classes=target.classes,
        weights=weights,
        center=center,
        spread=spread,
    )


def _most(job: FitJob, rows: int) -> int:
    most = job.params.max_train_rows
    if most is None or most >= rows:
        return rows
    job.progress(f"training on {most:,} of {rows:,} rows (max_train_rows)")
    job.on_loss(
        Loss(
            kind="row", reason="max_train_rows", count=rows - most, of=rows, remedy="raise max_train_rows", chosen=True
        )
    )
    return most


def _conversations(job: FitJob, loaded: Backbone, reading: RowTokenizer) -> _Data:
    params: Any = job.params
    if not len(job.train):
        raise CandidateError("expected training rows, received none; look at [split] and [prepare]")
    answering = Answering(
        words=loaded.words,
        prompt=reading.prompt or _no_prompt(),
        most=min(reading.max_tokens, loaded.context),
        every=params.learn == "all",
    )
    rejected = job.schema.rejected if params.preference_beta else None

    def made(table: "pl.DataFrame", most: int, part: Part) -> list[Example]:
        table = table[stratified(np.zeros(len(table)), most, classes=0, seed=job.seed)]
        others = _answers(table, rejected) if rejected in table.columns else [None] * len(table)
        rows = zip(reading.texts(table), _answers(table, job.schema.target), others, strict=True)
        learned = [answering.examples(*row) for row in rows]
        for loss in answering.losses(learned, part):
            job.on_loss(loss)
        return [each.example for row in learned for each in row]

    train = made(job.train, _most(job, len(job.train)), "training")
    pairs = sum(example.rejected is not None for example in train)
    if pairs:
        job.progress(f"{pairs:,} of {len(train):,} answers are learned in place of a rejected one")
    if answering.every:
        job.progress(f"{len(train):,} answers of the assistant in {len(job.train):,} conversations are learned")
    held = made(job.validation, params.validation_rows, "validation") if len(job.validation) else []
    return _Data(train=train, held=held, classes=(), weights=(), center=0.0, spread=1.0)


def _answers(table: "pl.DataFrame", column: str) -> list[str]:
    return ["" if answer is None else str(answer) for answer in table[column].to_list()]


def _no_prompt() -> Prompt:
    raise AssertionError("generation always has a prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What names a training and what it makes, and the steps where they are known."""

    definition: list[Json]
    name: str
    planned: int | None
    stop: int | None


@dataclass(frozen=True, kw_only=True)
class _Fit:
    job: FitJob
    family: str
    adaptation: Adaptation
    base: Base
    precision: Precision
    processes: int
    reading: RowTokenizer
    data: _Data

    @property
    def _fits(self) -> Path:
        return self.job.cache / "language" / "fits"

    def trained(self, words: Backbone) -> tuple[Path, Position]:
        """The folder of what was learned, from the cache or from training now; `words` reads texts as it does."""
        fits = self._fits
        planned, stop = self._as_chosen()
        definition = self._definition()
        name = digest_json([definition, planned, stop, _content(self.data.held) if stop is None else None])[:32]
        with _alone(fits / f"{name}.lock"):  # an equal candidate that is fitted beside it waits, and takes this one's
            return self._trained(words, definition, name, planned, stop)

    def _trained(
        self, words: Backbone, definition: list[Json], name: str, planned: int | None, stop: int | None
    ) -> tuple[Path, Position]:
        job, fits = self.job, self._fits
        memo = fits / f"{name}.json"
        if stop is None and memo.is_file():
            at = Position(**json.loads(memo.read_bytes()))
            planned, stop = at.planned, at.best_step
        if planned is not None and stop is not None:
            folder = fits / digest_json([definition, planned, stop])[:32]
            if folder.is_dir():
                job.progress("taking what an earlier fit trained on the same rows")
                return folder, Position(**json.loads((folder / POSITION).read_bytes()))
        plan = _Plan(definition=definition, name=name, planned=planned, stop=stop)
        if self.processes == 1 or self._contrastive():  # comparing rows needs a whole batch in one place
            alone = self.processes == 1
            return self.train(words if alone else _loaded(self.base, self.precision, job, Group(), alone=True), plan)
        silent = replace(job, train=job.train[:0], validation=job.validation[:0], progress=_silent)
        silent = replace(silent, on_loss=ignore_loss, on_cut=ignore_cut, on_held=ignore_held, on_resumed=ignore_resumed)
        silent = replace(silent, keep=ignore_checkpoint, spread=None)
        if job.spread is not None:
            asked = (replace(self, job=silent), plan)
            return job.spread(_train_there, asked, size=self.processes, needs=(self.base.folder,))
        job.progress(f"training in {self.processes} processes")
        asked = (replace(self, job=replace(silent, threads=max(1, job.threads // self.processes))), plan)
        return spread(_train, asked, size=self.processes, scratch=job.cache, progress=job.progress)

    def train(self, loaded: Backbone, plan: _Plan, group: Group | None = None) -> tuple[Path, Position]:
        """Train now, alone or as one of a group, whose first process writes what was learned."""
        job, fits, group = self.job, self._fits, group or Group()
        network, objective = self._network(loaded, group)
        train, held = self.data.train, self.data.held
        if isinstance(objective, Preferences):
            train = objective.referred(network, "train", train, group)
            held = objective.referred(network, "held", held, group)
        checkpoint = Checkpoint(folder=job.cache / "language" / "training" / plan.name, keep=job.keep)
        deadline = None if plan.stop is not None or self.processes > 1 else Deadline(job)
        trainer = Trainer(network, objective, self._recipe(), progress=job.progress, group=group, deadline=deadline)
        at = trainer.run(train, held, checkpoint, planned=plan.planned, stop=plan.stop)
        folder = fits / digest_json([plan.definition, at.planned, at.best_step])[:32]
        if not group.rank:
            place(folder, lambda target: self._write(target, network, objective, at), cache=job.cache)
            if trainer.late:
                job.on_cut(f"{at.step:,} of {at.planned:,} steps were trained; with more time it goes on there")
            elif plan.stop is None:
                place(fits / f"{plan.name}.json", lambda target: _write_json(target, at), cache=job.cache)
            if not trainer.late:
                shutil.rmtree(checkpoint.folder, ignore_errors=True)
            _prune(fits)
        return folder, at

    def _as_chosen(self) -> tuple[int | None, int | None]:
        """Steps planned and taken, as an earlier fit chose them; on other rows the same share of their epochs."""
        chosen = self.job.chosen
        if chosen is None:
            return None, None
        planned, steps, rows = (int(chosen[key]) for key in ("planned_steps", "steps", "rows"))  # type: ignore[arg-type]
        if rows == len(self.data.train):
            return planned, steps
        more = len(self.data.train) / rows
        return max(1, round(planned * more)), max(1, round(steps * more))

    def _definition(self) -> list[Json]:
        import peft
        import torch
        import transformers

        versions: list[Json] = [VERSION, torch.__version__, transformers.__version__, peft.__version__]
        recipe = replace(self._recipe(), max_minutes=None)
        params = {k: v for k, v in _fields(self.job.params).items() if k not in _WITHOUT_INFLUENCE}
        data: list[Json] = [_content(self.data.train), *self.data.classes, *self.data.weights]
        return [versions, self.family, self.base.digest, self.precision, _fields(recipe), params, data]

    def _recipe(self) -> Recipe:
        params: TuningParams = self.job.params
        return Recipe(
            learning_rate=params.learning_rate,
            epochs=params.epochs,
            batch=params.batch,
            accumulate=params.accumulate,
            warmup=params.warmup,
            weight_decay=params.weight_decay,
            checks=params.checks,
            patience=params.patience,
            max_minutes=params.max_minutes,
            seed=self.job.seed,
        )

    def _network(self, loaded: Backbone, group: Group) -> tuple[Network, Any]:
        import torch

        params: TuningParams = self.job.params
        torch.manual_seed(self.job.seed)
        network = Network(loaded, top=params.layers, share=1 / group.size)
        self.adaptation.prepare(network, self.job.seed)
        if params.checkpointing:
            loaded.model.activation_checkpointing_enable({"use_reentrant": False})
        if self.job.task == "generation":
            return network, self._completions(loaded)
        if self.job.task == "regression":
            return network, Numbers(loaded)
        if self._contrastive():
            return network, Contrast(loaded, self.data.weights)
        label_ids = self._label_ids(loaded) if _by_labels(self.job) else ()
        return network, Classes(loaded, self.data.weights, label_ids=label_ids)

    def _completions(self, loaded: Backbone) -> Completions:
        examples = self.data.train
        if not any(example.rejected for example in examples):
            return Completions(loaded)
        mean = sum(example.completion for example in examples) / len(examples)
        return Preferences(loaded, beta=self.job.params.preference_beta, weight=mean)

    def _contrastive(self) -> bool:
        params: Any = self.job.params
        wanted: bool | None = getattr(params, "contrastive", False)
        few = wanted is None and len(self.data.train) <= params.few * len(self.data.classes)
        return bool(wanted) or few

    def _label_ids(self, loaded: Backbone) -> Sequence[int]:
        assert self.reading.prompt is not None
        told = [self.reading.prompt.continuation(name) for name in self.data.classes]
        first = [ids[0] if ids else 0 for ids in loaded.tokens(told, special=False)]
        if len(set(first)) < len(first):
            raise CandidateError(
                f"expected classes whose first tokens differ with head = 'labels', received {self.data.classes}; "
                "use head = 'linear'"
            )
        return first

    def _write(self, folder: Path, network: Network, objective: Any, at: Position) -> None:
        folder.mkdir()
        if isinstance(objective, Contrast):
            objective.settle(network, self.data.train)
        self.adaptation.write(network, folder)
        head_dk, bias_k = np.zeros((0, 0)), np.zeros(0)
        if hasattr(objective, "layer"):
            head_dk = objective.layer.weight.detach().double().cpu().numpy().T.copy()
            bias_k = objective.layer.bias.detach().double().cpu().numpy()
        np.savez(folder / HEAD, allow_pickle=False, head_dk=head_dk, bias_k=bias_k)
        _write_json(folder / POSITION, at)


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Wait until no other process does the same."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _train(asked: tuple[_Fit, _Plan], group: Group, progress: Progress) -> tuple[Path, Position]:
    """What each process of a group does."""
    fit, plan = asked
    job = replace(fit.job, progress=progress)
    loaded = _loaded(fit.base, fit.precision, job, group, alone=True)
    return replace(fit, job=job).train(loaded, plan, group)


def _train_there(asked: tuple[_Fit, _Plan], peer: Peer) -> tuple[Path, Position]:
    """What each process does that may be on another machine, whose cache is another folder."""
    fit, plan = asked
    base = replace(fit.base, folder=peer.cache / fit.base.folder.relative_to(fit.job.cache))
    job = replace(fit.job, cache=peer.cache, keep=peer.keep)
    progress = _silent if peer.rank else peer.progress  # what all of them would say, one says
    progress(f"training in {peer.size} processes of the cluster")
    group = Group(rank=peer.rank, size=peer.size, number=peer.device)
    return _train((replace(fit, base=base, job=job), plan), group, progress)


def _silent(line: str) -> None:
    """Progress of a job on its way to another process."""
    del line


_WITHOUT_INFLUENCE = frozenset(
    {
        *("max_minutes", "validation_rows", "max_train_rows", "checks", "patience", "precision", "processes"),
        *("engine", "quantisation", "max_new_tokens", "context", "slots", "kv_cache"),
    }
)
"""Parameters that what is trained does not depend on, once its rows and steps are known. So candidates that differ in
how an engine runs them are one training."""


def _write_json(file: Path, at: Position) -> None:
    """Write a position without how long it took and how often it began, which no result depends on."""
    file.write_text(json.dumps(_fields(replace(at, seconds=0.0, resumed=[]))), encoding="utf-8")


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)


def _content(examples: Sequence[Example]) -> str:
    def part(example: Example) -> list[Any]:
        rejected = [part(example.rejected)] if example.rejected else []
        return [list(example.ids), example.target, example.completion, *rejected]

    return digest(json.dumps([part(example) for example in examples]).encode())


def _prune(fits: Path) -> None:
    """Keep the newest fits; older ones can be trained again."""
    folders = sorted((p for p in fits.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in folders[KEPT_FITS:]:
        shutil.rmtree(folder, ignore_errors=True)
